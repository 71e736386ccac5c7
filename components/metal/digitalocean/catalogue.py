"""What DigitalOcean sells and for how much, of all that what a k3s stack would use, as it was on `DATE`.

A committed table, so that settings are checked and a stack is priced without the cloud, and the lab's cloud sells the same.
Its prices and regions were read somewhere: a size or a region of a size that is not here may exist all the same, and is
added here with where it was read. Dollars are US dollars a month, without tax.

Sources, each for what is said of it below:
- the API's own answers: droplets of 2026-10-05 (Basic sizes and their regions, image regions, price of s-2vcpu-4gb);
  regions' lists of sizes: lon1 and nyc1 of 2021, fra1 of 2022, nyc3 of 2020, sfo3 of 2026-10-05
- the slugs, resources and prices of Basic, Premium and CPU-Optimized sizes as `GET /v2/sizes` lists them:
  https://gist.github.com/banagale/56d1464ebc0035ae08d9710cadf87f6a and, with those of July 2022, which are in force,
  https://gist.github.com/colinwilson/cd31bde012f6727b24b2fc4ebee749c0
- General Purpose and Memory-Optimized: a month is 672 hours of the API's hourly prices (0.09375 for g-2vcpu-8gb, 0.375 for
  g-8vcpu-32gb, 0.125 for m-2vcpu-16gb, 0.25 for m-4vcpu-32gb), and g-4vcpu-16gb is between the first two
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

DATE = "2026-10-05"
"""The day on which the newest of the table's figures was true."""

SOURCE = "https://www.digitalocean.com/pricing"
"""Where a person compares."""

# A month is billed as at most so many hours.
# Source: https://docs.digitalocean.com/products/droplets/details/pricing/
HOURS_PER_MONTH = 672


@dataclass(frozen=True)
class Region:
    """A datacenter: its name in the control panel, and whether Spaces, the object storage, is there."""

    name: str
    spaces: bool


@dataclass(frozen=True)
class Size:
    """What a droplet can be. `transfer_tib` is what it may send a month; `regions` are those where it was seen on sale."""

    description: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    transfer_tib: float
    price_monthly: int
    regions: tuple[str, ...]

    @property
    def price_hourly(self) -> float:
        """As the API gives it."""
        return round(self.price_monthly / HOURS_PER_MONTH, 5)


@dataclass(frozen=True)
class Image:
    """A distribution's image; `name` as the API gives it, `min_disk_gib` what it needs at least."""

    distribution: str
    name: str
    min_disk_gib: int


@dataclass(frozen=True)
class Prices:
    """Dollars a month, but for the percentages, which are of the droplet's price."""

    load_balancer_node: Decimal
    volume_gib: Decimal
    snapshot_gib: Decimal
    reserved_ip_unassigned: Decimal
    spaces: Decimal
    """The subscription, one for all buckets of an account, with the first 250 GiB."""
    backups_weekly_percent: int
    backups_daily_percent: int


# Which have Spaces: https://docs.digitalocean.com/products/spaces/details/availability/ (23 March 2026). Regions that sell
# only GPU droplets are not here; atl1 is, for its Spaces, although none of the sizes below was seen there.
REGIONS: Mapping[str, Region] = MappingProxyType(
    {
        "ams3": Region("Amsterdam 3", spaces=True),
        "atl1": Region("Atlanta 1", spaces=True),
        "blr1": Region("Bangalore 1", spaces=True),
        "fra1": Region("Frankfurt 1", spaces=True),
        "lon1": Region("London 1", spaces=True),
        "nyc1": Region("New York 1", spaces=False),
        "nyc2": Region("New York 2", spaces=False),
        "nyc3": Region("New York 3", spaces=True),
        "sfo2": Region("San Francisco 2", spaces=True),
        "sfo3": Region("San Francisco 3", spaces=True),
        "sgp1": Region("Singapore 1", spaces=True),
        "syd1": Region("Sydney 1", spaces=True),
        "tor1": Region("Toronto 1", spaces=True),
    }
)

_BASIC = ("ams3", "blr1", "fra1", "lon1", "nyc1", "nyc2", "nyc3", "sfo2", "sfo3", "sgp1", "syd1", "tor1")
_PREMIUM = ("fra1", "lon1", "nyc1", "sfo3")
_DEDICATED = ("fra1", "lon1", "nyc1", "nyc3")

SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "s-1vcpu-512mb-10gb": Size("Basic", 1, 512, 10, 0.5, 4, _BASIC),
        "s-1vcpu-1gb": Size("Basic", 1, 1024, 25, 1, 6, _BASIC),
        "s-1vcpu-2gb": Size("Basic", 1, 2048, 50, 2, 12, _BASIC),
        "s-2vcpu-2gb": Size("Basic", 2, 2048, 60, 3, 18, _BASIC),
        "s-2vcpu-4gb": Size("Basic", 2, 4096, 80, 4, 24, _BASIC),
        "s-4vcpu-8gb": Size("Basic", 4, 8192, 160, 5, 48, _BASIC),
        "s-8vcpu-16gb": Size("Basic", 8, 16384, 320, 6, 96, _BASIC),
        "s-1vcpu-2gb-amd": Size("Basic AMD", 1, 2048, 50, 2, 14, _PREMIUM),
        "s-2vcpu-2gb-amd": Size("Basic AMD", 2, 2048, 60, 3, 21, _PREMIUM),
        "s-2vcpu-4gb-amd": Size("Basic AMD", 2, 4096, 80, 4, 28, _PREMIUM),
        "s-4vcpu-8gb-amd": Size("Basic AMD", 4, 8192, 160, 5, 56, _PREMIUM),
        "s-8vcpu-16gb-amd": Size("Basic AMD", 8, 16384, 320, 6, 112, _PREMIUM),
        "s-1vcpu-2gb-intel": Size("Basic Intel", 1, 2048, 50, 2, 14, _PREMIUM),
        "s-2vcpu-2gb-intel": Size("Basic Intel", 2, 2048, 60, 3, 21, _PREMIUM),
        "s-2vcpu-4gb-intel": Size("Basic Intel", 2, 4096, 80, 4, 28, _PREMIUM),
        "s-4vcpu-8gb-intel": Size("Basic Intel", 4, 8192, 160, 5, 56, _PREMIUM),
        "s-8vcpu-16gb-intel": Size("Basic Intel", 8, 16384, 320, 6, 112, _PREMIUM),
        "c-2": Size("CPU-Optimized", 2, 4096, 25, 4, 42, _DEDICATED),
        "c-4": Size("CPU-Optimized", 4, 8192, 50, 5, 84, _DEDICATED),
        "c-8": Size("CPU-Optimized", 8, 16384, 100, 6, 168, _DEDICATED),
        "c-16": Size("CPU-Optimized", 16, 32768, 200, 7, 336, ("fra1", "lon1", "nyc1")),
        "g-2vcpu-8gb": Size("General Purpose", 2, 8192, 25, 4, 63, _DEDICATED),
        "g-4vcpu-16gb": Size("General Purpose", 4, 16384, 50, 5, 126, _DEDICATED),
        "g-8vcpu-32gb": Size("General Purpose", 8, 32768, 100, 6, 252, _DEDICATED),
        "m-2vcpu-16gb": Size("Memory-Optimized", 2, 16384, 50, 4, 84, _DEDICATED),
        "m-4vcpu-32gb": Size("Memory-Optimized", 4, 32768, 100, 6, 168, _DEDICATED),
    }
)
"""Slug -> size; all are amd64."""

# Those that paving is made for. A slug stands for the newest build of the release, for as long as its distribution supports it;
# a list of distribution images of October 2026 had debian-13, ubuntu-22-04 and ubuntu-24-04, and debian-12 no more.
# Source: https://docs.digitalocean.com/products/droplets/details/image-deprecation/
IMAGES: Mapping[str, Image] = MappingProxyType(
    {
        "debian-12-x64": Image("Debian", "12 x64", 7),
        "debian-13-x64": Image("Debian", "13 x64", 7),
        "ubuntu-22-04-x64": Image("Ubuntu", "22.04 (LTS) x64", 7),
        "ubuntu-24-04-x64": Image("Ubuntu", "24.04 (LTS) x64", 7),
    }
)

PRICES = Prices(
    # https://docs.digitalocean.com/products/networking/load-balancers/details/pricing/ (28 February 2025), of the regional
    # kind that the API makes when none is named; a network load balancer's costs 15
    load_balancer_node=Decimal("12"),
    # https://docs.digitalocean.com/products/volumes/details/pricing/
    volume_gib=Decimal("0.10"),
    # https://docs.digitalocean.com/products/snapshots/details/pricing/
    snapshot_gib=Decimal("0.06"),
    # https://docs.digitalocean.com/products/networking/reserved-ips/details/pricing/ (25 June 2025);
    # an assigned one is free
    reserved_ip_unassigned=Decimal("5"),
    # https://docs.digitalocean.com/products/spaces/details/pricing/
    spaces=Decimal("5"),
    # https://docs.digitalocean.com/products/backups/details/pricing/ (9 March 2026)
    backups_weekly_percent=20,
    backups_daily_percent=30,
)
