"""What a stack costs, against sums that were made by hand from DigitalOcean's price list."""

from dataclasses import replace
from decimal import Decimal

from components.metal.digitalocean import cost
from components.metal.digitalocean.catalogue import DATE
from components.metal.digitalocean.cost import Change, Line, Order

NOTHING = Order(sizes={}, backups=frozenset(), balancer_nodes=0, volume_gib=0, reserved_addresses=0, bucket=False)
PROD = Order(
    sizes={
        "server-a": "s-2vcpu-4gb",
        "server-b": "s-2vcpu-4gb",
        "server-c": "s-2vcpu-4gb",
        "agent-a": "s-4vcpu-8gb",
        "agent-b": "s-4vcpu-8gb",
    },
    backups=frozenset(),
    balancer_nodes=1,
    volume_gib=200,
    reserved_addresses=0,
    bucket=True,
)


def test_a_stack_costs_its_droplets_its_load_balancer_its_volumes_and_its_bucket():
    # 3 x 24 + 2 x 48 + 1 x 12 + 200 x 0.10 + 5
    assert cost.total(cost.lines(PROD)) == Decimal("205.00")


def test_every_size_is_a_line_of_its_own():
    assert cost.lines(PROD)[:2] == [
        Line("droplet s-2vcpu-4gb", 3, Decimal(24)),
        Line("droplet s-4vcpu-8gb", 2, Decimal(48)),
    ]


def test_backups_every_day_cost_three_tenths_of_their_droplets():
    backed_up = replace(PROD, backups=frozenset({"agent-a", "server-a"}))
    # 205 + 0.3 x 48 + 0.3 x 24
    assert cost.total(cost.lines(backed_up)) == Decimal("226.60")


def test_each_node_of_the_load_balancer_costs():
    assert cost.total(cost.lines(replace(NOTHING, balancer_nodes=3))) == Decimal("36.00")


def test_small_volumes_cost_cents():
    assert cost.total(cost.lines(replace(NOTHING, volume_gib=7))) == Decimal("0.70")


def test_an_assigned_reserved_address_is_free_and_named():
    assert cost.lines(replace(NOTHING, reserved_addresses=1)) == [Line("reserved address, assigned", 1, Decimal(0))]


def test_nothing_costs_nothing():
    assert cost.lines(NOTHING) == []
    assert cost.total([]) == 0


def test_a_change_is_named_by_what_is_more_and_what_is_less():
    sizes = dict(PROD.sizes, **{"agent-b": "c-4", "agent-c": "c-4"})
    later = replace(PROD, sizes=sizes, volume_gib=250, bucket=False)
    assert cost.changes(cost.lines(PROD), cost.lines(later)) == [
        Change("droplet c-4", 0, 2, Decimal(168)),
        Change("droplet s-4vcpu-8gb", 2, 1, Decimal(-48)),
        Change("GiB of volumes", 200, 250, Decimal("5.00")),
        Change("Spaces, for all buckets of the account", 1, 0, Decimal(-5)),
    ]


def test_the_same_order_changes_nothing():
    assert cost.changes(cost.lines(PROD), cost.lines(replace(PROD))) == []


def test_the_stack_tells_its_sum_and_the_day_of_the_prices():
    assert cost.output(PROD) == {"USD": "205.00", "pricesOf": DATE}
