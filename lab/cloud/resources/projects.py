"""Projects, and what is in them: everything that can be in one is in the default one, unless it was put elsewhere.

Sources: https://docs.digitalocean.com/reference/api/reference/projects/ (fields, purposes, URNs); 412 "cannot delete a
project with resources" from github.com/digitalocean/terraform-provider-digitalocean/issues/1608, 409 for a name that
is taken from pull/1150 there, which also says that a VPC cannot be in a project. A project that names no environment has none: the
acceptance tests there, `TestAccDigitalOceanProject_CreateWithDefaults`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lab.cloud.api import ApiError, Reply, Request, conflict, forbidden, page, shown, unprocessable
from lab.cloud.core import Cloud, Route
from lab.cloud.store import Object

ENVIRONMENTS = ("Development", "Staging", "Production")
PURPOSES = (
    "Just trying out DigitalOcean",
    "Class project / Educational purposes",
    "Website or blog",
    "Web Application",
    "Service or API",
    "Mobile Application",
    "Machine learning / AI / Data processing",
    "IoT",
    "Operational / Developer tooling",
)
"""Any other is kept with `Other: ` before it."""

KINDS = {
    "droplet": ("droplets", "id", "/v2/droplets/"),
    "volume": ("volumes", "id", "/v2/volumes/"),
    "loadbalancer": ("load_balancers", "id", "/v2/load_balancers/"),
    "reservedip": ("reserved_ips", "ip", "/v2/reserved_ips/"),
    "domain": ("domains", "name", "/v2/domains/"),
}
"""What can be in a project: by the URN's word, the kind in the store, the field of its id, and where it is found."""

_LIMITS = {"name": 175, "description": 255, "purpose": 255}
_DEFAULT = "default"


def create(request: Request, cloud: Cloud) -> Reply:
    """A name must be new; a purpose must be given."""
    request.text("name")
    request.text("purpose")
    project = _new(cloud, _checked(request.body, cloud, None), default=False)
    return Reply(201, {"project": shown(project)})


def get(request: Request, cloud: Cloud) -> Reply:
    """One; `default` stands for the default one's id."""
    return Reply(200, {"project": shown(_found(request, cloud))})


def index(request: Request, cloud: Cloud) -> Reply:
    """All."""
    return page(request, "projects", [shown(item) for item in cloud.store.listed("projects")])


def patch(request: Request, cloud: Cloud) -> Reply:
    """What is given and not null."""
    return _change(request, cloud)


def put(request: Request, cloud: Cloud) -> Reply:
    """All of it."""
    for name in ("name", "description", "purpose", "environment", "is_default"):
        if request.body.get(name) is None:
            raise unprocessable(f"{name} is required")
    return _change(request, cloud)


def delete(request: Request, cloud: Cloud) -> Reply:
    """Only an empty one, and not the default one."""
    project = _found(request, cloud)
    if project["is_default"]:
        raise forbidden("cannot delete the default project")
    if any(True for _ in _resources(cloud, project)):
        raise ApiError(412, "precondition_failed", "cannot delete a project with resources")
    cloud.store.remove("projects", project["id"])
    return Reply(204)


def resources(request: Request, cloud: Cloud) -> Reply:
    """What is in it."""
    project = _found(request, cloud)
    return page(request, "resources", [_resource(request, urn, at, "ok") for urn, at in _resources(cloud, project)])


def assign(request: Request, cloud: Cloud) -> Reply:
    """Moves resources here from wherever they are."""
    project = _found(request, cloud)
    urns = [_checked_urn(urn, cloud) for urn in request.texts("resources")]
    known = dict(_resources(cloud, project))
    for urn in urns:
        _put(cloud, urn, project["id"])
    now = cloud.now()
    answer = [
        _resource(request, urn, known.get(urn, now), "already_assigned" if urn in known else "assigned") for urn in urns
    ]
    return Reply(200, {"resources": answer})


# For other modules


def enter(cloud: Cloud, urn: str, project: str | None) -> None:
    """What is being made is in this project; None or empty: the default one. Raises a 422 if there is none such."""
    if project and cloud.store.get("projects", project) is None:
        raise unprocessable(f"project {project} not found")
    cloud.store.remove("_assigned", urn)  # an address or a domain may have been here before
    if project:
        _put(cloud, urn, project)


def of(cloud: Cloud, urn: str) -> str:
    """The id of the project in which it is."""
    entry = cloud.store.get("_assigned", urn)
    if entry is not None and cloud.store.get("projects", entry["project"]) is not None:
        return str(entry["project"])
    return str(default(cloud)["id"])


def default(cloud: Cloud) -> Object:
    """The default project, made when it is first asked for: every account has one."""
    for project in cloud.store.all("projects"):
        if project["is_default"]:
            return project
    first = {"name": "first-project", "description": "", "purpose": PURPOSES[8], "environment": "Development"}
    return _new(cloud, first, default=True)


def resume(cloud: Cloud) -> None:
    """The account's first one."""
    default(cloud)


# Within


def _new(cloud: Cloud, fields: Object, *, default: bool) -> Object:
    id, now = cloud.uuid(), cloud.now()
    base = {"id": id, "owner_uuid": cloud.uuid(), "owner_id": 1, "description": "", "environment": ""}
    times = {"is_default": default, "created_at": now, "updated_at": now}
    return cloud.store.add("projects", id, base | fields | times)


def _found(request: Request, cloud: Cloud) -> Object:
    id = request.params["id"]
    return default(cloud) if id == _DEFAULT else cloud.find("projects", id)


def _change(request: Request, cloud: Cloud) -> Reply:
    project = _found(request, cloud)
    project |= _checked(request.body, cloud, project)
    if request.body.get("is_default"):
        default(cloud)["is_default"] = False
        project["is_default"] = True
    project["updated_at"] = cloud.now()
    return Reply(200, {"project": shown(project)})


def _checked(body: Mapping[str, Any], cloud: Cloud, old: Object | None) -> Object:
    """The fields that are given and not null. Raises a 409 for a name that another one has, a 422 for the rest."""
    fields = {name: body[name] for name in (*_LIMITS, "environment") if body.get(name) is not None}
    for name, value in fields.items():
        if not isinstance(value, str) or len(value) > _LIMITS.get(name, 255):
            raise unprocessable(f"{name} must be a string of at most {_LIMITS.get(name, 255)} characters")
    if not fields.get("name", "x"):
        raise unprocessable("name must not be empty")
    if any(item["name"] == fields.get("name") and item is not old for item in cloud.store.all("projects")):
        raise conflict("project with same name already exists")
    if not fields.get("environment", "x"):
        del fields["environment"]
    if fields.get("environment", ENVIRONMENTS[0]) not in ENVIRONMENTS:
        raise unprocessable(f"environment must be one of {', '.join(ENVIRONMENTS)}")
    purpose = fields.get("purpose")
    if purpose and purpose not in PURPOSES and not purpose.startswith("Other: "):
        fields["purpose"] = f"Other: {purpose}"
    return fields


def _checked_urn(urn: str, cloud: Cloud) -> str:
    """In one form: a reserved IP has two. Raises a 400 for what is none, a 404 for what is not there."""
    prefix, _, rest = urn.partition(":")
    word, _, id = rest.partition(":")
    word = "reservedip" if word == "floatingip" else word
    if prefix != "do" or not id or word not in (*KINDS, "space"):
        raise ApiError(400, "bad_request", f"resource {urn!r} cannot be in a project")
    if word in KINDS:
        cloud.find(KINDS[word][0], id)
    return f"do:{word}:{id}"


def _put(cloud: Cloud, urn: str, project: str) -> None:
    cloud.store.add("_assigned", urn, {"urn": urn, "project": project, "at": cloud.now()})


def _resources(cloud: Cloud, project: Object) -> Iterator[tuple[str, str]]:
    """URN and time of each resource of a project. Buckets of the object storage are known only by being put there."""
    for word, (kind, field, _) in KINDS.items():
        for item in cloud.store.all(kind):
            urn = f"do:{word}:{item[field]}"
            if of(cloud, urn) == project["id"]:
                entry = cloud.store.get("_assigned", urn)
                yield urn, entry["at"] if entry else item.get("created_at") or project["created_at"]
    for entry in cloud.store.all("_assigned"):
        if entry["urn"].startswith("do:space:") and of(cloud, entry["urn"]) == project["id"]:
            yield entry["urn"], entry["at"]


def _resource(request: Request, urn: str, at: str, status: str) -> Object:
    _, word, id = urn.split(":", 2)
    path = f"{request.base}{KINDS[word][2]}{id}" if word in KINDS else f"https://{id}"
    return {"urn": urn, "assigned_at": at, "links": {"self": path}, "status": status}


ROUTES = (
    Route("POST", "/v2/projects", create),
    Route("GET", "/v2/projects", index),
    Route("GET", "/v2/projects/{id}", get),
    Route("PATCH", "/v2/projects/{id}", patch),
    Route("PUT", "/v2/projects/{id}", put),
    Route("DELETE", "/v2/projects/{id}", delete),
    Route("GET", "/v2/projects/{id}/resources", resources),
    Route("POST", "/v2/projects/{id}/resources", assign),
)
