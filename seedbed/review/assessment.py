"""From a preview's digest to the report."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from seedbed.review.verdict import Facts, Report, Verdict

SAME = {"same", "read", "refresh"}
HARMLESS = {"create", "update"}


def assess(preview: Mapping[str, Any], facts: Facts) -> Report:
    """The report of `preview`, the parsed output of `pulumi preview --json --show-sames [--show-replacement-steps]`."""
    errors = [note["message"] for note in preview.get("diagnostics") or [] if note.get("severity") == "error"]
    counts = Counter(step["op"] for step in preview.get("steps") or [] if step["op"] not in SAME)
    if errors:
        verdict = Verdict.REFUSED
    elif not counts:
        verdict = Verdict.NOTHING
    else:
        verdict = Verdict.SAFE if set(counts) <= HARMLESS else Verdict.NEEDS_EYES
    told = ", ".join(f"{count} to {op}" for op, count in sorted(counts.items())) or "no change"
    lines = [f"**{verdict}** · stack {facts.stack} · {told}", *(f"- {' '.join(error.split())}" for error in errors)]
    return Report(verdict, "\n".join(lines) + "\n")
