"""What can be bought: `/v2/regions`, `/v2/sizes` and `/v2/images`, from the one table of prices and sizes.

The words of the errors are DigitalOcean's: `Size is not available in this region.` (ChainSafe/forest-iac#437),
`Region is not available` (digitalocean/api-v2#41), `You specified an invalid size for Droplet creation.`
(scrapoxy/scrapoxy#89); those for a region and an image are formed like the last one.
"""

from components.metal.digitalocean.catalogue import IMAGES, REGIONS, SIZES
from lab.cloud.api import Reply, Request, not_found, page, unprocessable
from lab.cloud.core import Cloud, Route
from lab.cloud.store import Object

NO_CAPACITY = "Size is not available in this region."
"""Also what the API says when it is sold out (inlets/inlets-operator#111)."""

_FEATURES = ("backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer")
_FIRST_IMAGE = 160_000_000
_IMAGE_DATE = "2026-10-01T00:00:00Z"


def region(slug: object) -> Object:
    """The region as the API shows it. Raises a 422."""
    if not isinstance(slug, str) or slug not in REGIONS:
        raise unprocessable("You specified an invalid region for Droplet creation.")
    return {
        "slug": slug,
        "name": REGIONS[slug].name,
        "sizes": [name for name, size in SIZES.items() if slug in size.regions],
        "available": True,
        "features": list(_FEATURES),
    }


def size(slug: object, region_slug: str | None = None) -> Object:
    """The size as the API shows it; it is sold in that region. Raises a 422."""
    if not isinstance(slug, str) or slug not in SIZES:
        raise unprocessable("You specified an invalid size for Droplet creation.")
    found = SIZES[slug]
    if region_slug is not None and region_slug not in found.regions:
        raise unprocessable(NO_CAPACITY)
    return {
        "slug": slug,
        "description": found.description,
        "memory": found.memory_mib,
        "vcpus": found.vcpus,
        "disk": found.disk_gib,
        "transfer": found.transfer_tib,
        "price_monthly": found.price_monthly,
        "price_hourly": found.price_hourly,
        "regions": list(found.regions),
        "available": True,
    }


def image(wanted: object) -> Object:
    """The image, by its slug or number. Raises a 422."""
    for shown in map(_image, IMAGES):
        if wanted in (shown["slug"], shown["id"], str(shown["id"])):
            return shown
    raise unprocessable("You specified an invalid image for Droplet creation.")


def _image(slug: str) -> Object:
    found = IMAGES[slug]
    return {
        "id": _FIRST_IMAGE + list(IMAGES).index(slug),
        "slug": slug,
        "name": found.name,
        "distribution": found.distribution,
        "type": "base",
        "public": True,
        "regions": list(REGIONS),
        "min_disk_size": found.min_disk_gib,
        "size_gigabytes": 1.0,
        "created_at": _IMAGE_DATE,
        "description": f"{found.distribution} {found.name}",
        "tags": [],
        "status": "available",
        "error_message": "",
    }


def list_regions(request: Request, cloud: Cloud) -> Reply:  # noqa: ARG001 (a handler)
    """`GET /v2/regions`."""
    return page(request, "regions", [region(slug) for slug in REGIONS])


def list_sizes(request: Request, cloud: Cloud) -> Reply:  # noqa: ARG001 (a handler)
    """`GET /v2/sizes`."""
    return page(request, "sizes", [size(slug) for slug in SIZES])


def list_images(request: Request, cloud: Cloud) -> Reply:  # noqa: ARG001 (a handler)
    """`GET /v2/images`: distributions only, so nothing of another type, of a tag or private."""
    others = request.query.get("type", "distribution") != "distribution"
    own = request.query.get("private") == "true" or "tag_name" in request.query
    return page(request, "images", [] if others or own else [_image(slug) for slug in IMAGES])


def get_image(request: Request, cloud: Cloud) -> Reply:  # noqa: ARG001 (a handler)
    """`GET /v2/images/{id or slug}`."""
    for shown in map(_image, IMAGES):
        if request.params["id"] in (shown["slug"], str(shown["id"])):
            return Reply(200, {"image": shown})
    raise not_found()


ROUTES = (
    Route("GET", "/v2/regions", list_regions),
    Route("GET", "/v2/sizes", list_sizes),
    Route("GET", "/v2/images", list_images),
    Route("GET", "/v2/images/{id}", get_image),
)
