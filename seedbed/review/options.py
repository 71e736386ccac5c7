"""Options of resources that change: Pulumi's own display shows none of them where nothing else changes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedbed.review import words
from seedbed.review.findings import Class, Risk
from seedbed.review.machines import HOSTS, NODE
from seedbed.review.steps import Change, Resource, State, name_of, type_of

LISTS = ("ignoreChanges", "replaceOnChanges", "additionalSecretOutputs")
TIMEOUTS = "customTimeouts"

_MEANS = {
    "protect": "it may be deleted",
    "hook": "it is deleted, or changed, without being asked for",
    "deletedWith": "it is deleted by itself",
    "ignoreChanges": "what differs there from now on is changed",
    "additionalSecretOutputs": "what is there stands in the state in clear",
    "retainOnDelete": "what is removed from the program is deleted",
}


@dataclass(frozen=True)
class Option:
    """One option that changes, in one way; `risk` is what that means, empty where it means no risk."""

    text: str
    risk: str


def changes(resources: Iterable[Resource]) -> tuple[list[Risk], list[str]]:
    """What options change: those that are a risk, and a line for each of the others."""
    found: dict[Option, list[Resource]] = {}
    for resource in resources:
        # Of what is deleted nothing is kept, and what is new had no options before.
        if resource.old is None or resource.new is None or resource.change is Change.OTHER:
            continue
        for option in _changed(resource.old, resource.new, replaced=resource.change is Change.REPLACE):
            found.setdefault(option, []).append(resource)
    risks, others = [], []
    for option, of in found.items():
        text = f"{option.text} on {_of(of)}"
        if option.risk:
            risks.append(Risk(Class.PROTECTION, f"{text}: **{option.risk}**"))
        else:
            others.append(text)
    return risks, others


def _of(resources: Sequence[Resource]) -> str:
    """Names; where all are parts of machines and many, those of the machines."""
    listed = sorted({resource.name for resource in resources})
    if len(listed) <= words.MOST_NAMES:
        return words.names(listed)
    parents = [str(resource.state.get("parent") or "") for resource in resources]
    if all(type_of(parent) in (NODE, *HOSTS) for parent in parents):
        owners = sorted(set(map(name_of, parents)))
        return f"{words.count(len(resources), 'resource')} of {words.names(owners)}"
    return f"{words.count(len(listed), 'resource')}: {words.names(listed)}"


def _changed(old: State, new: State, *, replaced: bool) -> Iterator[Option]:
    yield from _flag("protect", old, new, risk_when_gone=_MEANS["protect"])
    yield from _flag(
        "retainOnDelete",
        old,
        new,
        risk_when_gone=_MEANS["retainOnDelete"],
        risk_when_new="it stays, and is paid for, when the program has forgotten it",
    )
    yield from _hooks(old, new)
    with_old, with_new = (name_of(str(state.get("deletedWith") or "")) for state in (old, new))
    if with_old != with_new and not (replaced and with_old and with_new):
        risk = "" if with_new else _MEANS["deletedWith"]
        yield Option(f"`deletedWith` {_or_none(with_old)} → {_or_none(with_new)}", risk)
    for name in LISTS:
        yield from _list(name, _strings(old.get(name)), _strings(new.get(name)))
    if _timeouts(old) != _timeouts(new):
        yield Option(f"`{TIMEOUTS}` {_shown(_timeouts(old))} → {_shown(_timeouts(new))}", "")


def _flag(name: str, old: State, new: State, *, risk_when_gone: str, risk_when_new: str = "") -> Iterator[Option]:
    was, is_ = bool(old.get(name)), bool(new.get(name))
    if was != is_:
        yield Option(f"`{name}` {'dropped' if was else 'added'}", risk_when_gone if was else risk_when_new)


def _hooks(old: State, new: State) -> Iterator[Option]:
    before, after = _bound(old), _bound(new)
    for when, hook in sorted(before - after):
        yield Option(f"hook {words.code(hook)} ({words.prose(when)}) dropped", _MEANS["hook"])
    for when, hook in sorted(after - before):
        yield Option(f"hook {words.code(hook)} ({words.prose(when)}) added", "")


def _bound(state: State) -> set[tuple[str, str]]:
    hooks = state.get("resourceHooks")
    if not isinstance(hooks, Mapping):
        return set()
    return {(str(when), str(hook)) for when, listed in hooks.items() for hook in listed or ()}


def _list(name: str, old: Sequence[str], new: Sequence[str]) -> Iterator[Option]:
    gone, come = [one for one in old if one not in new], [one for one in new if one not in old]
    if gone:
        yield Option(f"`{name}` loses {words.names(gone)}", _MEANS.get(name, ""))
    if come:
        risk = "nobody will be shown what differs there from now on" if name == "ignoreChanges" else ""
        yield Option(f"`{name}` gains {words.names(come)}", risk)


def _strings(found: Any) -> list[str]:  # noqa: ANN401 (JSON)
    return [str(one) for one in found] if isinstance(found, list) else []


def _timeouts(state: State) -> dict[str, float]:
    """Seconds by operation."""
    found = state.get(TIMEOUTS)
    return {key: float(seconds) for key, seconds in found.items() if seconds} if isinstance(found, Mapping) else {}


def _shown(timeouts: Mapping[str, float]) -> str:
    return ", ".join(f"{words.prose(key)} {seconds:g} s" for key, seconds in sorted(timeouts.items())) or "none"


def _or_none(name: str) -> str:
    return words.code(name) if name else "nothing"
