"""`/v2/actions` and the actions of droplets: power, size, name, backups.

Forms: godo v1.236.0 (`droplet_actions.go`, `action.go`). DigitalOcean's messages: `Droplet already has a pending event.`
(hashicorp/packer#1814), `Size can not decrease size of Droplet's disk image` (hashicorp/terraform#7094). Snapshots,
rebuilding, restoring and passwords are not here.
"""

from collections.abc import Callable, Mapping

from lab.cloud.api import Reply, Request, not_found, page, shown, unprocessable
from lab.cloud.core import Cloud, Route
from lab.cloud.resources import catalogue, droplets
from lab.cloud.resources.volumes import PENDING
from lab.cloud.store import Object

_KIND = "droplet"

Work = Callable[[], None]
Prepare = Callable[[Request, Cloud, Object], Work]
"""Checks, raising a 422, and gives what is to be done in a thread, without the lock."""


def index(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/actions`, newest first."""
    return page(request, "actions", [shown(action) for action in reversed(cloud.store.all("actions"))])


def get(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/actions/{id}`."""
    return Reply(200, {"action": shown(cloud.find("actions", request.params["id"]))})


def list_of(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/droplets/{id}/actions`, newest first."""
    droplet = cloud.find("droplets", request.params["id"])
    return page(request, "actions", [shown(action) for action in reversed(cloud.actions_of(_KIND, droplet["id"]))])


def get_of(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/droplets/{id}/actions/{action}`."""
    for action in cloud.actions_of(_KIND, request.params["id"]):
        if str(action["id"]) == request.params["action"]:
            return Reply(200, {"action": shown(action)})
    raise not_found()


def act(request: Request, cloud: Cloud) -> Reply:
    """`POST /v2/droplets/{id}/actions`."""
    droplet = cloud.find("droplets", request.params["id"])
    work = _prepare(request, cloud, droplet)
    return Reply(201, {"action": shown(_start(request, cloud, droplet, work))})


def act_tagged(request: Request, cloud: Cloud) -> Reply:
    """`POST /v2/droplets/actions?tag_name=`: all that carry the tag, or none."""
    found = cloud.tagged("droplets", request.query.get("tag_name", ""))
    works = [(droplet, _prepare(request, cloud, droplet)) for droplet in found]
    return Reply(201, {"actions": [shown(_start(request, cloud, droplet, work)) for droplet, work in works]})


def _prepare(request: Request, cloud: Cloud, droplet: Object) -> Work:
    prepare = _ACTIONS.get(request.text("type"))
    if prepare is None:
        raise unprocessable(f"type must be one of {', '.join(sorted(_ACTIONS))}")
    if droplet["locked"] or cloud.pending(_KIND, droplet["id"]):
        raise unprocessable(PENDING)
    return prepare(request, cloud, droplet)


def _start(request: Request, cloud: Cloud, droplet: Object, work: Work) -> Object:
    droplet["locked"] = True

    def run() -> None:
        try:
            work()
        finally:
            with cloud.changing():
                droplet["locked"] = False

    return cloud.act(request.text("type"), _KIND, droplet["id"], droplet["region"], run)


def _power(*, on: bool) -> Prepare:
    def prepare(request: Request, cloud: Cloud, droplet: Object) -> Work:  # noqa: ARG001 (all have these)
        def work() -> None:
            with cloud.machine(droplet["id"]):
                cloud.hypervisor.power(droplet["id"], on=on)
            with cloud.changing():
                droplet["status"] = "active" if on else "off"

        return work

    return prepare


def _reboot(request: Request, cloud: Cloud, droplet: Object) -> Work:  # noqa: ARG001 (all have these)
    if droplet["status"] != "active":
        raise unprocessable("Droplet is powered off")

    def work() -> None:
        with cloud.machine(droplet["id"]):
            cloud.hypervisor.reboot(droplet["id"])

    return work


def _power_cycle(request: Request, cloud: Cloud, droplet: Object) -> Work:  # noqa: ARG001 (all have these)
    def work() -> None:
        with cloud.machine(droplet["id"]):
            cloud.hypervisor.power(droplet["id"], on=False)
            cloud.hypervisor.power(droplet["id"], on=True)
        with cloud.changing():
            droplet["status"] = "active"

    return work


def _resize(request: Request, cloud: Cloud, droplet: Object) -> Work:
    """The numbers only: the hypervisor's machine keeps the memory that it was made with."""
    size = catalogue.size(request.body.get("size"), droplet["region"]["slug"])
    if droplet["status"] != "off":
        raise unprocessable("Droplet must be powered off to be resized")
    if size["disk"] < droplet["disk"]:
        raise unprocessable("Size can not decrease size of Droplet's disk image")
    with_disk = bool(request.body.get("disk"))

    def work() -> None:
        with cloud.changing():
            droplet.update(size=size, size_slug=size["slug"], memory=size["memory"], vcpus=size["vcpus"])
            if with_disk:
                droplet["disk"] = size["disk"]

    return work


def _rename(request: Request, cloud: Cloud, droplet: Object) -> Work:
    name = droplets.check_name(request.body.get("name"))

    def work() -> None:
        with cloud.changing():
            droplet["name"] = name

    return work


def _enable_ipv6(request: Request, cloud: Cloud, droplet: Object) -> Work:  # noqa: ARG001 (all have these)
    def work() -> None:
        with cloud.changing():
            if "ipv6" not in droplet["features"]:
                droplet["features"].append("ipv6")
            droplets.show_addresses(cloud, droplet)

    return work


def _backups(request: Request, cloud: Cloud, droplet: Object) -> Work:
    policy = request.body.get("backup_policy") or {}
    if request.body["type"] == "change_backup_policy" and "backups" not in droplet["features"]:
        raise unprocessable("Droplet has no backups")
    droplets.check_backup_policy(policy)

    def work() -> None:
        with cloud.changing():
            droplets.give_backups(droplet, policy)

    return work


def _disable_backups(request: Request, cloud: Cloud, droplet: Object) -> Work:  # noqa: ARG001 (all have these)
    def work() -> None:
        with cloud.changing():
            droplet["features"] = [feature for feature in droplet["features"] if feature != "backups"]

    return work


_ACTIONS: Mapping[str, Prepare] = {
    "power_on": _power(on=True),
    "power_off": _power(on=False),
    "shutdown": _power(on=False),
    "reboot": _reboot,
    "power_cycle": _power_cycle,
    "resize": _resize,
    "rename": _rename,
    "enable_ipv6": _enable_ipv6,
    "enable_backups": _backups,
    "change_backup_policy": _backups,
    "disable_backups": _disable_backups,
}

ROUTES = (
    Route("GET", "/v2/actions", index),
    Route("GET", "/v2/actions/{id}", get),
    Route("POST", "/v2/droplets/actions", act_tagged),
    Route("POST", "/v2/droplets/{id}/actions", act),
    Route("GET", "/v2/droplets/{id}/actions", list_of),
    Route("GET", "/v2/droplets/{id}/actions/{action}", get_of),
)
