"""Keys of the object storage, Spaces: made and removed here, let in by the storage.

Source: https://docs.digitalocean.com/reference/api/reference/spaces-keys/ and pydo 0.44.0 (`spaces_key.create`): the
secret is shown once; a full-access permission goes before others; an error of a request is a 400.
"""

import secrets
import string
from collections.abc import Mapping
from typing import Any

from lab.cloud.api import ApiError, Reply, Request, not_found, page, shown
from lab.cloud.core import Cloud, Route
from lab.cloud.store import Object

PERMISSIONS = ("read", "readwrite", "fullaccess")
_LETTERS = string.ascii_uppercase + string.digits


def create(request: Request, cloud: Cloud) -> Reply:
    """The only answer that has the secret."""
    access_key = "DO" + "".join(secrets.choice(_LETTERS) for _ in range(18))
    key = {
        "name": _name(request.body),
        "access_key": access_key,
        "grants": _grants(request.body),
        "created_at": cloud.now(),
        "_secret": secrets.token_urlsafe(32),
        "_told": None,
        "_removed": False,
    }
    cloud.store.add("spaces_keys", access_key, key)
    return Reply(201, {"key": shown(key) | {"secret_key": key["_secret"]}})


def get(request: Request, cloud: Cloud) -> Reply:
    """One, without its secret."""
    return Reply(200, {"key": shown(_found(request, cloud))})


def index(request: Request, cloud: Cloud) -> Reply:
    """All; `name`, `bucket` and `permission` of the query choose some."""
    keys = [key for key in cloud.store.listed("spaces_keys") if not key["_removed"]]
    if name := request.query.get("name"):
        keys = [key for key in keys if key["name"] == name]
    for field in ("bucket", "permission"):
        if wanted := request.query.get(field):
            keys = [key for key in keys if any(grant[field] == wanted for grant in key["grants"])]
    return page(request, "keys", [shown(key) for key in keys])


def put(request: Request, cloud: Cloud) -> Reply:
    """Name and grants anew."""
    key = _found(request, cloud)
    key |= {"name": _name(request.body), "grants": _grants(request.body)}
    return Reply(200, {"key": shown(key)})


def patch(request: Request, cloud: Cloud) -> Reply:
    """What is given of name and grants."""
    key = _found(request, cloud)
    if "name" in request.body:
        key["name"] = _name(request.body)
    if "grants" in request.body:
        key["grants"] = _grants(request.body)
    return Reply(200, {"key": shown(key)})


def delete(request: Request, cloud: Cloud) -> Reply:
    """The storage soon lets it in no more."""
    _found(request, cloud)["_removed"] = True
    return Reply(204)


def _found(request: Request, cloud: Cloud) -> Object:
    key = cloud.find("spaces_keys", request.params["id"])
    if key["_removed"]:
        raise not_found()
    return key


def _bad(message: str) -> ApiError:
    return ApiError(400, "bad_request", message)


def _name(body: Mapping[str, Any]) -> str:
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise _bad("name is required")
    return name


def _grants(body: Mapping[str, Any]) -> list[Object]:
    given = body.get("grants") or []
    if not isinstance(given, list) or not all(isinstance(grant, dict) for grant in given):
        raise _bad("grants must be a list of objects")
    grants = []
    for grant in given:
        bucket, permission = grant.get("bucket") or "", grant.get("permission") or ""
        if permission not in PERMISSIONS:
            raise _bad(f"permission must be one of {', '.join(PERMISSIONS)}, not {permission!r}")
        grants.append({"bucket": bucket, "permission": permission})
    return grants


def reconcile(cloud: Cloud) -> None:
    """Tell the hypervisor of keys that are new, changed or gone."""
    with cloud.changing():
        keys = [(key, _effective(key), key["_removed"]) for key in cloud.store.all("spaces_keys")]
    for key, grants, removed in keys:
        if removed:
            cloud.hypervisor.remove_key(key["access_key"])
            with cloud.changing():
                cloud.store.remove("spaces_keys", key["access_key"])
        elif key["_told"] != grants:
            cloud.hypervisor.add_key(key["access_key"], key["_secret"], [(bucket, what) for bucket, what in grants])
            with cloud.changing():
                key["_told"] = grants


def _effective(key: Object) -> list[list[str]]:
    """Pairs of bucket and permission, as lists, which the state's file gives back as it got them."""
    if any(grant["permission"] == "fullaccess" for grant in key["grants"]):
        return [["", "fullaccess"]]
    return [[grant["bucket"], grant["permission"]] for grant in key["grants"]]


ROUTES = (
    Route("POST", "/v2/spaces/keys", create),
    Route("GET", "/v2/spaces/keys", index),
    Route("GET", "/v2/spaces/keys/{id}", get),
    Route("PUT", "/v2/spaces/keys/{id}", put),
    Route("PATCH", "/v2/spaces/keys/{id}", patch),
    Route("DELETE", "/v2/spaces/keys/{id}", delete),
)
