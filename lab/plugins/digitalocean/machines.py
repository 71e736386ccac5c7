"""SSH keys and droplets. Source: `sshkey/resource_ssh_key.go`, `droplet/resource_droplet.go`."""

import hashlib
from collections.abc import Iterable
from http import HTTPStatus

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import Properties, Value

from . import actions, creating
from .api import Body
from .errors import ApiError
from .fields import boolean, integer, object_of, set_of, string
from .kind import HOUR, MINUTE, Created, Failure, Kind, Times, given, live, region, remove, retag, tags
from .waiting import Sight, StillWaitingError
from .work import Work

POLICY = "backup_policy can only be set when backups are enabled"


async def _create_key(work: Work, inputs: Properties) -> Created:
    body = {"name": inputs["name"], "public_key": inputs["publicKey"]}

    async def search() -> list[Body]:
        keys = await work.api.find("ssh_keys", "list", "ssh_keys")
        return [
            key
            for key in keys
            if key["name"] == inputs["name"] and key["public_key"].strip() == inputs["publicKey"].strip()
        ]

    made = await creating.make(
        work,
        lambda: work.api.once("ssh_keys", "create", body=body, log=work.log),
        search,
        unique=True,
        accept="ssh_key",
    )
    return Created(str(made["id"]))


async def _read_key(work: Work, id_: str, state: Properties) -> Properties | None:  # noqa: ARG001
    key = await live(work, "ssh_keys", "ssh_key", id_)
    if key is None:
        return None
    return {"name": key["name"], "fingerprint": key["fingerprint"], "publicKey": key["public_key"]}


async def _update_key(work: Work, id_: str, old: Properties, new: Properties) -> None:  # noqa: ARG001
    await work.api.ask("ssh_keys", "update", id_, body={"name": new["name"]}, log=work.log)


async def _delete_key(work: Work, id_: str, state: Properties) -> None:  # noqa: ARG001
    await remove(work, "ssh_keys", id_)


SSH_KEY = Kind(
    token="digitalocean:index/sshKey:SshKey",  # noqa: S106 (Pulumi's name of a type)
    noun="SSH key",
    inputs={
        "name": string(required=True),
        "publicKey": string(
            required=True,
            replaces=True,
            same=lambda old, new, inputs: str(old).strip() == str(new).strip(),  # noqa: ARG005
        ),
    },
    computed=("fingerprint",),
    create=_create_key,
    read=_read_key,
    update=_update_key,
    delete=_delete_key,
)


def user_data_hash(text: str) -> str:
    """What the state has in place of the user data (`util/hash.go`, HashStringStateFunc)."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _same_user_data(old: Value, new: Value, inputs: Properties) -> bool:
    """Older states have the whole text."""
    return bool(new) and old == inputs.get("userData")


def _policy(inputs: Properties) -> Body | None:
    policy = inputs.get("backupPolicy")
    return {key: policy[key] for key in ("plan", "weekday", "hour") if key in policy} if policy else None


async def _create_droplet(work: Work, inputs: Properties) -> Created:
    image = str(inputs["image"])
    keys = [int(key) if str(key).isdecimal() else key for key in inputs.get("sshKeys") or []]
    body = {
        "name": inputs["name"],
        "size": inputs["size"].lower(),
        "image": int(image) if image.isdecimal() else image,
        "backups": inputs["backups"],
        "ipv6": inputs["ipv6"],
        "monitoring": inputs["monitoring"],
        "tags": inputs.get("tags") or [],
        **given(
            region=inputs.get("region", "").lower(),
            ssh_keys=keys,
            user_data=inputs.get("userData"),
            volumes=inputs.get("volumeIds"),
            vpc_uuid=inputs.get("vpcUuid"),
            backup_policy=_policy(inputs),
            private_networking=inputs.get("privateNetworking"),
            public_networking=inputs.get("publicNetworking"),
            with_droplet_agent=inputs.get("dropletAgent"),
        ),
    }
    began = creating.now()

    async def search() -> list[Body]:
        found = await work.api.find("droplets", "list", "droplets", name=body["name"])
        wanted = {str(tag).lower() for tag in body["tags"]}
        return [
            one
            for one in found
            if one["name"] == body["name"]
            and creating.since(work, began, one["created_at"])
            and {str(tag).lower() for tag in one.get("tags") or []} == wanted
            and one.get("size_slug") == body["size"]
            and body.get("region") in (None, one["region"]["slug"])
            and body.get("vpc_uuid") in (None, one.get("vpc_uuid"))
        ]

    made = await creating.make(
        work,
        lambda: work.api.once("droplets", "create", body=body, log=work.log),
        search,
        unique=False,
        accept="droplet",
    )
    return Created(str(made["id"]))


async def _until_status(work: Work, id_: str, wanted: str) -> None:
    sight = Sight()

    async def missing() -> str | None:
        droplet = await live(work, "droplets", "droplet", int(id_))
        if droplet is None:
            return sight.missed()
        if droplet.get("locked"):
            return f"{droplet['status']} and locked"
        return None if droplet["status"] == wanted else str(droplet["status"])

    await work.until(missing, f"{work.name} ({id_})")


async def _settle_droplet(work: Work, id_: str, inputs: Properties) -> None:  # noqa: ARG001
    try:
        await _until_status(work, id_, "active")
    except StillWaitingError as error:
        raise PluginError(
            f"{error}. It is kept: run it again to wait on, or replace it with `pulumi up --replace URN`"
        ) from None


def _address(droplet: Body, version: str, kind: str) -> str:
    for one in (droplet.get("networks") or {}).get(version) or []:
        if one.get("type") == kind:
            return str(one.get("ip_address") or "")
    return ""


async def _read_droplet(work: Work, id_: str, state: Properties) -> Properties | None:
    """The image is not taken from the API, whose slugs move on; only an import asks for it."""
    if not id_.isdecimal():
        raise PluginError(f"invalid droplet id: {id_}")
    droplet = await live(work, "droplets", "droplet", int(id_))
    if droplet is None or droplet.get("status") == "archive":
        return None
    features = droplet.get("features") or []
    size = droplet.get("size") or {}
    found = {
        "name": droplet["name"],
        "dropletUrn": f"do:droplet:{id_}",
        "region": droplet["region"]["slug"],
        "size": size.get("slug") or droplet.get("size_slug"),
        "priceHourly": size.get("price_hourly"),
        "priceMonthly": size.get("price_monthly"),
        "disk": droplet.get("disk"),
        "vcpus": droplet.get("vcpus"),
        "memory": droplet.get("memory"),
        "status": droplet["status"],
        "locked": droplet.get("locked"),
        "createdAt": droplet["created_at"],
        "vpcUuid": droplet.get("vpc_uuid") or "",
        "ipv4Address": _address(droplet, "v4", "public"),
        "ipv4AddressPrivate": _address(droplet, "v4", "private"),
        "ipv6Address": _address(droplet, "v6", "public").lower(),
        "backups": "backups" in features,
        "ipv6": "ipv6" in features,
        "privateNetworking": "private_networking" in features,
        "monitoring": "monitoring" in features,
        "volumeIds": droplet.get("volume_ids") or [],
        "tags": droplet.get("tags") or [],
    }
    if not state:
        image = droplet.get("image") or {}
        found |= {"image": image.get("slug") or str(image.get("id", "")), "resizeDisk": True, "gracefulShutdown": False}
    return found


async def _resize(work: Work, id_: str, new: Properties) -> None:
    """With the power off for as long as it takes; it comes on again even if the size cannot be had."""
    try:
        await actions.of_droplet(work, id_, "power_off")
    except ApiError as error:
        if not error.says("already powered off"):
            raise
    await _until_status(work, id_, "off")
    try:
        await actions.of_droplet(work, id_, "resize", size=new["size"].lower(), disk=new["resizeDisk"])
    finally:
        await actions.of_droplet(work, id_, "power_on")
        await _until_status(work, id_, "active")


async def _update_droplet(work: Work, id_: str, old: Properties, new: Properties) -> None:
    if old.get("status") in (None, "new"):
        await _settle_droplet(work, id_, new)
    if str(new["size"]).lower() != old.get("size"):
        await _resize(work, id_, new)
    if new["name"] != old.get("name"):
        await actions.of_droplet(work, id_, "rename", name=new["name"])
    policy = _policy(new)
    if new["backups"] != bool(old.get("backups")):
        settings = {"backup_policy": policy} if policy and new["backups"] else {}
        await actions.of_droplet(work, id_, "enable_backups" if new["backups"] else "disable_backups", **settings)
    elif policy and policy != _policy(old):
        await actions.of_droplet(work, id_, "change_backup_policy", backup_policy=policy)
    if new["ipv6"] and not old.get("ipv6"):
        await actions.of_droplet(work, id_, "enable_ipv6")
    await retag(work, id_, "droplet", old, new)
    if "volumeIds" in new:
        before, after = (list(one.get("volumeIds") or []) for one in (old, new))
        for volume in after:
            if volume not in before:
                await actions.attach(work, volume, id_)
        for volume in before:
            if volume not in after:
                await actions.detach(work, volume, id_)


async def _delete_droplet(work: Work, id_: str, state: Properties) -> None:
    """One that is busy or locked refuses for a while; one that never got active may be removed at once."""
    droplet = await live(work, "droplets", "droplet", int(id_))
    if droplet is None:
        return
    if state.get("gracefulShutdown") and droplet.get("status") == "active":
        await actions.of_droplet(work, id_, "shutdown")
        await _until_status(work, id_, "off")
    for volume in droplet.get("volume_ids") or []:
        await actions.detach(work, volume, id_)

    async def refused() -> str | None:
        try:
            await remove(work, "droplets", int(id_), method="destroy")
        except ApiError as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY or not error.says(*actions.BUSY, "locked"):
                raise
            return "waiting for another action to end"
        return None

    await work.until(refused)

    async def present() -> str | None:
        left = await live(work, "droplets", "droplet", int(id_))
        return None if left is None or left.get("status") == "archive" else f"{left.get('status')} (being destroyed)"

    await work.until(present)


def _droplet_problems(inputs: Properties) -> Iterable[Failure]:
    if inputs.get("backupPolicy") and inputs.get("backups") is False:
        yield Failure("backupPolicy", POLICY)


def _droplet_forced(old: Value, new: Value) -> bool:
    """IPv6 cannot be switched off again (`ForceNewIfChange("ipv6", …)`)."""
    return bool(old) and new is False


DROPLET = Kind(
    token="digitalocean:index/droplet:Droplet",  # noqa: S106
    noun="droplet",
    inputs={
        "image": string(required=True, replaces=True),
        "name": string(required=True),
        "region": region(computed=True),
        "size": string(required=True, stored=str.lower),
        "gracefulShutdown": boolean(default=False),
        "resizeDisk": boolean(default=True),
        "backups": boolean(default=False),
        "backupPolicy": object_of(
            {
                "plan": string(values=("daily", "weekly")),
                "weekday": string(values=("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")),
                "hour": integer(least=0, most=20),
            }
        ),
        "ipv6": boolean(default=False, replaces_if=_droplet_forced),
        "ipv6Address": string(computed=True),
        "privateNetworking": boolean(computed=True),
        "publicNetworking": boolean(replaces=True),
        "sshKeys": set_of(string(), replaces=True),
        "userData": string(replaces=True, stored=user_data_hash, same=_same_user_data),
        "volumeIds": set_of(string(), computed=True),
        "monitoring": boolean(default=False, replaces=True),
        "dropletAgent": boolean(replaces=True),
        "tags": tags(),
        "vpcUuid": string(computed=True, replaces=True),
    },
    computed=(
        "createdAt",
        "disk",
        "dropletUrn",
        "ipv4Address",
        "ipv4AddressPrivate",
        "locked",
        "memory",
        "priceHourly",
        "priceMonthly",
        "status",
        "vcpus",
    ),
    create=_create_droplet,
    read=_read_droplet,
    update=_update_droplet,
    delete=_delete_droplet,
    settle=_settle_droplet,
    renews=lambda old, new: ("ipv6Address",) if new.get("ipv6") and not old.get("ipv6") else (),
    problems=_droplet_problems,
    times=Times(create=HOUR, update=HOUR, delete=5 * MINUTE),
    schema_version="1",
)
