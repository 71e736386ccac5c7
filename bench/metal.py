"""What the machines of a stack cost in requests to the cloud's API, and how time and memory grow with their number.

The program's metal alone, on the lab's cloud with machines on paper: what is measured is the engine, the program and the
plugin. A request is put to the kind of resource whose path it has, so what a volume's attachment asks of the volume counts
for the volume. Requests to the object storage are not the API's and not limited by it.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench import report
from bench.measure import BenchError, Usage, interleaved, median
from bench.paper import IDENTITY, Asked, Paper, Stack, paper
from bench.scale import kind_of
from lab.cloud.limits import Limits
from lab.plugins.digitalocean.retry import REQUESTS_PER_MINUTE
from stacks.config import ROOT
from tools.progress import Progress

SIZES = (5, 50, 200)
ROUNDS = 3
MINUTE = 60.0

UP = ("up", "--yes", "--skip-preview", "--suppress-outputs")
NO_OP = ("preview", "--expect-no-changes")
UNPROTECT = ("state", "unprotect", "--all", "--yes")
COMMANDS = {
    "create": UP,
    "no-op preview": NO_OP,
    "refresh": ("refresh", "--yes", "--skip-preview", "--suppress-outputs"),
    "delete": ("destroy", "--yes", "--skip-preview", "--suppress-outputs"),
}
KINDS = ("CLI", "program", "digitalocean plugin")

_PATHS = (
    (r"/v2/account", "(account)"),
    (r"/v2/account/keys.*", "SshKey"),
    (r"/v2/actions/.*", "(action)"),
    (r"/v2/domains/[^/]+/records.*", "DnsRecord"),
    (r"/v2/droplets.*", "Droplet"),
    (r"/v2/firewalls.*", "Firewall"),
    (r"/v2/load_balancers.*", "LoadBalancer"),
    (r"/v2/projects.*", "Project"),
    (r"/v2/reserved_ips/[^/]+/actions.*", "ReservedIpAssignment"),
    (r"/v2/reserved_ips.*", "ReservedIp"),
    (r"/v2/spaces/keys.*", "SpacesKey"),
    (r"/v2/tags.*", "Tag"),
    (r"/v2/volumes/([^/]+/)?actions.*", "VolumeAttachment"),
    (r"/v2/volumes.*", "Volume"),
    (r"/v2/vpcs.*", "Vpc"),
)


@dataclass(frozen=True)
class Grown:
    """An `up` of so many machines, its memory looked at, and its requests."""

    usage: Usage
    requests: Sequence[Asked]


def run(progress: Progress) -> Path:
    """Measure, and write results/metal.md."""
    before = report.load()
    with paper(progress) as world:
        requests, resources = _prod(world)
        limited: dict[int, Grown] = {}
        unlimited: dict[int, Grown] = {}
        with ExitStack() as stacks:
            kept = {}
            for size in SIZES:
                name = f"metal{size}"
                kept[size] = stacks.enter_context(world.stack(name, settings(size, name)))
                limited[size] = _up(world, size, kept[size], "within the API's limits")
            with progress.phase("no-op previews"):
                previews = _previews(kept)
        for size in SIZES:
            name = f"unlimited{size}"
            with world.stack(name, settings(size, name), limited=False) as stack:
                unlimited[size] = _up(world, size, stack, "without limits")
        body = _calls(requests, resources) + _growth(limited, unlimited, previews) + f"\n{world.about()}\n"
    return report.write("metal", "The machines of a stack at DigitalOcean", before, body)


def settings(size: int, name: str) -> dict[str, Any]:
    """The prod stack's with so many machines in its pools: its three servers, and else agents; and with a reserved address,
    so that there is every kind of resource. `name` is the stack's."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]
    del config["seedbed:seed"]
    config["seedbed:identityFile"] = IDENTITY
    config["seedbed:network"]["machines"] = "10.20.0.0/16"
    cloud = config["seedbed:digitalocean"]
    cloud["snapshots"]["bucket"] = f"seedbed-{name}-etcd"
    cloud["reservedAddresses"] = {"ingress": {"machine": "agent-a"}}
    pools = config["seedbed:pools"]
    agents = pools["agents"]["machines"]
    more = size - len(pools["servers"]["machines"]) - len(agents)
    if more < 0:
        raise BenchError(f"the prod stack has more than {size} machines already")
    agents.update({f"agent-n{number:03}": {} for number in range(more)})
    return config


def kind_of_path(path: str) -> str:
    """The kind of resource that a request to this path is about."""
    for pattern, kind in _PATHS:
        if re.fullmatch(pattern, path):
            return kind
    raise BenchError(f"no kind of resource is known for requests to {path}")


def most_in(seconds: float, requests: Sequence[Asked]) -> int:
    """The largest number of them in any span of so many seconds."""
    times = sorted(asked.at for asked in requests)
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def _prod(world: Paper) -> tuple[dict[str, list[Asked]], Counter[str]]:
    """The requests of each command, and how many resources of each kind there are."""
    found = {}
    with world.stack("calls", settings(SIZES[0], "calls")) as stack:
        for name, command in COMMANDS.items():
            if name == "delete":
                stack.pulumi(*UNPROTECT)
            with world.progress.phase(f"prod's machines: {name}"):
                stack.pulumi(*command)
            found[name] = stack.cloud.take_requests()
            if name == "create":
                exported = json.loads(stack.pulumi("stack", "export").output)
        types = [resource["type"] for resource in exported["deployment"]["resources"]]
    return found, Counter(type_.rpartition(":")[2] for type_ in types if type_.startswith("digitalocean:"))


def _up(world: Paper, size: int, stack: Stack, how: str) -> Grown:
    with world.progress.phase(f"up of {size} machines {how}"):
        usage = stack.pulumi(*UP, kind_of=kind_of)
    return Grown(usage, stack.cloud.take_requests())


def _previews(stacks: Mapping[int, Stack]) -> dict[int, list[Usage]]:
    """For each size, runs for the time, and as the last one the run whose memory was looked at."""
    for stack in stacks.values():
        stack.pulumi(*NO_OP)
    found = interleaved(
        ROUNDS, **{str(size): lambda stack=stack: stack.pulumi(*NO_OP) for size, stack in stacks.items()}
    )
    return {size: [*found[str(size)], stack.pulumi(*NO_OP, kind_of=kind_of)] for size, stack in stacks.items()}


def _calls(requests: Mapping[str, Sequence[Asked]], resources: Counter[str]) -> str:
    counts = {name: Counter(kind_of_path(asked.path) for asked in listed) for name, listed in requests.items()}
    kinds = sorted(set(resources).union(*counts.values()))
    rows = [
        (kind, str(resources[kind] or ""), *(_of_each(counts[name][kind], resources[kind]) for name in requests))
        for kind in kinds
    ]
    rows.append(("**all**", str(resources.total()), *(str(len(listed)) for listed in requests.values())))
    rows.append(("in any minute, at most", "", *(str(most_in(MINUTE, listed)) for listed in requests.values())))
    limits = Limits()
    return (
        "## Requests to the API, prod's machines\n\n"
        + report.table(("kind", "resources", *requests), rows)
        + "\nAll requests of each command, and in brackets those of each resource; prod's settings with one reserved "
        "address, so that there is every kind. A request counts for the kind whose path it has. The machines are on paper "
        "and active as soon as they are asked for; at the real cloud each droplet and the load balancer are asked for some "
        "times more until they are, the drop-in at first four times a second and then every five seconds, all together at "
        f"most 120 times a minute. The API allows {limits.minute} requests a minute and {limits.hour:,} an hour (its "
        'reference, "Rate Limit"; lab/cloud/limits.py has the sources, and its server answers 429 above them).\n\n'
    )


def _of_each(count: int, resources: int) -> str:
    if not count or not resources:
        return str(count or "")
    return f"{count} ({count / resources:.2g})"


def _growth(
    limited: Mapping[int, Grown], unlimited: Mapping[int, Grown], previews: Mapping[int, Sequence[Usage]]
) -> str:
    ups = [
        (
            str(size),
            f"{limited[size].usage.seconds:.1f} s",
            f"{unlimited[size].usage.seconds:.1f} s",
            str(len(limited[size].requests)),
            str(most_in(MINUTE, limited[size].requests)),
            str(most_in(MINUTE, unlimited[size].requests)),
            str(sum(asked.status == 429 for asked in limited[size].requests)),
        )
        for size in SIZES
    ]
    memory = (*(f"peak of the {kind}" for kind in KINDS), "all at once")
    return (
        "## Growth: `pulumi up`\n\n"
        + report.table(
            (
                *("machines", "took", "without limits", "requests", "in any minute, at most", "without limits"),
                "answered with 429",
            ),
            ups,
        )
        + f"\nOne run each, its memory looked at twenty times a second. The drop-in keeps below {REQUESTS_PER_MINUTE} "
        "requests a minute by itself, so where more are needed it waits. `without limits` is the same with neither that "
        "nor the API's limits: what the engine, the program and the plugin take.\n\n"
        + report.table(
            ("machines", "CPU", *memory), [(str(size), *_cpu_and_memory(limited[size].usage)) for size in SIZES]
        )
        + "\n## Growth: a preview that finds nothing to do\n\n"
        + report.table(("machines", "took", "CPU", *memory), [_preview_row(size, previews[size]) for size in SIZES])
        + f"\nMedians of {ROUNDS} rounds, the sizes in turns, after one of each that is not counted; memory (resident, in "
        "MiB) is of one more run. CPU is user and system time of the CLI and all that it waited for.\n"
    )


def _cpu_and_memory(usage: Usage) -> tuple[str, ...]:
    return (
        f"{usage.cpu_seconds:.1f} s",
        *(report.mebibytes(usage.peaks.get(kind, 0)) for kind in KINDS),
        report.mebibytes(usage.peak),
    )


def _preview_row(size: int, runs: Sequence[Usage]) -> tuple[str, ...]:
    *timed, looked = runs
    _, *memory = _cpu_and_memory(looked)
    return (
        str(size),
        f"{median([usage.seconds for usage in timed]):.1f} s",
        f"{median([usage.cpu_seconds for usage in timed]):.2f} s",
        *memory,
    )
