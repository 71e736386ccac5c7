"""A preview that finds nothing to do, against the same of a trivial program with as many resources of the same kinds."""

import json
from collections import Counter
from pathlib import Path

from bench import report
from bench.measure import Usage, interleaved, median, ratio
from bench.world import World

TARGET = 1.3
ROUNDS = 15
PREVIEW = ("preview", "--expect-no-changes")


def run(world: World) -> Path:
    """Measure, and write results/preview.md."""
    before = report.load()
    folder = _trivial(world)
    ours, trivial = resources(world), resources(world, folder)
    if ours != trivial:
        raise AssertionError(f"the stack has {ours}, the trivial program {trivial}")
    world.pulumi(*PREVIEW)
    world.pulumi(*PREVIEW, folder=folder)
    with world.progress.phase("no-op previews"):
        found = interleaved(
            ROUNDS, seedbed=lambda: world.pulumi(*PREVIEW), trivial=lambda: world.pulumi(*PREVIEW, folder=folder)
        )
    return report.write("preview", "A preview that finds nothing to do", before, _body(world, found, ours))


def table(label: str, found: dict[str, list[Usage]]) -> str:
    """The medians of `seedbed`, called `label`, and of `trivial`, and their ratios."""
    wall = {name: [usage.seconds for usage in usages] for name, usages in found.items()}
    cpu = {name: [usage.cpu_seconds for usage in usages] for name, usages in found.items()}
    rows = []
    for what, values in (("wall clock", wall), ("CPU", cpu)):
        all_of, least, greatest = ratio(values["seedbed"], values["trivial"])
        rows.append(
            (
                what,
                f"{median(values['seedbed']):.2f} s",
                f"{median(values['trivial']):.2f} s",
                f"**{all_of:.2f}**",
                f"{least:.2f} - {greatest:.2f}",
            )
        )
    best = {name: min(values) for name, values in wall.items()}
    rows.insert(
        1,
        (
            "wall clock, the best",
            *(f"{best['seedbed']:.2f} s", f"{best['trivial']:.2f} s", f"{best['seedbed'] / best['trivial']:.2f}", ""),
        ),
    )
    return report.table(("median", label, "trivial program", "ratio", "single rounds"), rows)


def _body(world: World, found: dict[str, list[Usage]], counts: dict[str, int]) -> str:
    count = ", ".join(f"{number} × {kind}" for kind, number in sorted(counts.items()))
    return (
        f"Aim: at most {TARGET} times the trivial program's wall clock.\n\n"
        + table("dev stack", found)
        + f"\n{ROUNDS} rounds of `pulumi {' '.join(PREVIEW)}`, the two in turns after one of each that is not counted, on "
        f"the same engine, plugins and backend. Both states hold {count}, made by a real `pulumi up`. CPU is user and "
        "system time of the CLI and all that it waited for. The best is what a busy machine disturbed least. "
        f"The trivial program is bench/trivial.py.\n\n{world.about()}\n"
    )


def _trivial(world: World) -> Path:
    """The trivial program's project, with its state made by the same lab's hosts."""
    stack = world.stack
    hosts = [
        {"name": host.name, "address": host.address, "hostKey": stack.identity.host_key(host.name).public}
        for host in stack.lab.status()
    ]
    program = (Path(__file__).parent / "trivial.py").read_text()
    folder = world.project("trivial", program, {"trivial:hosts": hosts})
    secrets = {
        "privateKey": stack.identity.operator_key,
        "kubeconfig": stack.seedbed("kubeconfig", stack.name).stdout,
    }
    for name, value in secrets.items():
        world.pulumi("config", "set", "--secret", name, folder=folder, stdin=value)
    world.pulumi("up", "--yes", "--skip-preview", folder=folder)
    return folder


def resources(world: World, folder: Path | None = None) -> dict[str, int]:
    """How many resources of each kind a state holds."""
    exported = json.loads(world.pulumi("stack", "export", folder=folder).output)
    return dict(Counter(kind_of(resource["type"]) for resource in exported["deployment"]["resources"]))


def kind_of(resource: str) -> str:
    """What a reader calls a resource of this type; all components, and all providers, are of one kind."""
    if resource.startswith("pulumi:providers:"):
        return "provider"
    package, _, _ = resource.partition(":")
    kinds = {"seedbed": "component", "trivial": "component", "command": "remote command"}
    kind = kinds.get(package) or resource.rpartition(":")[2]
    return "stack" if kind == "Stack" else kind
