"""Domains and their records: kept and shown; no name server serves them.

Sources: https://docs.digitalocean.com/reference/api/reference/domains/ and …/domain-records/ (fields by type, TTL 1800,
`name` of the query is the whole name); message "Data needs to end with a dot (.)" from
github.com/digitalocean/api-v2/issues/130.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from lab.cloud.api import Reply, Request, page, shown, unprocessable
from lab.cloud.core import Cloud, Route
from lab.cloud.resources import projects
from lab.cloud.store import Object

TTL, TTL_LEAST = 1800, 30
NAME_SERVERS = ("ns1.digitalocean.com", "ns2.digitalocean.com", "ns3.digitalocean.com")

_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]", re.IGNORECASE)
_LABEL = re.compile(
    r"@|(\*|[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
_TYPES = ("A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT")
_TO_NAMES = ("CAA", "CNAME", "MX", "NS", "SRV")
"""Types whose data is a name, which ends with a dot, or `@` for the domain itself."""

_NUMBERS = {"priority": 65535, "port": 65535, "weight": 65535, "flags": 255}
_FIRST_RECORD = 30_000_000


def create(request: Request, cloud: Cloud) -> Reply:
    """With its SOA and NS records, and with an A record if an address is given."""
    name = request.text("name").lower()
    if not _DOMAIN.fullmatch(name):
        raise unprocessable(f"domain {name!r}: Name is not a valid domain name")
    if cloud.store.get("domains", name) is not None:
        raise unprocessable(f"domain '{name}': name already exists")
    address = request.body.get("ip_address")
    if address:
        _check_data("A", address)
    projects.enter(cloud, f"do:domain:{name}", None)
    cloud.store.add("domains", name, {"name": name, "ttl": TTL})
    _add(cloud, name, {"type": "SOA", "name": "@", "data": str(TTL), "ttl": TTL})
    for server in NAME_SERVERS:
        _add(cloud, name, {"type": "NS", "name": "@", "data": server, "ttl": TTL})
    if address:
        _add(cloud, name, {"type": "A", "name": "@", "data": address, "ttl": TTL})
    return Reply(201, {"domain": {"name": name, "ttl": TTL, "zone_file": None}})


def get(request: Request, cloud: Cloud) -> Reply:
    """One, with its zone file."""
    return Reply(200, {"domain": _with_zone(cloud, _domain(request, cloud))})


def index(request: Request, cloud: Cloud) -> Reply:
    """All."""
    return page(request, "domains", [_with_zone(cloud, item) for item in cloud.store.listed("domains")])


def delete(request: Request, cloud: Cloud) -> Reply:
    """With its records."""
    domain = _domain(request, cloud)["name"]
    for record in _records(cloud, domain):
        cloud.store.remove("domain_records", record["id"])
    cloud.store.remove("domains", domain)
    return Reply(204)


def create_record(request: Request, cloud: Cloud) -> Reply:
    """With a TTL of 1800 seconds, unless another one is given."""
    domain = _domain(request, cloud)["name"]
    kind = _one_of_types(request.body)
    fields = _fields(request.body, kind)
    if "data" not in fields:
        raise unprocessable("Data can't be blank.")
    if "name" not in fields and kind != "NS":
        raise unprocessable("Name can't be blank.")
    record = {"type": kind, "name": "@", "ttl": TTL, **fields}
    _check_alone(cloud, domain, record, None)
    return Reply(201, {"domain_record": shown(_add(cloud, domain, record))})


def get_record(request: Request, cloud: Cloud) -> Reply:
    """One."""
    return Reply(200, {"domain_record": shown(_record(request, cloud))})


def records(request: Request, cloud: Cloud) -> Reply:
    """All of a domain; `type` and `name` (a whole name) of the query choose some."""
    domain = _domain(request, cloud)["name"]
    items = [item for item in cloud.store.listed("domain_records") if item["_domain"] == domain]
    if kind := request.query.get("type"):
        items = [item for item in items if item["type"] == kind]
    if name := request.query.get("name"):
        items = [item for item in items if _whole_name(item) == name.lower().removesuffix(".")]
    return page(request, "domain_records", [shown(item) for item in items])


def edit_record(request: Request, cloud: Cloud) -> Reply:
    """What is given; the type stays. `PUT` and `PATCH` do the same."""
    record = _record(request, cloud)
    kind = record["type"]
    if request.body.get("type") not in (None, "", kind):
        raise unprocessable("Type of a record cannot be changed.")
    new = record | _fields(request.body, kind)
    _check_alone(cloud, record["_domain"], new, record)
    record |= new
    return Reply(200, {"domain_record": shown(record)})


def delete_record(request: Request, cloud: Cloud) -> Reply:
    """Any but the SOA."""
    record = _record(request, cloud)
    if record["type"] == "SOA":
        raise unprocessable("The SOA record cannot be deleted.")
    cloud.store.remove("domain_records", record["id"])
    return Reply(204)


def _domain(request: Request, cloud: Cloud) -> Object:
    return cloud.find("domains", request.params["domain"].lower())


def _record(request: Request, cloud: Cloud) -> Object:
    domain, wanted = _domain(request, cloud)["name"], request.params["record"]
    for record in _records(cloud, domain):
        if str(record["id"]) == wanted:
            return record
    return cloud.find("domain_records", "none")


def _records(cloud: Cloud, domain: str) -> list[Object]:
    return [item for item in cloud.store.all("domain_records") if item["_domain"] == domain]


def _add(cloud: Cloud, domain: str, fields: Mapping[str, Any]) -> Object:
    number = cloud.store.number("domain_records", _FIRST_RECORD)
    empty = {"priority": None, "port": None, "weight": None, "flags": None, "tag": None}
    return cloud.store.add("domain_records", number, {"id": number, **empty, **fields, "_domain": domain})


def _one_of_types(body: Mapping[str, Any]) -> str:
    kind = body.get("type")
    if kind not in _TYPES:
        raise unprocessable(f"Type must be one of {', '.join(_TYPES)}")
    return str(kind)


def _fields(body: Mapping[str, Any], kind: str) -> Object:
    """Those of a record that are given, checked for its type. Raises a 422."""
    fields: Object = {}
    if body.get("name"):
        if not _LABEL.fullmatch(str(body["name"])):
            raise unprocessable(f"Name {body['name']!r} is invalid.")
        fields["name"] = str(body["name"]).lower()
    if body.get("data"):
        fields["data"] = _check_data(kind, body["data"])
    if body.get("ttl") is not None:
        if not isinstance(body["ttl"], int) or body["ttl"] < TTL_LEAST:
            raise unprocessable(f"Ttl must be at least {TTL_LEAST}.")
        fields["ttl"] = body["ttl"]
    used = {"MX": ("priority",), "SRV": ("priority", "port", "weight"), "CAA": ("flags",)}.get(kind, ())
    for name in used:
        if body.get(name) is not None:
            if not isinstance(body[name], int) or not 0 <= body[name] <= _NUMBERS[name]:
                raise unprocessable(f"{name.capitalize()} must be between 0 and {_NUMBERS[name]}.")
            fields[name] = body[name]
    if kind == "CAA" and body.get("tag"):
        if body["tag"] not in ("issue", "issuewild", "iodef"):
            raise unprocessable("Tag must be one of issue, issuewild, iodef.")
        fields["tag"] = body["tag"]
    return fields


def _check_data(kind: str, data: object) -> str:
    """As it is kept: a name without the dot at its end."""
    text = str(data)
    if kind in ("A", "AAAA"):
        try:
            return str(IPv4Address(text) if kind == "A" else IPv6Address(text))
        except ValueError:
            form = "IPv4 format (e.g. 127.0.0.1)" if kind == "A" else "IPv6 format (e.g. 2001:db8::1)"
            raise unprocessable(f"IP address did not match {form}.") from None
    if kind in _TO_NAMES and text != "@":
        if not text.endswith("."):
            raise unprocessable("Data needs to end with a dot (.)")
        return text.removesuffix(".")
    return text


def _check_alone(cloud: Cloud, domain: str, record: Object, old: Object | None) -> None:
    """A CNAME is the only record of its name."""
    for other in _records(cloud, domain):
        same = other is not old and other["name"] == record["name"]
        if same and "CNAME" in (other["type"], record["type"]):
            raise unprocessable("CNAME records cannot share a name with other records")


def _whole_name(record: Object) -> str:
    return str(record["_domain"] if record["name"] == "@" else f"{record['name']}.{record['_domain']}")


def _with_zone(cloud: Cloud, domain: Object) -> Object:
    name = domain["name"]
    soa = f"{name}. IN SOA {NAME_SERVERS[0]}. hostmaster.{name}. 1 10800 3600 604800 {TTL}"
    lines = [f"$ORIGIN {name}.", f"$TTL {TTL}", soa]
    for record in _records(cloud, name):
        numbers = [str(record[field]) for field in ("flags", "priority", "weight", "port") if record[field] is not None]
        data = f"{record['data']}." if record["type"] in _TO_NAMES and record["data"] != "@" else record["data"]
        parts = [
            f"{_whole_name(record)}.",
            str(record["ttl"]),
            "IN",
            record["type"],
            *numbers,
            record["tag"] or "",
            data,
        ]
        if record["type"] != "SOA":
            lines.append(" ".join(part for part in parts if part))
    return shown(domain) | {"zone_file": "\n".join(lines) + "\n"}


ROUTES = (
    Route("POST", "/v2/domains", create),
    Route("GET", "/v2/domains", index),
    Route("GET", "/v2/domains/{domain}", get),
    Route("DELETE", "/v2/domains/{domain}", delete),
    Route("POST", "/v2/domains/{domain}/records", create_record),
    Route("GET", "/v2/domains/{domain}/records", records),
    Route("GET", "/v2/domains/{domain}/records/{record}", get_record),
    Route("PUT", "/v2/domains/{domain}/records/{record}", edit_record),
    Route("PATCH", "/v2/domains/{domain}/records/{record}", edit_record),
    Route("DELETE", "/v2/domains/{domain}/records/{record}", delete_record),
)
