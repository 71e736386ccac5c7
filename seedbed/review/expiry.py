"""What a bucket deletes by itself, and whether it does so sooner than before."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seedbed.review import words
from seedbed.review.steps import UNKNOWN, Resource, State

FIELDS = {"forceDestroy", "lifecycleRules", "versioning"}
"""Inputs of a bucket that say how long it keeps what is in it."""

_KINDS = {"expiration": "what is in it", "noncurrentVersionExpiration": "earlier versions of what is in it"}
"""Of a rule, by what of it they delete. Source: pulumi_digitalocean, SpacesBucketLifecycleRule."""


@dataclass(frozen=True)
class Expiry:
    """That what begins with `prefix` is deleted; `days` is None where that is at a date, or not known."""

    kind: str
    prefix: str
    days: int | None
    date: str = ""

    def covers(self, other: "Expiry") -> bool:
        """Whether all that the other deletes is deleted by this one, and no later."""
        if self == other:
            return True
        if self.days is None or other.days is None or self.days > other.days:
            return False
        return self.kind == other.kind and other.prefix.startswith(self.prefix)

    def __str__(self) -> str:
        if self.days is not None:
            return f"after {words.count(self.days, 'day')}"
        return f"on {words.prose(self.date)}" if self.date else "at a time that is known later"


def kept_less(bucket: Resource) -> Iterator[str]:
    """How an update of a bucket has it keep less than before, in Markdown."""
    name = f"bucket {words.code(bucket.name)}"
    old, new = _expiries(bucket.old), _expiries(bucket.new)
    for expiry in new:
        if not any(was.covers(expiry) for was in old):
            before = [str(was) for was in old if was.kind == expiry.kind and expiry.prefix.startswith(was.prefix)]
            where = f" below {words.code(expiry.prefix)}" if expiry.prefix else ""
            sooner = f"**{name} deletes {_KINDS[expiry.kind]}{where} {expiry}**"
            yield f"{sooner}, until now {words.sentence(before) or 'never'}"
    if _input(bucket.new, "forceDestroy") and not _input(bucket.old, "forceDestroy"):
        yield f"{name} may be deleted with all that is in it: `forceDestroy`"
    if _versioned(bucket.old) and not _versioned(bucket.new):
        yield f"{name} keeps no earlier versions any more"


def _input(state: State | None, name: str) -> Any:  # noqa: ANN401 (JSON)
    return ((state or {}).get("inputs") or {}).get(name)


def _versioned(state: State | None) -> bool:
    found = _input(state, "versioning")
    return isinstance(found, Mapping) and found.get("enabled") is True


def _expiries(state: State | None) -> list[Expiry]:
    rules = _input(state, "lifecycleRules") or []
    found: list[Expiry] = []
    for rule in rules if isinstance(rules, list) else [rules]:
        if not isinstance(rule, Mapping):
            # All of it known later, or secret: whatever it is, it was not there before.
            found.append(Expiry("expiration", "", None))
        elif rule.get("enabled") is not False:
            found += [expiry for kind in _KINDS if (expiry := _expiry(kind, rule)) is not None]
    return found


def _expiry(kind: str, rule: Mapping[str, Any]) -> Expiry | None:
    """None where it deletes nothing, such as markers of what is deleted already. A prefix that is not known may be any."""
    when, prefix = rule.get(kind), str(rule.get("prefix") or "")
    if prefix == UNKNOWN:
        prefix = ""
    days, date = (when.get("days"), when.get("date")) if isinstance(when, Mapping) else (when, None)
    if isinstance(days, int | float) and days:
        return Expiry(kind, prefix, int(days))
    if not days and not date:
        return None
    return Expiry(kind, prefix, None, "" if days or date == UNKNOWN else str(date))
