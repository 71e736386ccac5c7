"""`/v2/volumes`: disks that outlive droplets, and their actions.

Forms: godo v1.236.0 (`storage.go`, `storage_actions.go`); a volume's actions are of a `backend` and of no `resource_id`
(DigitalOcean's API reference, "Block Storage Actions"). DigitalOcean's messages: `attached volume cannot be deleted`
(409, digitalocean/doctl#358), `already exists` (409, hashicorp/terraform#8023), `Attachment not found`
(digitalocean/doctl#207), `Invalid volume allocations` (digitalocean/doctl#321), `Droplet already has a pending event.`
(hashicorp/packer#1814). Fifteen volumes may be at a droplet (digitalocean/doctl#1565). The others are our own words.
"""

import re
import time
from collections.abc import Sequence

from lab.cloud.api import Reply, Request, conflict, not_found, page, shown, unprocessable
from lab.cloud.core import Cloud, Route
from lab.cloud.resources import catalogue, tags
from lab.cloud.store import Object

SIZE_MAX = 16384
"""GiB. Source: DigitalOcean's API reference, "Create a New Block Storage Volume"."""

PER_DROPLET = 15

PENDING = "Droplet already has a pending event."

_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,62}[a-z0-9])?")
_FILESYSTEMS = ("", "ext4", "xfs")
_KIND = "backend"
_POLL_SECONDS = 0.05


def free(cloud: Cloud, wanted: Sequence[object], region: str, *, several: bool) -> list[Object]:
    """The volumes that one new droplet is to have: ids or objects with an `id` or a `name`. Raises a 422."""
    found = []
    for one in wanted:
        names = one if isinstance(one, dict) else {"id": one}
        volume = cloud.store.get("volumes", str(names.get("id"))) or _named(cloud, names.get("name"), region)
        if volume is None or volume["droplet_ids"] or volume["region"]["slug"] != region:
            raise unprocessable("Invalid volume allocations")
        found.append(volume)
    if (several and found) or len(found) > PER_DROPLET:
        raise unprocessable("Invalid volume allocations")
    return found


def plug(cloud: Cloud, droplet: int, id: str) -> None:
    """Attach a volume to a machine, made first if its own making is still under way. Without the lock."""
    with cloud.reading():
        volume = cloud.find("volumes", id)
    _await_release(cloud, id)
    _make(cloud, volume)
    cloud.hypervisor.attach(droplet, id, volume["name"])


def create(request: Request, cloud: Cloud) -> Reply:
    """`POST /v2/volumes`."""
    body, name, region = request.body, request.text("name"), catalogue.region(request.text("region"))
    if not _NAME.fullmatch(name):
        raise unprocessable("name is invalid: lowercase letters, numbers and hyphens, a letter first, at most 64")
    if _named(cloud, name, region["slug"]) is not None:
        raise conflict("already exists")
    if body.get("snapshot_id"):
        raise unprocessable("snapshot_id: this cloud has no snapshots")
    filesystem = body.get("filesystem_type") or ""
    if filesystem not in _FILESYSTEMS:
        raise unprocessable("filesystem_type must be ext4 or xfs")
    size = _size(request)
    if len(cloud.store.all("volumes")) >= cloud.account.volume_limit:
        raise unprocessable("creating this volume will exceed your volume limit")
    id = cloud.uuid()
    volume: Object = {
        "id": id,
        "region": region,
        "droplet_ids": [],
        "name": name,
        "description": body.get("description") or "",
        "size_gigabytes": size,
        "created_at": cloud.now(),
        "filesystem_type": filesystem,
        "filesystem_label": body.get("filesystem_label") or "",
        "tags": tags.use(cloud, request.texts("tags")),
    }
    cloud.store.add("volumes", id, volume)
    cloud.later(lambda: _make(cloud, volume))
    return Reply(201, {"volume": shown(volume)})


def index(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/volumes`, all or those of a `name`, a `region` or a `tag_name`."""
    query, found = request.query, cloud.store.listed("volumes")
    if query.get("name"):
        found = [volume for volume in found if volume["name"] == query["name"]]
    if query.get("region"):
        found = [volume for volume in found if volume["region"]["slug"] == query["region"]]
    if query.get("tag_name"):
        tagged = cloud.tagged("volumes", query["tag_name"])
        found = [volume for volume in found if volume in tagged]
    return page(request, "volumes", [shown(volume) for volume in found])


def get(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/volumes/{id}`."""
    return Reply(200, {"volume": shown(cloud.find("volumes", request.params["id"]))})


def delete(request: Request, cloud: Cloud) -> Reply:
    """`DELETE /v2/volumes/{id}`, with all that is on it; not while a droplet has it."""
    return _delete(cloud, cloud.find("volumes", request.params["id"]))


def delete_named(request: Request, cloud: Cloud) -> Reply:
    """`DELETE /v2/volumes?name=&region=`."""
    volume = _named(cloud, request.query.get("name"), request.query.get("region"))
    if volume is None:
        raise not_found()
    return _delete(cloud, volume)


def act(request: Request, cloud: Cloud) -> Reply:
    """`POST /v2/volumes/{id}/actions`: `attach`, `detach`, `resize`."""
    return _act(request, cloud, cloud.find("volumes", request.params["id"]))


def act_named(request: Request, cloud: Cloud) -> Reply:
    """`POST /v2/volumes/actions`: `attach` and `detach` of a `volume_name` in a `region`."""
    droplet = cloud.find("droplets", request.whole("droplet_id"))
    region = request.body.get("region") or droplet["region"]["slug"]
    volume = _named(cloud, request.text("volume_name"), region)
    if volume is None:
        raise not_found()
    return _act(request, cloud, volume)


def list_actions(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/volumes/{id}/actions`, newest first."""
    volume = cloud.find("volumes", request.params["id"])
    return page(request, "actions", [shown(action) for action in reversed(cloud.actions_of(_KIND, volume["id"]))])


def get_action(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/volumes/{id}/actions/{action}`."""
    volume = cloud.find("volumes", request.params["id"])
    for action in cloud.actions_of(_KIND, volume["id"]):
        if str(action["id"]) == request.params["action"]:
            return Reply(200, {"action": shown(action)})
    raise not_found()


def resume(cloud: Cloud) -> None:
    """Volumes whose making the last process may not have ended."""
    for volume in cloud.store.all("volumes"):
        cloud.later(lambda volume=volume: _make(cloud, volume))  # type: ignore[misc]


def _make(cloud: Cloud, volume: Object) -> None:
    with cloud.machine(volume["id"]):
        with cloud.reading():
            if cloud.store.get("volumes", volume["id"]) is not volume:
                return
        cloud.hypervisor.make_volume(volume["id"], volume["name"], volume["size_gigabytes"], volume["filesystem_type"])


def _await_release(cloud: Cloud, id: str) -> None:
    """Until no machine that is being ended has it any more."""
    while True:
        with cloud.reading():
            if not any(id in droplet["volume_ids"] for droplet in cloud.store.all("dying_droplets")):
                return
        time.sleep(_POLL_SECONDS)


def _named(cloud: Cloud, name: object, region: object) -> Object | None:
    for volume in cloud.store.all("volumes"):
        if volume["name"] == name and volume["region"]["slug"] == region:
            return volume
    return None


def _size(request: Request) -> int:
    size = request.whole("size_gigabytes")
    if not 1 <= size <= SIZE_MAX:
        raise unprocessable(f"size_gigabytes must be between 1 and {SIZE_MAX}")
    return size


def _delete(cloud: Cloud, volume: Object) -> Reply:
    if volume["droplet_ids"]:
        raise conflict("attached volume cannot be deleted")
    cloud.store.remove("volumes", volume["id"])

    def work() -> None:
        _await_release(cloud, volume["id"])
        with cloud.machine(volume["id"]):
            cloud.hypervisor.remove_volume(volume["id"])

    cloud.later(work)
    return Reply(204)


def _act(request: Request, cloud: Cloud, volume: Object) -> Reply:
    kind = request.text("type")
    if cloud.pending(_KIND, volume["id"]):
        raise unprocessable("the volume has a pending event")
    if kind == "attach":
        return _attach(request, cloud, volume)
    if kind == "detach":
        return _detach(request, cloud, volume)
    if kind == "resize":
        return _resize(request, cloud, volume)
    raise unprocessable("type must be attach, detach or resize")


def _droplet(request: Request, cloud: Cloud) -> Object:
    droplet = cloud.find("droplets", request.whole("droplet_id"))
    if droplet["locked"] or cloud.pending("droplet", droplet["id"]):
        raise unprocessable(PENDING)
    return droplet


def _attach(request: Request, cloud: Cloud, volume: Object) -> Reply:
    droplet = _droplet(request, cloud)
    if droplet["region"]["slug"] != volume["region"]["slug"]:
        raise unprocessable(
            f"the volume is in {volume['region']['slug']} and the Droplet in {droplet['region']['slug']}"
        )
    if volume["droplet_ids"]:
        raise unprocessable("the volume is already attached to a Droplet")
    if len(droplet["volume_ids"]) >= PER_DROPLET:
        raise unprocessable(f"a Droplet may have at most {PER_DROPLET} volumes")
    droplet["locked"] = True

    def work() -> None:
        try:
            with cloud.machine(droplet["id"]):
                plug(cloud, droplet["id"], volume["id"])
            with cloud.changing():
                if cloud.store.get("droplets", droplet["id"]) is droplet:
                    volume["droplet_ids"] = [droplet["id"]]
                    droplet["volume_ids"].append(volume["id"])
        finally:
            with cloud.changing():
                droplet["locked"] = False

    action = cloud.act("attach_volume", _KIND, volume["id"], volume["region"], work)
    return Reply(202, {"action": shown(action)})


def _detach(request: Request, cloud: Cloud, volume: Object) -> Reply:
    droplet = _droplet(request, cloud)
    if droplet["id"] not in volume["droplet_ids"]:
        raise unprocessable("Attachment not found")
    droplet["locked"] = True

    def work() -> None:
        try:
            with cloud.machine(droplet["id"]):
                cloud.hypervisor.detach(droplet["id"], volume["id"])
            with cloud.changing():
                volume["droplet_ids"] = []
                droplet["volume_ids"].remove(volume["id"])
        finally:
            with cloud.changing():
                droplet["locked"] = False

    action = cloud.act("detach_volume", _KIND, volume["id"], volume["region"], work)
    return Reply(202, {"action": shown(action)})


def _resize(request: Request, cloud: Cloud, volume: Object) -> Reply:
    region, size = request.body.get("region"), _size(request)
    if region and region != volume["region"]["slug"]:
        raise unprocessable(f"the volume is in {volume['region']['slug']}, not in {region}")
    if size <= volume["size_gigabytes"]:
        raise unprocessable(f"a volume can only grow, and has {volume['size_gigabytes']} GiB")

    def work() -> None:
        _make(cloud, volume)
        with cloud.machine(volume["id"]):
            cloud.hypervisor.grow_volume(volume["id"], size)
        with cloud.changing():
            volume["size_gigabytes"] = size

    action = cloud.act("resize_volume", _KIND, volume["id"], volume["region"], work)
    return Reply(202, {"action": shown(action)})


ROUTES = (
    Route("POST", "/v2/volumes", create),
    Route("GET", "/v2/volumes", index),
    Route("DELETE", "/v2/volumes", delete_named),
    Route("GET", "/v2/volumes/{id}", get),
    Route("DELETE", "/v2/volumes/{id}", delete),
    Route("POST", "/v2/volumes/actions", act_named),
    Route("POST", "/v2/volumes/{id}/actions", act),
    Route("GET", "/v2/volumes/{id}/actions", list_actions),
    Route("GET", "/v2/volumes/{id}/actions/{action}", get_action),
)
