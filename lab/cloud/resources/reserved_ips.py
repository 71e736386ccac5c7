"""Reserved IPs: addresses that lead to a droplet, or nowhere, and that outlive it.

Sources: https://docs.digitalocean.com/reference/api/reference/reserved-ips/ (made for a droplet or for a region, one a
droplet, actions `assign` and `unassign`); the number and type of an action, and "already has a pending event", from
github.com/digitalocean/doctl/issues/493, and that of a droplet from
github.com/digitalocean/terraform-provider-digitalocean/issues/1034.
"""

from functools import partial
from ipaddress import IPv4Address

from lab.cloud.api import Reply, Request, not_found, page, shown, unprocessable
from lab.cloud.core import Cloud, Route
from lab.cloud.resources import catalogue, projects
from lab.cloud.store import Object

FIRST, LAST = 200, 254
"""Where in the lab's subnet they are."""

_KIND = "reserved_ip"


def create(request: Request, cloud: Cloud) -> Reply:
    """For a region, or for a droplet: then with an action that assigns it."""
    wanted = request.body.get("droplet_id")
    droplet = _free_droplet(cloud, wanted) if wanted else None
    slug = droplet["region"]["slug"] if droplet else request.body.get("region")
    if not slug:
        raise unprocessable("either droplet_id or region is required")
    if len(cloud.store.all("reserved_ips")) >= cloud.account.reserved_ip_limit:
        raise unprocessable("creating this reserved IP will exceed your reserved IP limit")
    address = cloud.free_public(FIRST, LAST)
    reserved = {"ip": address, "region": catalogue.region(slug), "_droplet": None, "_wanted": None, "_public": address}
    projects.enter(cloud, f"do:reservedip:{address}", request.body.get("project_id"))
    cloud.store.add("reserved_ips", address, reserved)
    links: Object = {}
    if droplet is not None:
        action = _lead(cloud, reserved, droplet["id"])
        link = {"id": action["id"], "rel": action["type"], "href": f"{request.base}/v2/actions/{action['id']}"}
        place = f"{request.base}/v2/droplets/{droplet['id']}"
        links = {"actions": [link], "droplets": [{"id": droplet["id"], "rel": "droplet", "href": place}]}
    return Reply(202, {"reserved_ip": _shown(cloud, reserved), "links": links})


def get(request: Request, cloud: Cloud) -> Reply:
    """One, with its droplet."""
    return Reply(200, {"reserved_ip": _shown(cloud, cloud.find("reserved_ips", request.params["ip"]))})


def index(request: Request, cloud: Cloud) -> Reply:
    """All."""
    return page(request, "reserved_ips", [_shown(cloud, item) for item in cloud.store.listed("reserved_ips")])


def delete(request: Request, cloud: Cloud) -> Reply:
    """It leads nowhere, and may be given to somebody else."""
    reserved = _idle(cloud, request.params["ip"])
    cloud.store.remove("reserved_ips", reserved["ip"])
    if reserved["_droplet"] is not None:
        cloud.store.add("_leaving_ips", reserved["ip"], reserved)
    return Reply(204)


def act(request: Request, cloud: Cloud) -> Reply:
    """`assign` to a droplet, from wherever it is, or `unassign`."""
    reserved = _idle(cloud, request.params["ip"])
    kind = request.text("type")
    if kind == "assign":
        droplet = _free_droplet(cloud, request.whole("droplet_id"), reserved)
        if droplet["region"]["slug"] != reserved["region"]["slug"]:
            raise unprocessable("The Droplet is not in the region of the reserved IP.")
        return Reply(201, {"action": shown(_lead(cloud, reserved, droplet["id"]))})
    if kind == "unassign":
        if reserved["_droplet"] is None:
            raise unprocessable("The reserved IP is not assigned to a Droplet.")
        return Reply(201, {"action": shown(_lead(cloud, reserved, None))})
    raise unprocessable(f"type must be assign or unassign, not {kind!r}")


def actions(request: Request, cloud: Cloud) -> Reply:
    """Of one address, newest first."""
    return page(request, "actions", [shown(action) for action in reversed(_actions(request, cloud))])


def action(request: Request, cloud: Cloud) -> Reply:
    """One of one address."""
    for item in _actions(request, cloud):
        if str(item["id"]) == request.params["action"]:
            return Reply(200, {"action": shown(item)})
    raise not_found()


def _actions(request: Request, cloud: Cloud) -> list[Object]:
    number = _number(cloud.find("reserved_ips", request.params["ip"])["ip"])
    return [
        item for item in cloud.store.all("actions") if item["resource_type"] == _KIND and item["resource_id"] == number
    ]


def _number(address: str) -> int:
    return int(IPv4Address(address))


def _shown(cloud: Cloud, reserved: Object) -> Object:
    droplet = cloud.store.get("droplets", reserved["_droplet"]) if reserved["_droplet"] is not None else None
    return shown(reserved) | {
        "droplet": shown(droplet) if droplet else None,
        "locked": cloud.pending(_KIND, _number(reserved["ip"])),
        "project_id": projects.of(cloud, f"do:reservedip:{reserved['ip']}"),
    }


def _idle(cloud: Cloud, address: str) -> Object:
    reserved = cloud.find("reserved_ips", address)
    if cloud.pending(_KIND, _number(address)):
        raise unprocessable("The reserved IP already has a pending event.")
    return reserved


def _free_droplet(cloud: Cloud, id: object, reserved: Object | None = None) -> Object:
    """A droplet that can have this address. Raises a 422."""
    droplet = cloud.store.get("droplets", id) if isinstance(id, int) else None
    if droplet is None:
        raise unprocessable("The Droplet could not be found.")
    if cloud.pending("droplet", droplet["id"]):
        raise unprocessable("Droplet already has a pending event.")
    if any(item["_wanted"] == droplet["id"] and item is not reserved for item in cloud.store.all("reserved_ips")):
        raise unprocessable("The Droplet already has a reserved IP.")
    return droplet


def _lead(cloud: Cloud, reserved: Object, droplet: int | None) -> Object:
    """Starts the action that has it lead there; it is assigned when that is done."""
    kind = "unassign_ip" if droplet is None else "assign_ip"
    address = reserved["ip"]
    reserved["_wanted"] = droplet
    return cloud.act(kind, _KIND, _number(address), reserved["region"], partial(_done, cloud, address, droplet))


def _done(cloud: Cloud, address: str, droplet: int | None) -> None:
    if droplet is None:
        _tell(cloud, address, None)
        return
    with cloud.machine(droplet):
        with cloud.changing():
            there = cloud.store.get("droplets", droplet) is not None
        _tell(cloud, address, droplet if there else None)


def _tell(cloud: Cloud, address: str, droplet: int | None) -> None:
    cloud.hypervisor.reserve(address, droplet)
    with cloud.changing():
        reserved = cloud.store.get("reserved_ips", address)
        if reserved is not None:
            reserved |= {"_droplet": droplet, "_wanted": droplet}


def resume(cloud: Cloud) -> None:
    """What the last process had begun is not done."""
    for reserved in cloud.store.all("reserved_ips"):
        reserved["_wanted"] = reserved["_droplet"]


def reconcile(cloud: Cloud) -> None:
    """Addresses that were removed, or whose droplet is gone, lead nowhere."""
    with cloud.changing():
        leaving = [item["ip"] for item in cloud.store.all("_leaving_ips")]
        lost = [
            item["ip"]
            for item in cloud.store.all("reserved_ips")
            if item["_droplet"] is not None and cloud.store.get("droplets", item["_droplet"]) is None
        ]
    for address in lost:
        _tell(cloud, address, None)
    for address in leaving:
        cloud.hypervisor.reserve(address, None)
        with cloud.changing():
            cloud.store.remove("_leaving_ips", address)


ROUTES = (
    Route("POST", "/v2/reserved_ips", create),
    Route("GET", "/v2/reserved_ips", index),
    Route("GET", "/v2/reserved_ips/{ip}", get),
    Route("DELETE", "/v2/reserved_ips/{ip}", delete),
    Route("POST", "/v2/reserved_ips/{ip}/actions", act),
    Route("GET", "/v2/reserved_ips/{ip}/actions", actions),
    Route("GET", "/v2/reserved_ips/{ip}/actions/{action}", action),
)
