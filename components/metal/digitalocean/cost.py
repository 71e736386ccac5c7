"""What a stack costs at DigitalOcean in a month, by the prices of `catalogue`.

What is free is not here (VPC, firewall, DNS, monitoring), nor what depends on use: transfer above what droplets include,
Spaces above its first 250 GiB, and tax.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from components.metal.digitalocean.catalogue import DATE, PRICES, SIZES

CURRENCY = "USD"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is taken: sizes of droplets by names of machines, the names of those with backups, nodes of the load balancer,
    GiB of all volumes, reserved addresses (each is assigned), and whether a bucket is used."""

    sizes: Mapping[str, str]
    backups: frozenset[str]
    balancer_nodes: int
    volume_gib: int
    reserved_addresses: int
    bucket: bool


@dataclass(frozen=True)
class Line:
    """So many of one thing; `each` is dollars a month."""

    what: str
    count: int
    each: Decimal

    @property
    def total(self) -> Decimal:
        return self.count * self.each


@dataclass(frozen=True)
class Change:
    """How the number of one thing changes, and by how many dollars a month."""

    what: str
    before: int
    after: int
    difference: Decimal


def lines(order: Order) -> list[Line]:
    """The bill, without what is not taken."""
    found = [
        Line(f"droplet {size}", count, Decimal(SIZES[size].price_monthly))
        for size, count in sorted(Counter(order.sizes.values()).items())
    ]
    # Without a policy of its own a droplet is backed up every day.
    # Source: https://www.pulumi.com/registry/packages/digitalocean/api-docs/droplet/#backuppolicy_python
    share = Decimal(PRICES.backups_daily_percent) / 100
    found += [
        Line(f"backups of {size}", count, SIZES[size].price_monthly * share)
        for size, count in sorted(Counter(order.sizes[name] for name in order.backups).items())
    ]
    found += [
        Line("load balancer node", order.balancer_nodes, PRICES.load_balancer_node),
        Line("GiB of volumes", order.volume_gib, PRICES.volume_gib),
        Line("reserved address, assigned", order.reserved_addresses, Decimal(0)),
        Line("Spaces, for all buckets of the account", int(order.bucket), PRICES.spaces),
    ]
    return [line for line in found if line.count]


def total(bill: Sequence[Line]) -> Decimal:
    """Dollars a month."""
    return sum((line.total for line in bill), Decimal(0))


def changes(before: Sequence[Line], after: Sequence[Line]) -> list[Change]:
    """What of a bill changes, in the order of the later one and then of the earlier."""
    old, new = {line.what: line for line in before}, {line.what: line for line in after}
    nothing = Line("", 0, Decimal(0))
    return [
        Change(what, one.count, other.count, other.total - one.total)
        for what in [*new, *(what for what in old if what not in new)]
        if (one := old.get(what, nothing)) != (other := new.get(what, nothing))
    ]


def output(order: Order) -> dict[str, str]:
    """What the stack tells: the sum, and the date of the prices."""
    return {CURRENCY: dollars(total(lines(order))), "pricesOf": DATE}


def dollars(amount: Decimal) -> str:
    """With two decimals."""
    return f"{amount:.2f}"
