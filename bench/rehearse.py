"""`seedbed rehearse` from nothing, against the sum of the slowest parts that nothing could spare it.

The sum is that of the critical path: what a person with a script would have to wait for as well, one after the other, as
each part took in the very run that is measured:

- a machine's boot, by its own clock: from the start of its systemd until cloud-init was done;
- its steps `base` (packages and settings), `volumes` and `docker`, of all machines at the same time;
- `k3s` of one server after the other, each when it is booted and prepared and the one before it votes;
- `k3s` of the agents, all at once, after the last server: the slowest counts;
- planting the seed, and until ArgoCD has everything Synced: downloads and pulls.

A step takes what the engine says, from the dial to the end of its script. All else is what seedbed, the engine and the lab
add: services of the lab, the cloud's API, the program, connecting, waiting for an answer, writing the state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import report
from bench.measure import BenchError
from bench.rehearsal import Rehearsal
from bench.world import timings
from stacks.config import from_file
from stacks.settings import Role

TARGET = 1.3

PREPARED_BY = ("base", "volumes", "docker")
JOIN = "k3s"
SEED = ("seed", "synced")

# What a machine says of its own boot, in seconds.
_BOOT = """
import json, subprocess, time
shown = subprocess.run(["systemctl", "show", "--property=UserspaceTimestampMonotonic", "--value"],
                       capture_output=True, text=True, check=True)
began = time.time() - time.monotonic() + int(shown.stdout) / 1e6
print(json.load(open("/run/cloud-init/status.json"))["v1"]["modules-final"]["finished"] - began)
"""


@dataclass(frozen=True)
class Part:
    """A stretch of the critical path: what was waited for, and for how many seconds."""

    name: str
    seconds: float


def run(rehearsal: Rehearsal) -> Path:
    """Measure, and write results/rehearse.md."""
    stack = rehearsal.stack
    settings = from_file(stack.name, stack.root, lab_is_made=False)
    servers = [settings.full_name(name) for name in settings.names(Role.SERVER)]
    agents = [settings.full_name(name) for name in settings.names(Role.AGENT)]
    boots = {machine: float(stack.lab.ssh(machine, f"python3 -c '{_BOOT}'").stdout) for machine in [*servers, *agents]}
    path = critical_path(servers, agents, boots, steps(rehearsal.rehearse.output))
    body = _body(rehearsal, path, boots)
    return report.write("rehearse", "`seedbed rehearse` of the prod stack", rehearsal.load, body)


def steps(output: str) -> dict[str, float]:
    """Seconds of each step that the command tells of; the event in the name of a step of the seed is left out.

    Scripts are copied more than once; that is no step of the path, so it does not matter which is kept.
    """
    found = {}
    for seconds, name in timings(output):
        if name.startswith("  "):
            step = name.strip()
            found[next((seed for seed in SEED if step.startswith(f"{seed}-")), step)] = seconds
    return found


def critical_path(
    servers: list[str], agents: list[str], boots: Mapping[str, float], took: Mapping[str, float]
) -> list[Part]:
    """The parts from the first boot to the last Application, `servers` in the order in which they join.

    Raises BenchError where a step that every machine has is missing.
    """
    prepared = {machine: _prepared(machine, boots, took) for machine in [*servers, *agents]}
    path: list[Part] = []
    for server in servers:
        path = [*_later(path, prepared[server]), Part(f"{server} {JOIN}", _of(took, f"{server}-{JOIN}"))]
    joined = [
        [*_later(path, prepared[agent]), Part(f"{agent} {JOIN}", _of(took, f"{agent}-{JOIN}"))] for agent in agents
    ]
    path = max(joined, key=total, default=path)
    return path + [Part(name, _of(took, name)) for name in SEED]


def total(path: list[Part]) -> float:
    """Its length in seconds."""
    return sum(part.seconds for part in path)


def _prepared(machine: str, boots: Mapping[str, float], took: Mapping[str, float]) -> list[Part]:
    """A machine until k3s can start on it; only machines with a volume have a step for it."""
    path = [Part(f"{machine} boots", boots[machine])]
    for step in PREPARED_BY:
        name = f"{machine}-{step}"
        if step != "volumes" or name in took:
            path.append(Part(f"{machine} {step}", _of(took, name)))
    return path


def _later(one: list[Part], other: list[Part]) -> list[Part]:
    """What is waited for where both are: the longer."""
    return max(one, other, key=total)


def _of(took: Mapping[str, float], step: str) -> float:
    if step not in took:
        raise BenchError(f"seedbed rehearse tells of no step {step}; there are {', '.join(sorted(took))}")
    return took[step]


def _body(rehearsal: Rehearsal, path: list[Part], boots: Mapping[str, float]) -> str:
    usage = rehearsal.rehearse
    phases = timings(usage.output)
    engine = next(seconds for seconds, name in phases if name == "pulumi up")
    inevitable = total(path)
    rows = [
        ("the command, to all Synced", f"{usage.seconds:.1f} s", f"**{usage.seconds / inevitable:.2f}**"),
        ("of it `pulumi up`", f"{engine:.1f} s", f"{engine / inevitable:.2f}"),
        ("the sum of the slowest inevitable parts", f"{inevitable:.1f} s", ""),
    ]
    return (
        f"Aim: at most {TARGET} times the sum of the slowest inevitable parts.\n\n"
        + report.table(("what", "took", "times the sum"), rows)
        + "\n## The slowest inevitable parts, one after the other\n\n"
        + report.table(("part", "took"), [(part.name, f"{part.seconds:.1f} s") for part in path])
        + "\nThe critical path of this very run: of what happens at the same time only the slowest counts. A machine boots "
        "from the start of its systemd until cloud-init is done, by its own clock (here "
        f"{min(boots.values()):.1f} to {max(boots.values()):.1f} s); a step takes what the engine says, from the dial to the "
        "end of its script, in whole seconds. The steps take what their commands take where so many machines share this "
        "one, with or without Pulumi; bench/results/pave.md and seed.md have the same steps against scripts by hand. All "
        "else is what the lab, the cloud's API, the engine and the program add.\n\n"
        "## Phases and steps, as the command tells them\n\n"
        + report.table(("phase", "took"), [(name, f"{seconds:.1f} s") for seconds, name in phases])
        + "\n`seedbed rehearse` in a copy of the tree without .tools and .lab, with the settings of `Pulumi.prod.yaml`; it "
        "has the clone's .venv, and everything in the cache. The machines begin as bare Debian. Phases overlap.\n\n"
        f"{rehearsal.world.about()}\n"
    )
