"""How time and memory of a preview grow with the number of hosts, and what the engine itself takes to bring them up."""

import re
from pathlib import Path
from typing import Any

import yaml

from bench import report
from bench.answering import answering
from bench.measure import Usage, interleaved, median
from bench.world import World

SIZES = (10, 30, 100)
ROUNDS = 3
TIMEOUT_SECONDS = 3600
SERVERS = ("server-a", "server-b", "server-c")
CREATE = ("preview",)
NO_OP = ("preview", "--expect-no-changes")
KINDS = ("CLI", "program", "command plugin")


def run(world: World) -> Path:
    """Measure, and write results/scale.md."""
    before = report.load()
    identity = world.stack.identity
    with answering(identity.host_key("scale").private, identity.operator_public_key) as port:
        for size in SIZES:
            _settings_file(world, size).write_text(yaml.safe_dump({"config": settings(world, size, port)}))
            world.pulumi("stack", "init", _name(size), "--no-select")
        with world.progress.phase("previews from nothing"):
            created = _previews(world, CREATE)
        ups = {}
        for size in SIZES:
            with world.progress.phase(f"pulumi up of {size} hosts that answer at once"):
                ups[size] = world.pulumi(
                    "up", "--yes", "--skip-preview", "--suppress-outputs", stack=_name(size), timeout=TIMEOUT_SECONDS
                )
        with world.progress.phase("no-op previews"):
            unchanged = _previews(world, NO_OP)
        states = {size: len(world.pulumi("stack", "export", stack=_name(size)).output) for size in SIZES}
    return report.write(
        "scale", "Stacks of 10, 30 and 100 hosts", before, _body(world, created, unchanged, ups, states)
    )


def settings(world: World, size: int, port: int) -> dict[str, Any]:
    """A stack of three servers and else agents, each an address of the loopback network with the same host key."""
    names = [*SERVERS, *(f"agent-n{number:03}" for number in range(size - len(SERVERS)))]
    key = world.stack.identity.host_key("scale").public
    machines = {
        name: {
            "role": name.partition("-")[0],
            "address": f"127.88.{number // 200}.{number % 200 + 10}",
            "hostKey": key,
        }
        for number, name in enumerate(names)
    }
    ours: dict[str, Any] = yaml.safe_load(world.stack.settings_file.read_text())["config"]
    return ours | {
        "seedbed:network": {"machines": "127.88.0.0/16"},
        "seedbed:machines": machines,
        "seedbed:ssh": {"port": port},
    }


def kind_of(command: str) -> str | None:
    """Which part of the engine a process is, by its command line; official plugins and drop-ins alike."""
    plugin = re.search(r"(?:pulumi-resource-|lab\.plugins\.)(command|digitalocean|kubernetes)\b", command)
    if plugin:
        return f"{plugin[1]} plugin"
    if "pulumi-language-python" in command or "plugins/language" in command:
        return "program"
    return "CLI" if command.partition(" ")[0].endswith("pulumi") else None


def _previews(world: World, command: tuple[str, ...]) -> dict[int, list[Usage]]:
    """For each size, runs for the time, and as the last one the run whose memory was looked at."""
    for size in SIZES:
        world.pulumi(*command, stack=_name(size), timeout=TIMEOUT_SECONDS)

    def preview(size: int) -> Usage:
        return world.pulumi(*command, stack=_name(size), timeout=TIMEOUT_SECONDS)

    found = interleaved(ROUNDS, **{_name(size): lambda size=size: preview(size) for size in SIZES})
    return {
        size: [
            *found[_name(size)],
            world.pulumi(*command, stack=_name(size), timeout=TIMEOUT_SECONDS, kind_of=kind_of),
        ]
        for size in SIZES
    }


def _name(size: int) -> str:
    return f"scale{size}"


def _settings_file(world: World, size: int) -> Path:
    return world.stack.root / f"Pulumi.{_name(size)}.yaml"


def _body(
    world: World,
    created: dict[int, list[Usage]],
    unchanged: dict[int, list[Usage]],
    ups: dict[int, Usage],
    states: dict[int, int],
) -> str:
    heading = (
        "hosts",
        "wall clock",
        "CPU",
        "CPU per further host",
        *(f"peak of the {kind}" for kind in KINDS),
        "all at once",
    )
    size_of_state = [
        (str(size), f"{ups[size].seconds:.1f} s", f"{ups[size].seconds / size:.2f} s", report.mebibytes(states[size]))
        for size in SIZES
    ]
    return (
        "## The first preview, from nothing\n\n"
        + report.table(heading, _rows(created))
        + "\n## A preview that finds nothing to do\n\n"
        + report.table(heading, _rows(unchanged))
        + f"\nMedians of {ROUNDS} rounds, the sizes in turns, after one of each that is not counted; memory (resident, in "
        "MiB) is of one more run, looked at twenty times a second. CPU is user and system time of all processes. CPU per "
        "further host is the growth since the line above, so it stays the same where growth is linear.\n\n"
        "## `pulumi up` where the hosts take no time\n\n"
        + report.table(("hosts", "wall clock", "per host", "state"), size_of_state)
        + "\nOne run each. The hosts are bench/answering.py, an SSH server that lets every command succeed at once, so this "
        "is what the engine, the plugin, SSH itself and writing the state take: four remote commands a host, the three "
        "servers one after the other, the agents at the same time. It also makes the state that the second preview finds. "
        f"The state's size is that of its export.\n\n{world.about()}\n"
    )


def _rows(found: dict[int, list[Usage]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    last: tuple[int, float] | None = None
    for size in SIZES:
        *timed, looked = found[size]
        cpu = median([usage.cpu_seconds for usage in timed])
        growth = f"{(cpu - last[1]) / (size - last[0]) * 1000:.0f} ms" if last else ""
        last = size, cpu
        rows.append(
            (
                str(size),
                f"{median([usage.seconds for usage in timed]):.1f} s",
                f"{cpu:.2f} s",
                growth,
                *(report.mebibytes(looked.peaks.get(kind, 0)) for kind in KINDS),
                report.mebibytes(looked.peak),
            )
        )
    return rows
