"""From a preview's digest to the verdict and the report.

What makes a verdict `needs eyes`: anything that is removed or replaced, but what the state alone forgets (parts of the
program's structure, plugins' versions, steps of the seed that later ones are in place of); and any risk. An increase of
the cost is one above `money.THRESHOLD`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from seedbed.review import data, identity, machines, money, network, notes, options, others, words
from seedbed.review.findings import Class, Risk, told
from seedbed.review.machines import Machine
from seedbed.review.steps import Change, Resource, read
from seedbed.review.verdict import Facts, Report, Verdict

COMMIT_CHARACTERS = 12


def assess(preview: Mapping[str, Any], facts: Facts) -> Report:
    """The report of `preview`, the parsed output of `pulumi preview --json --show-sames [--show-replacement-steps]`."""
    resources = read(preview.get("steps") or [])
    diagnostics = preview.get("diagnostics") or []
    refused = notes.refusals(diagnostics)
    warned = notes.warnings(diagnostics)
    if refused or any(note.get("severity") == "error" for note in diagnostics):
        return _refused(resources, refused, warned, facts)
    return _report(resources, warned, facts)


def _report(resources: Sequence[Resource], warned: Sequence[str], facts: Facts) -> Report:
    there = machines.read(resources)
    folded = others.noise(resources, there)
    cost = money.difference(resources)
    unprotected, other_options = options.changes(resources)
    risks = [
        *data.risks(resources, there),
        *machines.quorum(there, resources),
        *network.risks(resources),
        *identity.risks(resources),
        *unprotected,
    ]
    if cost.is_risk:
        risks.append(Risk(Class.COST, f"**{cost.text}**"))
    stays = list(machines.staying(there))
    rest = others.tell(resources, {*folded, *told(risks), *(urn for _, urns in stays for urn in urns)})

    changed = [one for one in resources if one.change is not Change.SAME]
    lasting = [one for one in changed if one.urn not in folded]
    moves = any(machine.goes for machine in there.values())
    if not changed and not unprotected and not other_options:
        verdict = Verdict.NOTHING
    elif risks or moves or any(one.removed for one in lasting):
        verdict = Verdict.NEEDS_EYES
    else:
        verdict = Verdict.SAFE

    lines = [
        *machines.in_and_out(there, resources),
        *(f"**{risk.of}** {risk.text}" for risk in risks),
        *(text for text, _ in stays),
        *rest,
        *(f"**options** {text}" for text in other_options),
    ]
    if changed and cost.text and not cost.is_risk:
        lines.append(f"**cost** {cost.text}")
    if folded:
        lines.append(f"folded: {others.folded(folded)}")
    counts = _counts(there, len(lasting), len(unprotected) + len(other_options), len(warned))
    return Report(verdict, _page(_title(verdict, facts, counts), lines, warned, facts))


def _refused(resources: Sequence[Resource], refused: Sequence[str], warned: Sequence[str], facts: Facts) -> Report:
    reasons = [*refused] or ["the engine does not say why; `pulumi preview` shows all that it says"]
    if any(one.change is not Change.SAME for one in resources):
        reasons.append("the preview ended there: what else would change is not known")
    title = _title(Verdict.REFUSED, facts, words.count(len(refused) or 1, "reason"))
    return Report(Verdict.REFUSED, _page(title, reasons, warned, facts))


def _counts(there: Mapping[str, Machine], others_: int, options_: int, warnings: int) -> str:
    comes = sum(machine.comes for machine in there.values())
    goes = sum(machine.goes for machine in there.values())
    parts = [words.count(comes, "machine") + " in"] if comes else []
    if goes:
        parts.append(f"{goes} out" if comes else f"{words.count(goes, 'machine')} out")
    parts += [words.count(others_, "other change" if parts else "change")] if others_ else []
    parts += [words.count(options_, "option")] if options_ else []
    parts = parts or ["no change"]
    parts += [words.count(warnings, "warning")] if warnings else []
    return ", ".join(parts)


def _title(verdict: Verdict, facts: Facts, counts: str) -> str:
    return f"## {verdict.capitalize()}: {words.code(facts.stack)}, {counts}"


def _page(title: str, lines: Sequence[str], warned: Sequence[str], facts: Facts) -> str:
    listed = [*lines, *(f"**warning** {text}" for text in warned)]
    commit = f"{words.code(facts.source)} at {words.code(facts.commit[:COMMIT_CHARACTERS])}"
    if facts.dirty:
        commit += f", with changes that are not committed: {words.names(facts.dirty)}"
    body = "\n".join(f"- {line}" for line in listed)
    return "\n\n".join(filter(None, (title, body, f"_{commit}_"))) + "\n"
