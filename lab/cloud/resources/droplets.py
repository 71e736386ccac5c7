"""`/v2/droplets`: machines, from their creation to their end; what is done to them is in `actions`.

A droplet is `new` and without addresses until the hypervisor has begun to boot it, then `active`; the answer to its
creation has the `new` one, as DigitalOcean's has. Its end is at once for the API, while its name, its addresses and its
place in the VPC are taken until the hypervisor has ended the machine (kind `dying_droplets`). One that the hypervisor
has no room for ends with its `create` action in error.

Forms: godo v1.236.0 (`droplets.go`), DigitalOcean's API reference, "Droplets". DigitalOcean's messages: names
(digitalocean/doctl#257), volumes (digitalocean/doctl#321); the others are of the same kind in words of our own.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Interface, IPv4Network, IPv6Network
from typing import Any

from lab.cloud.api import Reply, Request, not_found, page, shown, unprocessable
from lab.cloud.core import DROPLET_ADDRESSES, Cloud, Route
from lab.cloud.hypervisor import Machine
from lab.cloud.resources import catalogue, keys, tags, volumes, vpcs
from lab.cloud.store import Object

USER_DATA_MAX = 64 * 1024
"""Bytes. Source: DigitalOcean's API reference, "Create a New Droplet"."""

NAMES_MAX = 10
"""Droplets that one request may make. Source: DigitalOcean's API reference, "Create Multiple Droplets"."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")
_FIRST = 500_000_000
_IPV6 = IPv6Network("2001:db8::/64")
_POLL_SECONDS = 0.05


def check_name(name: object) -> str:
    """A droplet's name. Raises a 422."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise unprocessable("Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)")
    return name


def create(request: Request, cloud: Cloud) -> Reply:
    """`POST /v2/droplets`: one by its `name`, or several by their `names`."""
    body = request.body
    several = "names" in body
    names = [check_name(name) for name in (request.texts("names") if several else [body.get("name")])]
    if not 1 <= len(names) <= NAMES_MAX:
        raise unprocessable(f"names must be a list of 1 to {NAMES_MAX} names")
    region = catalogue.region(body.get("region"))
    size, image = catalogue.size(body.get("size"), region["slug"]), catalogue.image(body.get("image"))
    if request.fault == "capacity":
        raise unprocessable(catalogue.NO_CAPACITY)
    if body.get("backups"):
        check_backup_policy(body.get("backup_policy") or {})
    public_keys = keys.public_keys(cloud, body.get("ssh_keys") or [])
    user_data = body.get("user_data") or ""
    if not isinstance(user_data, str) or len(user_data.encode()) > USER_DATA_MAX:
        raise unprocessable(f"user_data must be a text of at most {USER_DATA_MAX} bytes")
    attached = volumes.free(cloud, body.get("volumes") or [], region["slug"], several=several)
    if len(cloud.store.all("droplets")) + len(names) > cloud.account.droplet_limit:
        raise unprocessable("creating this/these droplet(s) will exceed your droplet limit")
    vpc = _vpc(cloud, body.get("vpc_uuid"), region["slug"])
    labels = tags.use(cloud, request.texts("tags"))
    made, actions = [], []
    for name in names:
        droplet = _new(cloud, name, region, size, image, vpc, body)
        droplet |= {"tags": list(labels), "_keys": public_keys, "_user_data": user_data}
        made.append(droplet)
        actions.append(_boot(cloud, droplet, attached, stuck=request.fault == "never-active"))
    links = {
        "actions": [
            {"id": action["id"], "rel": "create", "href": f"{request.base}/v2/actions/{action['id']}"}
            for action in actions
        ]
    }
    if several:
        return Reply(202, {"droplets": [shown(droplet) for droplet in made], "links": links})
    return Reply(202, {"droplet": shown(made[0]), "links": links})


def resume(cloud: Cloud) -> None:
    """What the last process had begun: machines that were to boot, and those that were to end."""
    for droplet in cloud.store.all("droplets"):
        if droplet["status"] == "new" and not droplet["_stuck"]:
            _boot(cloud, droplet, [], stuck=False)
        elif droplet["locked"]:
            droplet["locked"] = False
    for droplet in cloud.store.all("dying_droplets"):
        cloud.later(lambda droplet=droplet: _end(cloud, droplet))  # type: ignore[misc]


def index(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/droplets`, all or those of a `tag_name` or a `name`."""
    found = cloud.store.listed("droplets")
    if "tag_name" in request.query:
        tagged = cloud.tagged("droplets", request.query["tag_name"])
        found = [droplet for droplet in found if droplet in tagged]
    if "name" in request.query:
        wanted = request.query["name"].casefold()
        found = [droplet for droplet in found if droplet["name"].casefold() == wanted]
    if request.query.get("type") == "gpus":
        found = []
    return page(request, "droplets", [shown(droplet) for droplet in found])


def get(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/droplets/{id}`."""
    return Reply(200, {"droplet": shown(cloud.find("droplets", request.params["id"]))})


def delete(request: Request, cloud: Cloud) -> Reply:
    """`DELETE /v2/droplets/{id}`."""
    _remove(cloud, cloud.find("droplets", request.params["id"]))
    return Reply(204)


def delete_tagged(request: Request, cloud: Cloud) -> Reply:
    """`DELETE /v2/droplets?tag_name=`: all that carry the tag."""
    found = cloud.tagged("droplets", request.query.get("tag_name", ""))
    if not found:
        raise not_found()
    for droplet in found:
        _remove(cloud, droplet)
    return Reply(204)


def backup_policy(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/droplets/{id}/backups/policy`."""
    droplet = cloud.find("droplets", request.params["id"])
    enabled = "backups" in droplet["features"]
    policy = {"droplet_id": droplet["id"], "backup_enabled": enabled}
    if enabled:
        policy |= {"backup_policy": droplet["_backup_policy"], "next_backup_window": droplet["next_backup_window"]}
    return Reply(200, {"policy": policy})


def nothing(name: str) -> Callable[[Request, Cloud], Reply]:
    """A list of what a droplet never has here: backups, snapshots, kernels."""

    def handler(request: Request, cloud: Cloud) -> Reply:
        cloud.find("droplets", request.params["id"])
        return page(request, name, [])

    return handler


def show_addresses(cloud: Cloud, droplet: Object) -> None:
    """Fill in `networks`."""
    subnet, vpc = cloud.subnet, IPv4Network(cloud.find("vpcs", droplet["vpc_uuid"])["ip_range"])
    v4 = [
        _network(droplet["_public"], subnet, "public"),
        _network(droplet["_private"], vpc, "private"),
    ]
    v6 = []
    if "ipv6" in droplet["features"]:  # of the range for documentation (RFC 3849): the lab's network has no IPv6
        address = _IPV6[droplet["id"]]
        v6 = [{"ip_address": str(address), "netmask": 64, "gateway": str(_IPV6[1]), "type": "public"}]
    droplet["networks"] = {"v4": v4, "v6": v6}


def check_backup_policy(wanted: Mapping[str, Any]) -> None:
    """Raises a 422."""
    if wanted.get("plan") not in (None, "", "weekly", "daily"):
        raise unprocessable("backup_policy.plan must be weekly or daily")


def give_backups(droplet: Object, wanted: Mapping[str, Any]) -> None:
    """Switch backups on, with the policy that is asked for. Source of the defaults: API reference, "Backups"."""
    plan = wanted.get("plan") or "weekly"
    droplet["_backup_policy"] = {
        "plan": plan,
        "hour": wanted.get("hour") or 0,
        "window_length_hours": 4,
        "retention_period_days": 28 if plan == "weekly" else 7,
    }
    if plan == "weekly":
        droplet["_backup_policy"]["weekday"] = wanted.get("weekday") or "SUN"
    if "backups" not in droplet["features"]:
        droplet["features"].append("backups")


def _network(address: str, network: IPv4Network, kind: str) -> Object:
    return {"ip_address": address, "netmask": str(network.netmask), "gateway": str(network[1]), "type": kind}


def _vpc(cloud: Cloud, wanted: object, region: str) -> Object:
    if not wanted:
        return vpcs.default(cloud, region)
    vpc = cloud.store.get("vpcs", str(wanted))
    if vpc is None:
        raise unprocessable("vpc_uuid is invalid: there is no such VPC")
    if vpc["region"] != region:
        raise unprocessable(f"vpc_uuid is invalid: the VPC is in {vpc['region']} and the Droplet is to be in {region}")
    return vpc


def _new(
    cloud: Cloud, name: str, region: Object, size: Object, image: Object, vpc: Object, body: Mapping[str, Any]
) -> Object:
    id = cloud.store.number("droplets", _FIRST)
    wanted = {"monitoring": body.get("monitoring"), "ipv6": body.get("ipv6"), "private_networking": True}
    wanted["droplet_agent"] = body.get("with_droplet_agent") is not False
    droplet: Object = {
        "id": id,
        "name": name,
        "memory": size["memory"],
        "vcpus": size["vcpus"],
        "disk": size["disk"],
        "locked": True,
        "status": "new",
        "kernel": None,
        "created_at": cloud.now(),
        "features": [feature for feature, on in wanted.items() if on],
        "backup_ids": [],
        "next_backup_window": None,
        "snapshot_ids": [],
        "image": image,
        "volume_ids": [],
        "size": size,
        "size_slug": size["slug"],
        "networks": {"v4": [], "v6": []},
        "region": region,
        "tags": [],
        "vpc_uuid": vpc["id"],
        "_public": cloud.free_public(*DROPLET_ADDRESSES),
        "_private": cloud.free_private(vpc["id"]),
        "_made": False,
        "_stuck": False,
    }
    if body.get("backups"):
        give_backups(droplet, body.get("backup_policy") or {})
    return cloud.store.add("droplets", id, droplet)


def _boot(cloud: Cloud, droplet: Object, attached: Sequence[Object], *, stuck: bool) -> Object:
    droplet["_stuck"] = stuck
    for volume in attached:
        volume["droplet_ids"] = [droplet["id"]]
        droplet["volume_ids"].append(volume["id"])

    def work() -> None:
        while _lives(cloud, droplet) and _namesake_dies(cloud, droplet["name"]):
            time.sleep(_POLL_SECONDS)
        try:
            with cloud.machine(droplet["id"]):
                if not _lives(cloud, droplet):  # deleted meanwhile; whoever did that ends it
                    return
                cloud.hypervisor.create(_machine(cloud, droplet))
                for id in list(droplet["volume_ids"]):
                    volumes.plug(cloud, droplet["id"], id)
        except Exception:
            with cloud.changing():
                if _lives(cloud, droplet):
                    _remove(cloud, droplet)
            raise
        with cloud.changing():
            if _lives(cloud, droplet):
                droplet.update(status="active", locked=False, _made=True)
                show_addresses(cloud, droplet)

    return cloud.act("create", "droplet", droplet["id"], droplet["region"], None if stuck else work, seconds=0)


def _machine(cloud: Cloud, droplet: Object) -> Machine:
    with cloud.reading():
        prefix = IPv4Network(cloud.find("vpcs", droplet["vpc_uuid"])["ip_range"]).prefixlen
    return Machine(
        id=droplet["id"],
        name=droplet["name"],
        public=droplet["_public"],
        private=IPv4Interface(f"{droplet['_private']}/{prefix}"),
        user_data=droplet["_user_data"],
        ssh_keys=tuple(droplet["_keys"]),
        memory_mib=droplet["memory"],
        vcpus=droplet["vcpus"],
        region=droplet["region"]["slug"],
    )


def _lives(cloud: Cloud, droplet: Object) -> bool:
    with cloud.reading():
        return cloud.store.get("droplets", droplet["id"]) is droplet


def _namesake_dies(cloud: Cloud, name: str) -> bool:
    with cloud.reading():
        return any(dying["name"] == name for dying in cloud.store.all("dying_droplets"))


def _remove(cloud: Cloud, droplet: Object) -> None:
    cloud.store.remove("droplets", droplet["id"])
    if droplet["_stuck"]:
        for action in cloud.actions_of("droplet", droplet["id"]):
            action.update(status="errored", completed_at=cloud.now())
    for volume in cloud.store.all("volumes"):
        if droplet["id"] in volume["droplet_ids"]:
            volume["droplet_ids"] = []
    cloud.store.add("dying_droplets", droplet["id"], droplet)
    cloud.later(lambda: _end(cloud, droplet))


def _end(cloud: Cloud, droplet: Object) -> None:
    with cloud.machine(droplet["id"]):
        cloud.hypervisor.destroy(droplet["id"])
    with cloud.changing():
        cloud.store.remove("dying_droplets", droplet["id"])


ROUTES = (
    Route("POST", "/v2/droplets", create),
    Route("GET", "/v2/droplets", index),
    Route("DELETE", "/v2/droplets", delete_tagged),
    Route("GET", "/v2/droplets/{id}", get),
    Route("DELETE", "/v2/droplets/{id}", delete),
    Route("GET", "/v2/droplets/{id}/backups/policy", backup_policy),
    Route("GET", "/v2/droplets/{id}/backups", nothing("backups")),
    Route("GET", "/v2/droplets/{id}/snapshots", nothing("snapshots")),
    Route("GET", "/v2/droplets/{id}/kernels", nothing("kernels")),
)
