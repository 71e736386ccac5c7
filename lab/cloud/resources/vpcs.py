"""`/v2/vpcs`: private networks of a region.

The first VPC of a region becomes its default, in which droplets land that ask for none, and which cannot be deleted until
another one is made the default (digitalocean/godo#337). DigitalOcean's messages: `Can not delete VPC with members` (409,
pulumi/pulumi-digitalocean#753), `Can not unset default VPCs` (403, digitalocean/terraform-provider-digitalocean#747); a
default one's deletion is a 403 (digitalocean/doctl#930). Limits of names and ranges: API reference, "VPCs".
"""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError

from components.metal.digitalocean.catalogue import REGIONS
from lab.cloud.api import Reply, Request, conflict, forbidden, page, shown, unprocessable, urn
from lab.cloud.core import Cloud, Route
from lab.cloud.resources import catalogue
from lab.cloud.store import Object

_NAME = re.compile(r"[A-Za-z0-9.-]{1,255}")
_DESCRIPTION_MAX = 255
_WIDEST, _NARROWEST = 16, 28
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_MEMBERS = {"droplets": "droplet", "dying_droplets": "droplet", "load_balancers": "loadbalancer"}


def default(cloud: Cloud, region: str) -> Object:
    """The default VPC of the region; made now if there is none."""
    for vpc in cloud.store.all("vpcs"):
        if vpc["region"] == region and vpc["default"]:
            return vpc
    return _add(cloud, f"default-{region}", "", region, _free_range(cloud))


def members(cloud: Cloud, vpc: str) -> Iterator[tuple[str, Object]]:
    """Word of the URN and object of what has an address in it, machines that are being ended too."""
    for kind, word in _MEMBERS.items():
        for item in cloud.store.all(kind):
            if item.get("vpc_uuid") == vpc:
                yield word, item


def resume(cloud: Cloud) -> None:
    """Regions that the account used have a default VPC."""
    for region in cloud.account.used_regions:
        default(cloud, region)


def create(request: Request, cloud: Cloud) -> Reply:
    """`POST /v2/vpcs`."""
    name, region = _name(request, cloud, None), catalogue.region(request.text("region"))["slug"]
    description, text = _description(request), request.body.get("ip_range")
    network = _free_range(cloud) if not text else _range(cloud, text)
    return Reply(201, {"vpc": shown(_add(cloud, name, description, region, network))})


def index(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/vpcs`."""
    return page(request, "vpcs", [shown(vpc) for vpc in cloud.store.listed("vpcs")])


def get(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/vpcs/{id}`."""
    return Reply(200, {"vpc": shown(cloud.find("vpcs", request.params["id"]))})


def update(request: Request, cloud: Cloud) -> Reply:
    """`PUT` and `PATCH /v2/vpcs/{id}`: name, description, and whether it is the region's default."""
    vpc = cloud.find("vpcs", request.params["id"])
    wanted = request.body.get("default")
    if wanted is False and vpc["default"]:
        raise forbidden("Can not unset default VPCs")
    name = _name(request, cloud, vpc["id"]) if request.method == "PUT" or "name" in request.body else vpc["name"]
    description = _description(request) if "description" in request.body else vpc["description"]
    vpc |= {"name": name, "description": description}
    if wanted:
        for other in cloud.store.all("vpcs"):
            if other["region"] == vpc["region"]:
                other["default"] = other is vpc
    return Reply(200, {"vpc": shown(vpc)})


def delete(request: Request, cloud: Cloud) -> Reply:
    """`DELETE /v2/vpcs/{id}`: neither a default one nor one that has members."""
    vpc = cloud.find("vpcs", request.params["id"])
    if vpc["default"]:
        raise forbidden("Can not delete default VPCs")
    if any(members(cloud, vpc["id"])):
        raise conflict("Can not delete VPC with members")
    cloud.store.remove("vpcs", vpc["id"])
    return Reply(204)


def list_members(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/vpcs/{id}/members`, all or of one `resource_type`."""
    vpc = cloud.find("vpcs", request.params["id"])
    only = request.query.get("resource_type")
    found = [
        {"urn": urn(word, item["id"]), "name": item["name"], "created_at": item["created_at"]}
        for word, item in members(cloud, vpc["id"])
        if only in (None, "", word)
    ]
    return page(request, "members", found)


def _add(cloud: Cloud, name: str, description: str, region: str, network: IPv4Network) -> Object:
    first = not any(vpc["region"] == region for vpc in cloud.store.all("vpcs"))
    id = cloud.uuid()
    vpc = {
        "id": id,
        "urn": urn("vpc", id),
        "name": name,
        "description": description,
        "region": region,
        "ip_range": str(network),
        "created_at": cloud.now(),
        "default": first,
    }
    return cloud.store.add("vpcs", id, vpc)


def _name(request: Request, cloud: Cloud, own: str | None) -> str:
    name = request.text("name")
    if not _NAME.fullmatch(name):
        raise unprocessable("name is invalid: alphanumeric characters, dashes and periods only")
    if any(vpc["name"] == name and vpc["id"] != own for vpc in cloud.store.all("vpcs")):
        raise unprocessable(f"name must be unique: there is a VPC {name} already")
    return name


def _description(request: Request) -> str:
    text = request.body.get("description") or ""
    if not isinstance(text, str) or len(text) > _DESCRIPTION_MAX:
        raise unprocessable(f"description must be a text of at most {_DESCRIPTION_MAX} characters")
    return text


def _range(cloud: Cloud, text: object) -> IPv4Network:
    try:
        network = IPv4Network(str(text))
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise unprocessable(f"ip_range is invalid: {error}") from error
    if not any(network.subnet_of(private) for private in _PRIVATE):
        raise unprocessable("ip_range is invalid: it must be within the private ranges of RFC 1918")
    if not _WIDEST <= network.prefixlen <= _NARROWEST:
        raise unprocessable(f"ip_range is invalid: its prefix must be between /{_WIDEST} and /{_NARROWEST}")
    for vpc in cloud.store.all("vpcs"):
        if network.overlaps(IPv4Network(vpc["ip_range"])):
            raise unprocessable("This range/size overlaps with another VPC network in your account")
    return network


def _free_range(cloud: Cloud) -> IPv4Network:
    """The first /20 from 10.104.0.0 on that nobody has, as DigitalOcean gives them."""
    taken = [IPv4Network(vpc["ip_range"]) for vpc in cloud.store.all("vpcs")]
    for second in range(104, 104 + 2 * len(REGIONS) + 2 * len(taken) + 1):
        network = IPv4Network(f"10.{second}.0.0/20")
        if not any(network.overlaps(other) for other in taken):
            return network
    raise unprocessable("no range is left for a VPC: give ip_range")


ROUTES = (
    Route("POST", "/v2/vpcs", create),
    Route("GET", "/v2/vpcs", index),
    Route("GET", "/v2/vpcs/{id}", get),
    Route("PUT", "/v2/vpcs/{id}", update),
    Route("PATCH", "/v2/vpcs/{id}", update),
    Route("DELETE", "/v2/vpcs/{id}", delete),
    Route("GET", "/v2/vpcs/{id}/members", list_members),
)
