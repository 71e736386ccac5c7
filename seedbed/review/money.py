"""What the resources of a preview cost a month, before and after: what is there, not what the settings would have."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from components.metal.digitalocean.catalogue import SIZES
from components.metal.digitalocean.cost import CURRENCY, Line, Order, changes, dollars, lines, total
from seedbed.review import words
from seedbed.review.data import BUCKET, VOLUME
from seedbed.review.machines import DROPLET
from seedbed.review.network import BALANCER
from seedbed.review.steps import CLOUD, Resource, State, value

ADDRESS = f"{CLOUD}reservedIp:ReservedIp"

THRESHOLD = Decimal(100)
"""Dollars a month: somebody should have seen that a change costs more than this. Two larger machines, about."""


@dataclass(frozen=True)
class Cost:
    """`text` is a line in Markdown, empty where nothing is bought; `increase` is in dollars a month."""

    text: str
    increase: Decimal

    @property
    def is_risk(self) -> bool:
        """Whether a person has to have seen it."""
        return self.increase > THRESHOLD


def difference(resources: Sequence[Resource]) -> Cost:
    """What the changes do to the monthly cost, by today's prices on both sides."""
    before = _bill([(resource.type, resource.old) for resource in resources if resource.old is not None])
    after = _bill([(resource.type, resource.new) for resource in resources if resource.new is not None])
    old, new = total(before), total(after)
    unpriced = sorted(
        {size for one in resources if one.type == DROPLET for size in _sizes(one) if size and size not in SIZES}
    )
    without = f"; without {words.names(unpriced)}, whose price is not known" if unpriced else ""
    if not before and not after and not unpriced:
        return Cost("", Decimal(0))
    changed = changes(before, after)
    if not changed:
        return Cost(f"the same, {dollars(new)} {CURRENCY} a month{without}", Decimal(0))
    parts = [f"{words.prose(change.what)} {change.before} → {change.after}" for change in changed]
    text = f"{new - old:+.2f} {CURRENCY} a month, {dollars(old)} → {dollars(new)} ({', '.join(parts)}){without}"
    return Cost(text, new - old)


def _sizes(droplet: Resource) -> tuple[str, str]:
    return str(droplet.old_input("size") or ""), str(droplet.new_input("size") or "")


def _bill(there: Sequence[tuple[str, State]]) -> list[Line]:
    sizes: dict[str, str] = {}
    backups: set[str] = set()
    nodes = gib = addresses = 0
    bucket = False
    for kind, state in there:
        if kind == DROPLET:
            name, size = str(state.get("urn")), str(value(state, "inputs", "size"))
            if size in SIZES:
                sizes[name] = size
                backups |= {name} if value(state, "inputs", "backups") else set()
        elif kind == BALANCER:
            nodes += _number(state, "sizeUnit", 1)
        elif kind == VOLUME:
            gib += _number(state, "size", 0)
        addresses += kind == ADDRESS
        bucket |= kind == BUCKET
    return lines(
        Order(
            sizes=sizes,
            backups=frozenset(backups),
            balancer_nodes=nodes,
            volume_gib=gib,
            reserved_addresses=addresses,
            bucket=bucket,
        )
    )


def _number(state: State, field: str, default: int) -> int:
    found = value(state, "inputs", field)
    return int(found) if isinstance(found, int | float) else default
