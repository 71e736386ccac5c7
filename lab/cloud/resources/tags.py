"""`/v2/tags`: names on droplets and volumes, by which firewalls, load balancers and lists find them.

An object carries its tags itself, in `tags`; a tag is known from its creation, alone or with an object, until it is
deleted. Capitals do not tell tags apart (DigitalOcean's API reference, "Tags").
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lab.cloud.api import Reply, Request, not_found, page, unprocessable
from lab.cloud.core import Cloud, Route
from lab.cloud.store import Object

_NAME = re.compile(r"[A-Za-z0-9:_-]{1,255}")
_KINDS = {"droplet": "droplets", "volume": "volumes"}
_OTHERS = ("images", "volume_snapshots", "databases")


def use(cloud: Cloud, names: Iterable[str]) -> list[str]:
    """The tags as they are written where they are known already; those that are new are made. Raises a 422."""
    wanted = list(names)
    for name in wanted:
        _check(name)
    spelled = []
    for name in wanted:
        tag = cloud.store.get("tags", name.casefold())
        if tag is None:
            tag = cloud.store.add("tags", name.casefold(), {"name": name})
        if tag["name"] not in spelled:
            spelled.append(tag["name"])
    return spelled


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise unprocessable(
            f"tag {name!r} is invalid: letters, numbers, colons, dashes and underscores, at most 255 of them"
        )


def _shown(cloud: Cloud, tag: Mapping[str, Any], base: str) -> Object:
    resources: Object = {name: {"count": 0} for name in _OTHERS}
    for kind in _KINDS.values():
        tagged = cloud.tagged(kind, tag["name"])
        resources[kind] = {"count": len(tagged)}
        if tagged:
            resources[kind]["last_tagged_uri"] = f"{base}/v2/{kind}/{tagged[-1]['id']}"
            resources["last_tagged_uri"] = resources[kind]["last_tagged_uri"]
    resources["count"] = sum(resources[kind]["count"] for kind in _KINDS.values())
    return {"name": tag["name"], "resources": resources}


def _of(request: Request, cloud: Cloud) -> Object:
    tag = cloud.store.get("tags", request.params["name"].casefold())
    if tag is None:
        raise not_found()
    return tag


def _resources(request: Request, cloud: Cloud) -> list[Object]:
    """The objects that the body names. Raises a 404 for one that is not there."""
    found = []
    for resource in request.body.get("resources") or []:
        kind = _KINDS.get(resource.get("resource_type"))
        if kind is None:
            raise unprocessable(f"resource_type must be one of {', '.join(_KINDS)}")
        found.append(cloud.find(kind, resource.get("resource_id", "")))
    return found


def create(request: Request, cloud: Cloud) -> Reply:
    """`POST /v2/tags`; one that is known stays as it is."""
    (name,) = use(cloud, [request.text("name")])
    return Reply(201, {"tag": _shown(cloud, {"name": name}, request.base)})


def index(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/tags`."""
    return page(request, "tags", [_shown(cloud, tag, request.base) for tag in cloud.store.listed("tags")])


def get(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/tags/{name}`."""
    return Reply(200, {"tag": _shown(cloud, _of(request, cloud), request.base)})


def delete(request: Request, cloud: Cloud) -> Reply:
    """`DELETE /v2/tags/{name}`: it is taken off everything."""
    name = _of(request, cloud)["name"]
    for kind in _KINDS.values():
        for item in cloud.tagged(kind, name):
            item["tags"].remove(name)
    cloud.store.remove("tags", name.casefold())
    return Reply(204)


def tag(request: Request, cloud: Cloud) -> Reply:
    """`POST /v2/tags/{name}/resources`."""
    name = _of(request, cloud)["name"]
    for item in _resources(request, cloud):
        if name not in item["tags"]:
            item["tags"].append(name)
    return Reply(204)


def untag(request: Request, cloud: Cloud) -> Reply:
    """`DELETE /v2/tags/{name}/resources`."""
    name = _of(request, cloud)["name"]
    for item in _resources(request, cloud):
        if name in item["tags"]:
            item["tags"].remove(name)
    return Reply(204)


ROUTES = (
    Route("POST", "/v2/tags", create),
    Route("GET", "/v2/tags", index),
    Route("GET", "/v2/tags/{name}", get),
    Route("DELETE", "/v2/tags/{name}", delete),
    Route("POST", "/v2/tags/{name}/resources", tag),
    Route("DELETE", "/v2/tags/{name}/resources", untag),
)
