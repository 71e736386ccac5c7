"""Projects and tags. Source: `project/resource_project.go`, `tag/resource_tag.go`."""

import asyncio
from http import HTTPStatus

from lab.plugins.protocol.values import Properties

from . import creating
from .api import Body
from .errors import ApiError
from .fields import boolean, set_of, string
from .kind import MINUTE, TAG, TAG_SAYS, Created, Kind, Times, given, live, remove
from .work import Work


async def _create_project(work: Work, inputs: Properties) -> Created:
    body = {
        "name": inputs["name"],
        "purpose": inputs["purpose"],
        **given(description=inputs.get("description"), environment=inputs.get("environment", "").capitalize()),
    }
    made = await creating.named(work, "projects", "project", body)
    return Created(str(made["id"]))


async def _settle_project(work: Work, id_: str, inputs: Properties) -> None:
    if inputs.get("resources"):
        await _assign(work, id_, inputs["resources"])
    if inputs["isDefault"]:
        await work.api.ask("projects", "update", id_, body=_project_body(inputs), log=work.log)


def _project_body(inputs: Properties) -> Body:
    return {
        "name": inputs["name"],
        "description": inputs.get("description") or "",
        "purpose": inputs["purpose"],
        "environment": inputs.get("environment", "").capitalize(),
        "is_default": inputs["isDefault"],
    }


async def _assign(work: Work, id_: str, urns: list[str]) -> None:
    """Moves resources into the project, which takes the API a while."""
    await work.api.ask("projects", "assign_resources", id_, body={"resources": urns}, log=work.log)

    async def missing() -> str | None:
        left = set(urns) - set(await _resources(work, id_))
        return f"without {', '.join(sorted(left))}" if left else None

    await work.until(missing)


async def _to_default(work: Work, urns: list[str]) -> None:
    """The API takes a resource out of a project only by putting it into another."""
    if not urns:
        return
    default = await work.api.ask("projects", "get_default", log=work.log)
    await _assign(work, default["project"]["id"], urns)


async def _resources(work: Work, id_: str) -> list[str]:
    return [one["urn"] for one in await work.api.find("projects", "list_resources", "resources", id_)]


async def _read_project(work: Work, id_: str, state: Properties) -> Properties | None:  # noqa: ARG001
    project = await live(work, "projects", "project", id_)
    if project is None:
        return None
    return {
        "name": project["name"],
        "purpose": str(project.get("purpose") or "").removeprefix("Other: "),
        "description": project.get("description") or "",
        "environment": project.get("environment") or "",
        "isDefault": bool(project.get("is_default")),
        "ownerUuid": project.get("owner_uuid"),
        "ownerId": project.get("owner_id"),
        "createdAt": project.get("created_at"),
        "updatedAt": project.get("updated_at"),
        "resources": await _resources(work, id_),
    }


async def _update_project(work: Work, id_: str, old: Properties, new: Properties) -> None:
    await work.api.ask("projects", "update", id_, body=_project_body(new), log=work.log)
    if "resources" not in new:
        return
    before, after = (set(one.get("resources") or []) for one in (old, new))
    if before - after:
        # What was deleted since is not there to be moved.
        await _to_default(work, sorted((before - after) & set(await _resources(work, id_))))
    if after - before:
        await _assign(work, id_, sorted(after - before))


async def _delete_project(work: Work, id_: str, state: Properties) -> None:  # noqa: ARG001
    """With what is in it moved to the default project; that takes the API a while, in which it refuses."""
    try:
        await _to_default(work, await _resources(work, id_))
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise

    async def missing() -> str | None:
        try:
            await remove(work, "projects", id_)
        except ApiError as error:
            late = asyncio.get_running_loop().time() >= work.deadline
            if error.status != HTTPStatus.PRECONDITION_FAILED or late:
                raise
            return "not empty yet"
        return None

    await work.until(missing)


PROJECT = Kind(
    token="digitalocean:index/project:Project",  # noqa: S106
    noun="project",
    inputs={
        "name": string(required=True),
        "description": string(default=""),
        "purpose": string(default="Web Application"),
        "environment": string(values=("Development", "Staging", "Production"), any_case=True),
        "isDefault": boolean(default=False),
        "resources": set_of(string(), computed=True),
    },
    computed=("createdAt", "ownerId", "ownerUuid", "updatedAt"),
    create=_create_project,
    read=_read_project,
    update=_update_project,
    delete=_delete_project,
    settle=_settle_project,
    times=Times(delete=3 * MINUTE),
)


async def _create_tag(work: Work, inputs: Properties) -> Created:
    """The API gives the tag that is there already, so asking twice makes one."""
    made = await work.api.ask("tags", "create", body={"name": inputs["name"]}, log=work.log)
    return Created(str(made["tag"]["name"]))


async def _read_tag(work: Work, id_: str, state: Properties) -> Properties | None:  # noqa: ARG001
    tag = await live(work, "tags", "tag", id_)
    if tag is None:
        return None
    resources = tag.get("resources") or {}

    def count(kind: str) -> int:
        return int((resources.get(kind) or {}).get("count") or 0)

    return {
        "name": tag["name"],
        "totalResourceCount": int(resources.get("count") or 0),
        "dropletsCount": count("droplets"),
        "imagesCount": count("images"),
        "volumesCount": count("volumes"),
        "volumeSnapshotsCount": count("volume_snapshots"),
        "databasesCount": count("databases"),
    }


async def _delete_tag(work: Work, id_: str, state: Properties) -> None:  # noqa: ARG001
    await remove(work, "tags", id_)


TAG_KIND = Kind(
    token="digitalocean:index/tag:Tag",  # noqa: S106
    noun="tag",
    inputs={"name": string(required=True, replaces=True, pattern=TAG, form_says=TAG_SAYS)},
    computed=(
        "databasesCount",
        "dropletsCount",
        "imagesCount",
        "totalResourceCount",
        "volumeSnapshotsCount",
        "volumesCount",
    ),
    create=_create_tag,
    read=_read_tag,
    delete=_delete_tag,
)
