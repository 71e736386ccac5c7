"""The table of what DigitalOcean sells fits together; whether it is true is said by its sources."""

import datetime
from decimal import Decimal

import pytest

from components.metal.digitalocean.catalogue import DATE, IMAGES, PRICES, REGIONS, SIZES


def test_its_date_is_a_day():
    assert datetime.date.fromisoformat(DATE) <= datetime.date(2100, 1, 1)


@pytest.mark.parametrize("slug", SIZES)
def test_a_size_is_sold_in_regions_of_the_table_only(slug: str):
    assert set(SIZES[slug].regions) <= set(REGIONS)
    assert SIZES[slug].regions


@pytest.mark.parametrize("slug", SIZES)
def test_a_slug_says_what_its_size_has(slug: str):
    """As `s-2vcpu-4gb` does, and `c-4`, which has twice as many GiB as vCPUs."""
    size = SIZES[slug]
    family, *parts = slug.split("-")
    if family == "c":
        assert (size.vcpus, size.memory_mib) == (int(parts[0]), int(parts[0]) * 2048)
    elif not slug.endswith("512mb-10gb"):
        assert parts[0] == f"{size.vcpus}vcpu"
        assert parts[1] == f"{size.memory_mib // 1024}gb"


def test_an_hour_costs_what_the_api_says():
    """Prices by the hour that its answers were seen to have."""
    assert SIZES["s-2vcpu-4gb"].price_hourly == 0.03571
    assert SIZES["s-1vcpu-512mb-10gb"].price_hourly == 0.00595
    assert SIZES["c-4"].price_hourly == 0.125
    assert SIZES["g-2vcpu-8gb"].price_hourly == 0.09375


def test_more_of_a_kind_costs_more():
    for one in SIZES.values():
        for other in SIZES.values():
            if one.description == other.description and (one.vcpus, one.memory_mib) < (other.vcpus, other.memory_mib):
                assert one.price_monthly < other.price_monthly


def test_every_image_fits_on_the_smallest_disk():
    assert max(image.min_disk_gib for image in IMAGES.values()) <= min(size.disk_gib for size in SIZES.values())


def test_prices_are_exact_to_the_cent():
    assert PRICES.volume_gib * 3 == Decimal("0.30")
