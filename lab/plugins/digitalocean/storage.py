"""Volumes and what they are attached to. Source: `volume/resource_volume.go`, `volume/resource_volume_attachment.go`."""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import Properties

from . import actions, creating
from .api import Body
from .fields import integer, string
from .kind import MINUTE, Created, Failure, Kind, Times, given, live, region, remove, retag, tags
from .work import Work

SHRUNK = "volumes `size` can only be expanded and not shrunk"


async def _create_volume(work: Work, inputs: Properties) -> Created:
    body = {
        "name": inputs["name"],
        "region": inputs["region"].lower(),
        "size_gigabytes": inputs["size"],
        "tags": inputs.get("tags") or [],
        **given(
            description=inputs.get("description"),
            snapshot_id=inputs.get("snapshotId"),
            filesystem_type=inputs.get("initialFilesystemType") or inputs.get("filesystemType"),
            filesystem_label=inputs.get("initialFilesystemLabel"),
        ),
    }
    began = creating.now()

    async def search() -> list[Body]:
        found = await work.api.find("volumes", "list", "volumes", name=body["name"], region=body["region"])
        return [
            one
            for one in found
            if one["name"] == body["name"]
            and one["size_gigabytes"] == body["size_gigabytes"]
            and creating.since(work, began, one["created_at"])
        ]

    made = await creating.make(
        work,
        lambda: work.api.once("volumes", "create", body=body, log=work.log),
        search,
        unique=True,
        accept="volume",
    )
    return Created(str(made["id"]))


async def _read_volume(work: Work, id_: str, state: Properties) -> Properties | None:  # noqa: ARG001
    volume = await live(work, "volumes", "volume", id_)
    if volume is None:
        return None
    return {
        "name": volume["name"],
        "region": volume["region"]["slug"],
        "size": volume["size_gigabytes"],
        "volumeUrn": f"do:volume:{id_}",
        "tags": volume.get("tags") or [],
        "dropletIds": volume.get("droplet_ids") or [],
        "filesystemType": volume.get("filesystem_type") or "",
        "filesystemLabel": volume.get("filesystem_label") or "",
        **given(
            description=volume.get("description"),
            initialFilesystemType=volume.get("filesystem_type"),
            initialFilesystemLabel=volume.get("filesystem_label"),
        ),
    }


async def _update_volume(work: Work, id_: str, old: Properties, new: Properties) -> None:
    if new["size"] != old.get("size"):
        body = {"type": "resize", "size_gigabytes": new["size"], "region": new["region"].lower()}
        await actions.perform(work, "volume_actions", "post_by_id", id_, body)
    await retag(work, id_, "volume", old, new)


async def _delete_volume(work: Work, id_: str, state: Properties) -> None:  # noqa: ARG001
    await remove(work, "volumes", id_)


def _volume_problems(inputs: Properties) -> Iterable[Failure]:
    if inputs.get("filesystemType") and inputs.get("initialFilesystemType"):
        yield Failure("filesystemType", "conflicts with initialFilesystemType")


VOLUME = Kind(
    token="digitalocean:index/volume:Volume",  # noqa: S106
    noun="volume",
    inputs={
        "region": region(required=True),
        "name": string(required=True, replaces=True),
        "size": integer(required=True, least=1),
        "description": string(replaces=True),
        "snapshotId": string(replaces=True),
        "initialFilesystemType": string(replaces=True, values=("ext4", "xfs")),
        "initialFilesystemLabel": string(replaces=True),
        "filesystemType": string(computed=True, values=("ext4", "xfs")),
        "tags": tags(),
    },
    computed=("dropletIds", "filesystemLabel", "volumeUrn"),
    create=_create_volume,
    read=_read_volume,
    update=_update_volume,
    delete=_delete_volume,
    problems=_volume_problems,
    forbids=lambda old, new: SHRUNK if new.get("size") is not None and new["size"] < old.get("size", 0) else "",
)


def link_id(droplet: object, other: str) -> str:
    """An ID of a connection, as `id.PrefixedUniqueId` makes it of `DROPLET-OTHER-`: the time, and a number."""
    return f"{droplet}-{other}-{datetime.now(UTC):%Y%m%d%H%M%S%f}{secrets.token_hex(4)}"


def pair(id_: str, first: str, second: str) -> tuple[str, str]:
    """The two parts of an import ID. Raises PluginError for one that has not two."""
    one, comma, other = id_.partition(",")
    if not (one and comma and other):
        raise PluginError(f"expected import ID in the format '{first},{second}', got: {id_!r}")
    return one, other


async def _create_attachment(work: Work, inputs: Properties) -> Created:
    await actions.attach(work, inputs["volumeId"], str(inputs["dropletId"]))
    return Created(link_id(inputs["dropletId"], inputs["volumeId"]))


async def _read_attachment(work: Work, id_: str, state: Properties) -> Properties | None:  # noqa: ARG001
    if await actions.holder(work, state["volumeId"]) != str(state["dropletId"]):
        return None
    return {"dropletId": state["dropletId"], "volumeId": state["volumeId"]}


async def _delete_attachment(work: Work, id_: str, state: Properties) -> None:  # noqa: ARG001
    await actions.detach(work, state["volumeId"], str(state["dropletId"]))


def _attachment(id_: str) -> tuple[str, Properties]:
    droplet, volume = pair(id_, "droplet_id", "volume_id")
    if not droplet.isdecimal():
        raise PluginError(f"invalid droplet_id {droplet!r}")
    return volume, {"dropletId": int(droplet), "volumeId": volume}


VOLUME_ATTACHMENT = Kind(
    token="digitalocean:index/volumeAttachment:VolumeAttachment",  # noqa: S106
    noun="attachment of volume",
    inputs={
        "dropletId": integer(required=True, replaces=True),
        "volumeId": string(required=True, replaces=True),
    },
    computed=(),
    create=_create_attachment,
    read=_read_attachment,
    delete=_delete_attachment,
    identity=_attachment,
    label=lambda inputs: f"{inputs.get('volumeId')} to droplet {inputs.get('dropletId')}",
    times=Times(create=5 * MINUTE, delete=5 * MINUTE),
    auto_name=False,
)
