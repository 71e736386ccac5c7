"""Firewalls, and what they let into each droplet.

A droplet without a firewall lets everything in; with several, what one of them lets in; with one that has no inbound
rules, nothing. Outbound rules are kept and shown, and not enforced.

Sources: https://docs.digitalocean.com/reference/api/reference/firewalls/ (fields, statuses, ports "0");
https://docs.digitalocean.com/products/networking/firewalls/details/limits/; messages "duplicate name" (409) from
github.com/harmony-one/harmony-ops/issues/390, "invalid address" (422) from
github.com/digitalocean/terraform-provider-digitalocean/issues/33, of sources that are no object from
github.com/trmcnvn/DigitalOcean.API/issues/59.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from ipaddress import IPv4Network, ip_network
from typing import Any

from lab.cloud.api import Reply, Request, conflict, page, shown, unprocessable
from lab.cloud.core import Cloud, Route
from lab.cloud.hypervisor import Rule
from lab.cloud.resources import targets
from lab.cloud.store import Object

MAX_RULES, MAX_DROPLETS, MAX_TAGS = 50, 10, 5
"""Of one firewall; droplets that a tag brings do not count."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_PORTS = re.compile(r"(\d+)(?:-(\d+))?")
_PROTOCOLS = ("tcp", "udp", "icmp")
_ENDS = {"inbound_rules": "sources", "outbound_rules": "destinations"}


def create(request: Request, cloud: Cloud) -> Reply:
    """Its droplets follow soon; until then it is `waiting`."""
    _tidy(cloud)
    firewall = {"id": cloud.uuid(), "created_at": cloud.now(), **_configuration(request, cloud, None)}
    cloud.store.add("firewalls", firewall["id"], firewall)
    _changed(cloud, firewall, set())
    return Reply(202, {"firewall": shown(firewall)})


def get(request: Request, cloud: Cloud) -> Reply:
    """One."""
    return Reply(200, {"firewall": shown(_found(request, cloud))})


def index(request: Request, cloud: Cloud) -> Reply:
    """All."""
    _tidy(cloud)
    return page(request, "firewalls", [shown(item) for item in cloud.store.listed("firewalls")])


def of_droplet(request: Request, cloud: Cloud) -> Reply:
    """Those that guard one droplet."""
    _tidy(cloud)
    droplet = cloud.find("droplets", request.params["id"])
    return page(request, "firewalls", [shown(firewall) for firewall in _guards(cloud, droplet)])


def update(request: Request, cloud: Cloud) -> Reply:
    """All of it anew: what the request leaves out is gone."""
    firewall = _found(request, cloud)
    before = _guarded(cloud, firewall)
    firewall |= _configuration(request, cloud, firewall)
    _changed(cloud, firewall, before)
    return Reply(200, {"firewall": shown(firewall)})


def delete(request: Request, cloud: Cloud) -> Reply:
    """Its droplets are open again, unless another one guards them."""
    cloud.store.remove("firewalls", _found(request, cloud)["id"])
    return Reply(204)


def add_droplets(request: Request, cloud: Cloud) -> Reply:
    """Besides those that it has."""
    return _edit(request, cloud, "droplet_ids", lambda has: has + targets.numbers(cloud, _some(request, "droplet_ids")))


def remove_droplets(request: Request, cloud: Cloud) -> Reply:
    """Some of those that it has."""
    gone = _some(request, "droplet_ids")
    return _edit(request, cloud, "droplet_ids", lambda has: [item for item in has if item not in gone])


def add_tags(request: Request, cloud: Cloud) -> Reply:
    """Besides those that it has."""
    return _edit(request, cloud, "tags", lambda has: has + targets.tags(cloud, _some(request, "tags")))


def remove_tags(request: Request, cloud: Cloud) -> Reply:
    """Some of those that it has."""
    gone = [str(tag).casefold() for tag in _some(request, "tags")]
    return _edit(request, cloud, "tags", lambda has: [item for item in has if item.casefold() not in gone])


def add_rules(request: Request, cloud: Cloud) -> Reply:
    """Besides those that it has."""
    return _edit_rules(request, cloud, lambda has, given: has + [rule for rule in given if rule not in has])


def remove_rules(request: Request, cloud: Cloud) -> Reply:
    """Those that are just as given."""
    return _edit_rules(request, cloud, lambda has, given: [rule for rule in has if rule not in given])


def _found(request: Request, cloud: Cloud) -> Object:
    _tidy(cloud)
    return cloud.find("firewalls", request.params["id"])


def _some(request: Request, name: str) -> list[Any]:
    value = request.body.get(name)
    if not isinstance(value, list) or not value:
        raise unprocessable(f"{name} must be a list that is not empty")
    return value


def _edit(request: Request, cloud: Cloud, name: str, change: Callable[[list[Any]], list[Any]]) -> Reply:
    firewall = _found(request, cloud)
    before = _guarded(cloud, firewall)
    value = list(dict.fromkeys(change(firewall[name])))
    _limit(value if name == "droplet_ids" else firewall["droplet_ids"], value if name == "tags" else firewall["tags"])
    firewall[name] = value
    _changed(cloud, firewall, before)
    return Reply(204)


def _edit_rules(request: Request, cloud: Cloud, change: Callable[[list[Object], list[Object]], list[Object]]) -> Reply:
    firewall = _found(request, cloud)
    new = {name: change(firewall[name], _rules(request.body.get(name), name, cloud)) for name in _ENDS}
    _limit_rules(new)
    firewall |= new
    _changed(cloud, firewall, _guarded(cloud, firewall))
    return Reply(204)


# What a firewall may be


def _configuration(request: Request, cloud: Cloud, old: Object | None) -> Object:
    """The fields that a client gives, checked. Raises a 409 for a name that another one has, a 422 for the rest."""
    name = request.text("name")
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise unprocessable("name must begin with a letter or digit and hold only letters, digits, periods and dashes")
    if any(item["name"] == name and item is not old for item in cloud.store.all("firewalls")):
        raise conflict("duplicate name")
    rules = {kind: _rules(request.body.get(kind), kind, cloud) for kind in _ENDS}
    _limit_rules(rules)
    ids = targets.numbers(cloud, request.body.get("droplet_ids"))
    tags = targets.tags(cloud, request.body.get("tags"))
    _limit(ids, tags)
    return {"name": name, **rules, "droplet_ids": ids, "tags": tags}


def _limit(ids: list[int], tags: list[str]) -> None:
    if len(ids) > MAX_DROPLETS:
        raise unprocessable(f"a firewall may have at most {MAX_DROPLETS} droplets; use a tag")
    if len(tags) > MAX_TAGS:
        raise unprocessable(f"a firewall may have at most {MAX_TAGS} tags")


def _limit_rules(rules: Mapping[str, list[Object]]) -> None:
    count = sum(map(len, rules.values()))
    if not count:
        raise unprocessable("must have at least one rule")
    if count > MAX_RULES:
        raise unprocessable(f"a firewall may have at most {MAX_RULES} rules")


def _rules(value: object, kind: str, cloud: Cloud) -> list[Object]:
    items = value or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise unprocessable(f"{kind} must be a list of objects")
    return [_rule(item, _ENDS[kind], cloud) for item in items]


def _rule(item: Mapping[str, Any], end: str, cloud: Cloud) -> Object:
    protocol = item.get("protocol")
    if protocol not in _PROTOCOLS:
        raise unprocessable(f"protocol must be one of {', '.join(_PROTOCOLS)}")
    if item.get("action", "allow") not in ("", "allow"):
        raise unprocessable("this cloud has no rules that deny")
    peers = item.get(end)
    if not isinstance(peers, dict):
        raise unprocessable(f"You specified an invalid type for one of the {end}.")
    rule = {"protocol": protocol, "ports": _ports(item, str(protocol)), end: _peers(peers, end, cloud)}
    return rule | ({"action": "allow"} if item.get("action") else {})


def _ports(item: Mapping[str, Any], protocol: str) -> str:
    """As the API shows them: `0` for all."""
    text = str(item.get("ports") or "")
    if protocol == "icmp" or text in ("all", "0"):
        return "0"
    found = _PORTS.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise unprocessable(f"invalid ports {text!r}: a port, a range of them as in 8000-9000, or all")
    return text


def _peers(peers: Mapping[str, Any], end: str, cloud: Cloud) -> Object:
    addresses = peers.get("addresses") or []
    for address in addresses:
        try:
            ip_network(address, strict=False)
        except ValueError:
            raise unprocessable("invalid address") from None
    balancers = peers.get("load_balancer_uids") or []
    for balancer in balancers:
        if cloud.store.get("load_balancers", balancer) is None:
            raise unprocessable(f"load balancer {balancer} not found")
    if peers.get("kubernetes_ids"):
        raise unprocessable("this cloud has no Kubernetes clusters")
    chosen = {
        "addresses": list(addresses),
        "droplet_ids": targets.numbers(cloud, peers.get("droplet_ids")),
        "tags": targets.tags(cloud, peers.get("tags")),
        "load_balancer_uids": list(balancers),
    }
    if not any(chosen.values()):
        raise unprocessable(f"{end} must name at least one of addresses, droplet_ids, tags, load_balancer_uids")
    return {name: value for name, value in chosen.items() if value}


# What it does


def _guards(cloud: Cloud, droplet: Object) -> list[Object]:
    return [item for item in cloud.store.all("firewalls") if droplet["id"] in _guarded(cloud, item)]


def _guarded(cloud: Cloud, firewall: Object) -> set[int]:
    return {droplet["id"] for droplet in targets.droplets(cloud, firewall["droplet_ids"], firewall["tags"])}


def _changed(cloud: Cloud, firewall: Object, before: set[int]) -> None:
    """It is `waiting`, with a pending change for each droplet that has or had it; `reconcile` sees to the rest."""
    after = _guarded(cloud, firewall)
    changes = [{"droplet_id": id, "removing": id not in after, "status": "waiting"} for id in sorted(before | after)]
    firewall |= {"status": "waiting", "pending_changes": changes, "_changes": firewall.get("_changes", 0) + 1}


def rules_of(cloud: Cloud, droplet: Object) -> tuple[Rule, ...] | None:
    """What is let into a droplet; None: everything. The caller holds the lock."""
    guards = _guards(cloud, droplet)
    if not guards:
        return None
    return tuple(
        dict.fromkeys(
            Rule(rule["protocol"], _range(rule["ports"]), networks)
            for firewall in guards
            for rule in firewall["inbound_rules"]
            if (networks := tuple(dict.fromkeys(_networks(cloud, rule["sources"]))))
        )
    )


def _range(ports: str) -> tuple[int, int] | None:
    if ports == "0":
        return None
    first, _, last = ports.partition("-")
    return int(first), int(last or first)


def _networks(cloud: Cloud, sources: Object) -> Iterator[IPv4Network]:
    """The IPv4 networks of a rule's sources: the lab has no other."""
    for address in sources.get("addresses", ()):
        network = ip_network(address, strict=False)
        if isinstance(network, IPv4Network):
            yield network
    peers = targets.droplets(cloud, sources.get("droplet_ids", ()), sources.get("tags", ()))
    peers += [cloud.store.get("load_balancers", uid) or {} for uid in sources.get("load_balancer_uids", ())]
    for peer in peers:
        yield from (IPv4Network(peer[name]) for name in ("_public", "_private") if peer.get(name))


def _tidy(cloud: Cloud) -> None:
    """Forget droplets, tags and load balancers that are gone, wherever a firewall names them."""
    droplets = {droplet["id"] for droplet in cloud.store.all("droplets")}
    balancers = {balancer["id"] for balancer in cloud.store.all("load_balancers")}
    tags = {tag["name"].casefold() for tag in cloud.store.all("tags")}
    for firewall in cloud.store.all("firewalls"):
        for peers in [firewall, *(rule[end] for kind, end in _ENDS.items() for rule in firewall[kind])]:
            for name, there in (("droplet_ids", droplets), ("load_balancer_uids", balancers)):
                if name in peers:
                    peers[name] = [item for item in peers[name] if item in there]
            if "tags" in peers:
                peers["tags"] = [tag for tag in peers["tags"] if tag.casefold() in tags]
        firewall["pending_changes"] = [c for c in firewall["pending_changes"] if c["droplet_id"] in droplets]


def reconcile(cloud: Cloud) -> None:
    """Tell the hypervisor, for each droplet, what is new of its rules; then no firewall waits any longer."""
    with cloud.changing():
        _tidy(cloud)
        changes = {item["id"]: item["_changes"] for item in cloud.store.all("firewalls") if item["status"] == "waiting"}
        ids = [droplet["id"] for droplet in cloud.store.all("droplets")]
    for id in ids:
        with cloud.machine(id):
            with cloud.changing():
                droplet = cloud.store.get("droplets", id)
                rules = rules_of(cloud, droplet) if droplet else None
            told = None if rules is None else repr(rules)
            if droplet is None or droplet.get("_let_in") == told:
                continue
            cloud.hypervisor.let_in(id, rules)
            with cloud.changing():
                droplet["_let_in"] = told
    if changes:
        cloud.later(partial(_settle, cloud, changes), cloud.delays.action)


def _settle(cloud: Cloud, changes: Mapping[str, int]) -> None:
    with cloud.changing():
        for id, number in changes.items():
            firewall = cloud.store.get("firewalls", id)
            if firewall is not None and firewall["_changes"] == number:
                firewall |= {"status": "succeeded", "pending_changes": []}


ROUTES = (
    Route("POST", "/v2/firewalls", create),
    Route("GET", "/v2/firewalls", index),
    Route("GET", "/v2/firewalls/{id}", get),
    Route("PUT", "/v2/firewalls/{id}", update),
    Route("DELETE", "/v2/firewalls/{id}", delete),
    Route("POST", "/v2/firewalls/{id}/droplets", add_droplets),
    Route("DELETE", "/v2/firewalls/{id}/droplets", remove_droplets),
    Route("POST", "/v2/firewalls/{id}/tags", add_tags),
    Route("DELETE", "/v2/firewalls/{id}/tags", remove_tags),
    Route("POST", "/v2/firewalls/{id}/rules", add_rules),
    Route("DELETE", "/v2/firewalls/{id}/rules", remove_rules),
    Route("GET", "/v2/droplets/{id}/firewalls", of_droplet),
)
