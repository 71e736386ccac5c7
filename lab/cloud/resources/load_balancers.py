"""Load balancers: what a client may ask for, and what it gets where it asks for less.

Only what the lab can make real: TCP that passes through, with health checks, at one public IPv4 address of the region.

Sources: https://docs.digitalocean.com/reference/api/reference/load-balancers/ and pydo 0.44.0, whose documentation of
`load_balancers.create` has the defaults; messages "name is not unique" from
github.com/kubernetes-sigs/cluster-api-provider-digitalocean/issues/217, "need to provide either a tag or a list of
droplets" from github.com/digitalocean/droplet_kit/issues/153.
"""

import re
from collections.abc import Mapping
from functools import partial
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from lab.cloud.api import Reply, Request, page, shown, unprocessable
from lab.cloud.core import Cloud, Route
from lab.cloud.hypervisor import Balancer, HealthCheck
from lab.cloud.resources import catalogue, projects, targets, vpcs
from lab.cloud.store import Object

FIRST, LAST = 3, 9
"""Where in the lab's subnet the public addresses are."""

SIZES = {"lb-small": 1, "lb-medium": 3, "lb-large": 6}
"""Nodes of the older sizes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_TARGETS = {"tcp": ("tcp",), "http": ("http",), "https": ("https",)}
"""What an entry protocol may lead to where nothing is decrypted on the way."""

_FLAGS = (
    "redirect_http_to_https",
    "enable_proxy_protocol",
    "enable_backend_keepalive",
    "disable_lets_encrypt_dns_records",
)
_FIXED = {
    "algorithm": ("round_robin", "least_connections"),
    "type": ("REGIONAL", "REGIONAL_NETWORK"),
    "network": ("EXTERNAL",),
    "network_stack": ("IPV4",),
    "tls_cipher_policy": ("DEFAULT", "STRONG"),
}
"""Fields with a few values: the first one is the default; others that DigitalOcean has are refused here."""

_NUMBERS = {
    "check_interval_seconds": (10, 3, 300),
    "response_timeout_seconds": (5, 3, 300),
    "unhealthy_threshold": (5, 2, 10),
    "healthy_threshold": (3, 2, 10),
}
"""Of a health check: default, least, most."""


def create(request: Request, cloud: Cloud) -> Reply:
    """It is `new` and has no address until it is `active`."""
    slug = request.text("region")
    vpc = _vpc(request, cloud, slug)
    configuration = _configuration(request, cloud, None)
    balancer = {
        "id": cloud.uuid(),
        "ip": "",
        "ipv6": "",
        "status": "new",
        "created_at": cloud.now(),
        "region": catalogue.region(slug),
        "vpc_uuid": vpc,
        **configuration,
        "_public": cloud.free_public(FIRST, LAST),
        "_private": cloud.free_private(vpc),
        "_stuck": request.fault == "never-active",
    }
    projects.enter(cloud, f"do:loadbalancer:{balancer['id']}", request.body.get("project_id"))
    cloud.store.add("load_balancers", balancer["id"], balancer)
    cloud.later(partial(_activate, cloud, balancer["id"]), cloud.delays.balancer)
    return Reply(202, {"load_balancer": _shown(cloud, balancer)})


def get(request: Request, cloud: Cloud) -> Reply:
    """One."""
    return Reply(200, {"load_balancer": _shown(cloud, _found(request, cloud))})


def index(request: Request, cloud: Cloud) -> Reply:
    """All; `names` and `uuids` of the query choose some."""
    items = cloud.store.listed("load_balancers")
    for parameter, name in (("names", "name"), ("uuids", "id")):
        if wanted := request.query.get(parameter):
            items = [item for item in items if item[name] == wanted]
    return page(request, "load_balancers", [_shown(cloud, item) for item in items])


def update(request: Request, cloud: Cloud) -> Reply:
    """All of it anew: what the request leaves out gets its default. Region and VPC stay."""
    balancer = _found(request, cloud)
    for name, now in (("region", balancer["region"]["slug"]), ("vpc_uuid", balancer["vpc_uuid"])):
        if request.body.get(name) not in (None, "", now):
            raise unprocessable(f"{name} of a load balancer cannot be changed")
    balancer |= _configuration(request, cloud, balancer)
    if request.body.get("project_id"):
        projects.enter(cloud, f"do:loadbalancer:{balancer['id']}", request.body["project_id"])
    return Reply(200, {"load_balancer": _shown(cloud, balancer)})


def delete(request: Request, cloud: Cloud) -> Reply:
    """Its address is free again."""
    cloud.store.remove("load_balancers", _found(request, cloud)["id"])
    return Reply(204)


def add_droplets(request: Request, cloud: Cloud) -> Reply:
    """Besides those that it has; not where a tag chooses them."""
    balancer = _found(request, cloud)
    ids = targets.numbers(cloud, request.body.get("droplet_ids"))
    if balancer["tag"] or not ids:
        raise unprocessable("need to provide either a tag or a list of droplets")
    _in_vpc(cloud, ids, balancer["vpc_uuid"])
    balancer["droplet_ids"] = list(dict.fromkeys(balancer["droplet_ids"] + ids))
    return Reply(204)


def remove_droplets(request: Request, cloud: Cloud) -> Reply:
    """Some of those that it has."""
    balancer = _found(request, cloud)
    gone = request.body.get("droplet_ids") or []
    if balancer["tag"] or not gone:
        raise unprocessable("need to provide either a tag or a list of droplets")
    balancer["droplet_ids"] = [id for id in balancer["droplet_ids"] if id not in gone]
    return Reply(204)


def add_rules(request: Request, cloud: Cloud) -> Reply:
    """Besides those that it has."""
    balancer = _found(request, cloud)
    rules = balancer["forwarding_rules"] + _rules(request)
    _distinct(rules)
    balancer["forwarding_rules"] = rules
    return Reply(204)


def remove_rules(request: Request, cloud: Cloud) -> Reply:
    """Those that are just as given; one must stay."""
    balancer = _found(request, cloud)
    gone = _rules(request)
    left = [rule for rule in balancer["forwarding_rules"] if rule not in gone]
    if not left:
        raise unprocessable("forwarding_rules: a load balancer must keep at least one")
    balancer["forwarding_rules"] = left
    return Reply(204)


def _found(request: Request, cloud: Cloud) -> Object:
    balancer = cloud.find("load_balancers", request.params["id"])
    balancer["droplet_ids"] = [id for id in balancer["droplet_ids"] if cloud.store.get("droplets", id)]
    return balancer


def _shown(cloud: Cloud, balancer: Object) -> Object:
    """With its droplets, which a tag may have chosen, and its project."""
    urn = f"do:loadbalancer:{balancer['id']}"
    ids = [droplet["id"] for droplet in _backends(cloud, balancer)]
    return shown(balancer) | {"droplet_ids": ids, "project_id": projects.of(cloud, urn)}


def _backends(cloud: Cloud, balancer: Object) -> list[Object]:
    tags = [balancer["tag"]] if balancer["tag"] else []
    chosen = targets.droplets(cloud, balancer["droplet_ids"], tags)
    return [droplet for droplet in chosen if droplet["vpc_uuid"] == balancer["vpc_uuid"]]


# What a load balancer may be


def _vpc(request: Request, cloud: Cloud, slug: str) -> str:
    region = catalogue.region(slug)
    id = request.body.get("vpc_uuid") or vpcs.default(cloud, slug)["id"]
    vpc = cloud.store.get("vpcs", id)
    if vpc is None or vpc["region"] != region["slug"]:
        raise unprocessable(f"vpc {id} not found in region {slug}")
    return str(id)


def _configuration(request: Request, cloud: Cloud, old: Object | None) -> Object:
    """The fields that a client gives, checked, with the defaults. Raises a 422."""
    name = request.text("name")
    if not _NAME.fullmatch(name):
        raise unprocessable("name must begin with a letter or digit and hold only letters, digits, '.', '_' and '-'")
    if any(item["name"] == name and item is not old for item in cloud.store.all("load_balancers")):
        raise unprocessable("name is not unique")
    rules = _rules(request)
    _distinct(rules)
    ids = targets.numbers(cloud, request.body.get("droplet_ids"))
    tag = request.body.get("tag") or ""
    if ids and tag:
        raise unprocessable("need to provide either a tag or a list of droplets")
    if tag:
        targets.tags(cloud, [tag])
    if old is not None:
        _in_vpc(cloud, ids, old["vpc_uuid"])
    flags = {flag: bool(request.body.get(flag)) for flag in _FLAGS}
    refused = [flag for flag in ("redirect_http_to_https", "enable_proxy_protocol") if flags[flag]]
    refused += [name for name in ("firewall", "domains", "glb_settings", "ip") if _full(request.body.get(name))]
    if refused:
        raise unprocessable(f"this cloud's load balancers pass TCP through and have no {', '.join(refused)}")
    return {
        "name": name,
        "size_unit": _size(request, old),
        "forwarding_rules": rules,
        "health_check": _health_check(request.body.get("health_check") or {}),
        "sticky_sessions": _sticky(request.body.get("sticky_sessions") or {}),
        "tag": tag,
        "droplet_ids": ids,
        "http_idle_timeout_seconds": _whole(request.body, "http_idle_timeout_seconds", 60, 30, 600),
        **flags,
        **{field: _one_of(request.body, field, values) for field, values in _FIXED.items()},
    }


def _full(value: object) -> bool:
    """Whether something is asked for: empty lists in an object are not."""
    return any(map(_full, value.values())) if isinstance(value, dict) else bool(value)


def _one_of(body: Mapping[str, Any], name: str, values: tuple[str, ...]) -> str:
    value = body.get(name) or values[0]
    if value not in values:
        raise unprocessable(f"{name} must be one of {', '.join(values)}, not {value!r}")
    return str(value)


def _whole(body: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = default if body.get(name) is None else body[name]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise unprocessable(f"{name} must be between {least} and {most}, not {value!r}")
    return value


def _size(request: Request, old: Object | None) -> int:
    """Nodes, as `size_unit` or by the older slugs of `size`."""
    slug = request.body.get("size")
    if slug and request.body.get("size_unit"):
        raise unprocessable("size and size_unit exclude each other")
    if slug:
        return SIZES[_one_of(request.body, "size", tuple(SIZES))]
    return _whole(request.body, "size_unit", old["size_unit"] if old else 1, 1, 100)


def _in_vpc(cloud: Cloud, ids: list[int], vpc: str) -> None:
    for id in ids:
        if cloud.find("droplets", id)["vpc_uuid"] != vpc:
            raise unprocessable(f"droplet {id} is not in the load balancer's VPC")


def _rules(request: Request) -> list[Object]:
    items = request.body.get("forwarding_rules")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise unprocessable("forwarding_rules: at least one is needed")
    return [_rule(item) for item in items]


def _rule(item: Mapping[str, Any]) -> Object:
    entry, target = item.get("entry_protocol"), item.get("target_protocol")
    if entry not in _TARGETS or target not in _TARGETS[str(entry)]:
        raise unprocessable(f"forwarding_rules: this cloud does not lead {entry!r} to {target!r}, but each to itself")
    passes = bool(item.get("tls_passthrough"))
    if item.get("certificate_id") or (entry == "https") != passes:
        raise unprocessable(
            "forwarding_rules: https needs tls_passthrough here, as there are no certificates; others none"
        )
    ports = {name: _whole(item, name, 0, 1, 65535) for name in ("entry_port", "target_port")}
    protocols = {"entry_protocol": entry, "target_protocol": target}
    return {**protocols, **ports, "certificate_id": "", "tls_passthrough": passes}


def _distinct(rules: list[Object]) -> None:
    ports = [rule["entry_port"] for rule in rules]
    if len(set(ports)) < len(ports):
        raise unprocessable("forwarding_rules: two have the same entry_port")


def _health_check(given: Mapping[str, Any]) -> Object:
    protocol = _one_of(given, "protocol", ("http", "https", "tcp"))
    path = "" if protocol == "tcp" else given.get("path") or "/"
    if path and not path.startswith("/"):
        raise unprocessable("health_check: path must begin with a slash")
    numbers = {name: _whole(given, name, *limits) for name, limits in _NUMBERS.items()}
    check = {"protocol": protocol, "port": _whole(given, "port", 80, 1, 65535), **numbers, "proxy_protocol": False}
    return check | ({"path": path} if path else {})


def _sticky(given: Mapping[str, Any]) -> Object:
    if _one_of(given, "type", ("none", "cookies")) == "cookies":
        raise unprocessable("sticky_sessions: cookies need http, which this cloud's load balancers pass through")
    return {"type": "none"}


# What it does


def _activate(cloud: Cloud, id: str) -> None:
    with cloud.changing():
        balancer = cloud.store.get("load_balancers", id)
        if balancer is not None and not balancer["_stuck"]:
            balancer |= {"status": "active", "ip": balancer["_public"]}


def resume(cloud: Cloud) -> None:
    """Those that the last process did not come to."""
    for balancer in cloud.store.all("load_balancers"):
        if balancer["status"] == "new":
            cloud.later(partial(_activate, cloud, balancer["id"]), cloud.delays.balancer)


def _made(cloud: Cloud, item: Object) -> Balancer:
    check = item["health_check"]
    vpc = IPv4Network(cloud.find("vpcs", item["vpc_uuid"])["ip_range"])
    return Balancer(
        item["id"],
        item["_public"],
        IPv4Interface(f"{item['_private']}/{vpc.prefixlen}"),
        tuple((rule["entry_port"], rule["target_port"]) for rule in item["forwarding_rules"]),
        HealthCheck(
            check["protocol"],
            check["port"],
            check.get("path", ""),
            check["check_interval_seconds"],
            check["response_timeout_seconds"],
            check["unhealthy_threshold"],
            check["healthy_threshold"],
        ),
        tuple(droplet["_private"] for droplet in _backends(cloud, item) if droplet.get("_private")),
    )


def reconcile(cloud: Cloud) -> None:
    """Tell the hypervisor of all that are active, where that is new.

    What it was told is kept in the state, of the kind `_told`; it is not told again what it knows, as that could cost
    connections.
    """
    with cloud.changing():
        active = [_made(cloud, item) for item in cloud.store.all("load_balancers") if item["status"] == "active"]
        told = cloud.store.get("_told", "balance") or {"balancers": "[]"}
    if told["balancers"] == repr(active):
        return
    cloud.hypervisor.balance(active)
    with cloud.changing():
        cloud.store.add("_told", "balance", {"balancers": repr(active)})


ROUTES = (
    Route("POST", "/v2/load_balancers", create),
    Route("GET", "/v2/load_balancers", index),
    Route("GET", "/v2/load_balancers/{id}", get),
    Route("PUT", "/v2/load_balancers/{id}", update),
    Route("DELETE", "/v2/load_balancers/{id}", delete),
    Route("POST", "/v2/load_balancers/{id}/droplets", add_droplets),
    Route("DELETE", "/v2/load_balancers/{id}/droplets", remove_droplets),
    Route("POST", "/v2/load_balancers/{id}/forwarding_rules", add_rules),
    Route("DELETE", "/v2/load_balancers/{id}/forwarding_rules", remove_rules),
)
