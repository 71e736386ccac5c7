"""`pulumi up` against a script that does the same by hand, as tables."""

import re
from collections.abc import Mapping, Sequence

from bench import report
from bench.measure import Usage, median, ratio
from seedbed.steps import ended

_DONE = re.compile(r"^done: (\S+) after (\d+) s$", re.MULTILINE)
# What a step's name ends with where its event is part of it.
_EVENT = re.compile(r"-[0-9a-f]{8}$")

Found = Mapping[str, Sequence[Usage]]
"""The runs of each round: `seedbed`, whose output is that of `pulumi up`, and `by_hand`, whose script says `done: WHAT after N s`."""


def rounds(found: Found) -> str:
    """A table with a line for each round, their median and the best of all, and below it the range of the ratios."""
    ours = [usage.seconds for usage in found["seedbed"]]
    by_hand = [usage.seconds for usage in found["by_hand"]]
    all_of, least, greatest = ratio(ours, by_hand)
    rows = [
        (
            str(number),
            *(f"{a.seconds:.1f} s", f"{b.seconds:.1f} s", f"{a.seconds / b.seconds:.2f}"),
            *(f"{a.cpu_seconds:.1f} s", f"{b.cpu_seconds:.1f} s", f"{a.cpu_seconds / b.cpu_seconds:.2f}"),
        )
        for number, (a, b) in enumerate(zip(found["seedbed"], found["by_hand"], strict=True), 1)
    ]
    cpu = {name: [usage.cpu_seconds for usage in usages] for name, usages in found.items()}
    cpu_ratio, _, _ = ratio(cpu["seedbed"], cpu["by_hand"])
    rows.append(
        (
            "**median**",
            *(f"{median(ours):.1f} s", f"{median(by_hand):.1f} s", f"**{all_of:.2f}**"),
            *(f"{median(cpu['seedbed']):.1f} s", f"{median(cpu['by_hand']):.1f} s", f"{cpu_ratio:.2f}"),
        )
    )
    best = (f"{min(ours):.1f} s", f"{min(by_hand):.1f} s", f"{min(ours) / min(by_hand):.2f}")
    rows.append(("the best", *best, "", "", ""))
    return (
        report.table(("round", "`pulumi up`", "by hand", "ratio", "CPU", "by hand", "ratio"), rows)
        + f"\nSingle rounds between {least:.2f} and {greatest:.2f}.\n"
    )


def parts(found: Found) -> str:
    """A table of the medians of each step that `pulumi up` tells of, and of each line `done:` of the script, in seconds."""
    ours: dict[str, list[float]] = {}
    for usage in found["seedbed"]:
        for line in usage.output.splitlines():
            if (step := ended(line)) is not None:
                ours.setdefault(_EVENT.sub("", step.name), []).append(step.seconds)
    by_hand: dict[str, list[float]] = {}
    for usage in found["by_hand"]:
        for name, seconds in _DONE.findall(usage.output):
            by_hand.setdefault(name, []).append(float(seconds))
    rows = [(name, f"{median(values):.0f} s", "") for name, values in sorted(ours.items())]
    rows += [(name, "", f"{median(values):.0f} s") for name, values in sorted(by_hand.items())]
    return report.table(("part", "`pulumi up`, took", "by hand, done after"), rows)
