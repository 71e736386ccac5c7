"""What `seedbed drift` says in the end: a line for each machine, what else differs, and what to do."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from stacks.generations import Record, warning
from stacks.model import PROJECT
from stacks.settings import Settings

DRIFT, UNSEEN = 2, 1
"""Exit codes; 0 is for neither. Drift that was found is told even where not all could be looked at."""


@dataclass
class Subject:
    """A machine by its full name, or something else of the stack by its kind and name.

    `drift` is how it differs, `unseen` why not all of it could be looked at, `notes` what a person should know besides.
    """

    name: str
    record: Record | None = None
    drift: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def code(subjects: Iterable[Subject]) -> int:
    """The exit code."""
    found = list(subjects)
    if any(subject.drift for subject in found):
        return DRIFT
    return UNSEEN if any(subject.unseen for subject in found) else 0


def lines(settings: Settings, machines: Sequence[Subject], others: Sequence[Subject]) -> Iterator[str]:
    """The whole of it; `others` are only those with something to say.

    Much of it was said by machines that are perhaps no longer ours, and goes to a person's terminal: what could move the
    cursor there, and so write over another line, is a space.
    """
    for line in _lines(settings, machines, others):
        yield "".join(letter if letter.isprintable() else " " for letter in line)


def _lines(settings: Settings, machines: Sequence[Subject], others: Sequence[Subject]) -> Iterator[str]:
    subjects = [*machines, *others]
    width = max((len(subject.name) for subject in subjects), default=0)
    for subject in subjects:
        yield f"{subject.name.ljust(width)}  {_outcome(subject)}"
    yield from _other_settings(settings, machines, clean=code(subjects) == 0)
    advice = [*(_replace(settings, one.name) for one in machines if one.drift), *_put_back(others)]
    if advice:
        yield ""
        yield from advice
    unseen = [subject.name for subject in subjects if subject.unseen]
    if unseen:
        yield ""
        yield f"Not all of this was looked at: {', '.join(unseen)}. Whether it drifted is not known."


def _outcome(subject: Subject) -> str:
    parts = []
    if subject.drift:
        parts.append(f"drifted: {'; '.join(subject.drift)}")
    if subject.unseen:
        parts.append(f"not looked at: {'; '.join(subject.unseen)}")
    if not parts:
        parts.append("as it was paved")
    return "; ".join(parts) + "".join(f" ({note})" for note in subject.notes)


def _other_settings(settings: Settings, machines: Sequence[Subject], *, clean: bool) -> Iterator[str]:
    current = {settings.full_name(name): name for name in settings.machines}
    texts = [
        text
        for one in machines
        if one.name in current and one.record is not None and (text := warning(settings, current[one.name], one.record))
    ]
    if texts:
        yield ""
        yield "No drift, but:" if clean else "Besides, which is no drift:"
        yield from (f"  {text}" for text in texts)


def _replace(settings: Settings, full_name: str) -> str:
    """A machine that drifted is never edited."""
    name, _, generation = full_name.rpartition("-")
    if name not in settings.machines:
        return f"{full_name}: it is in the settings no more: with it on {PROJECT}:retire, `pulumi up` takes it out"
    current = settings.machines[name].generation
    if current != int(generation):
        return f"{full_name}: {settings.full_name(name)} is to take its place: go on with that, do not edit the old one"
    return f"{full_name}: do not edit it, replace it: generation {current + 1} for {name}, and {full_name} on {PROJECT}:retire"


def _put_back(others: Sequence[Subject]) -> Iterator[str]:
    if any(one.drift for one in others):
        yield (
            "What is no machine of the stack: `pulumi preview --refresh` shows what `pulumi up --refresh` would put back; what the "
            "state does not know stays, until somebody who knows what it is removes it"
        )
