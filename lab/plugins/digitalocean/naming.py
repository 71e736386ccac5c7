"""Domains and their records. Source: `domain/resource_domain.go`, `domain/resource_record.go`."""

from collections.abc import Iterable

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import Properties, Value

from . import creating
from .api import Body
from .fields import filled, integer, string
from .kind import Created, Failure, Kind, given, live, remove
from .work import Work

_NAMES = frozenset({"CNAME", "MX", "NS", "SRV", "CAA"})
"""Records whose value is a name, which the API shows without the dot at its end."""


async def _create_domain(work: Work, inputs: Properties) -> Created:
    body = {"name": inputs["name"], **given(ip_address=inputs.get("ipAddress"))}

    async def search() -> list[Body]:
        found = await live(work, "domains", "domain", inputs["name"])
        return [found] if found else []

    made = await creating.make(
        work,
        lambda: work.api.once("domains", "create", body=body, log=work.log),
        search,
        unique=True,
        accept="domain",
    )
    return Created(str(made["name"]))


async def _read_domain(work: Work, id_: str, state: Properties) -> Properties | None:  # noqa: ARG001
    domain = await live(work, "domains", "domain", id_)
    if domain is None:
        return None
    return {"name": domain["name"], "domainUrn": f"do:domain:{domain['name']}", "ttl": domain.get("ttl")}


async def _delete_domain(work: Work, id_: str, state: Properties) -> None:  # noqa: ARG001
    await remove(work, "domains", id_)


DOMAIN = Kind(
    token="digitalocean:index/domain:Domain",  # noqa: S106
    noun="domain",
    inputs={"name": string(required=True, replaces=True), "ipAddress": string(replaces=True)},
    computed=("domainUrn", "ttl"),
    create=_create_domain,
    read=_read_domain,
    delete=_delete_domain,
    auto_name=False,
)


def _record_body(inputs: Properties) -> Body:
    return {
        "type": inputs["type"],
        "name": inputs["name"],
        "data": inputs["value"],
        **{
            key: inputs[key]
            for key in ("port", "priority", "ttl", "weight", "flags", "tag")
            if inputs.get(key) is not None
        },
    }


async def _create_record(work: Work, inputs: Properties) -> Created:
    body = _record_body(inputs)

    async def search() -> list[Body]:
        return [
            one
            for one in await work.api.find(
                "domains", "list_records", "domain_records", inputs["domain"], type=body["type"]
            )
            if one["name"] in (body["name"], body["name"].removesuffix(f".{inputs['domain']}."))
            and one["data"].rstrip(".") == body["data"].rstrip(".")
        ]

    made = await creating.make(
        work,
        lambda: work.api.once("domains", "create_record", inputs["domain"], body=body, log=work.log),
        search,
        unique=False,
        accept="domain_record",
    )
    return Created(str(made["id"]))


async def _read_record(work: Work, id_: str, state: Properties) -> Properties | None:
    if not id_.isdecimal():
        raise PluginError(f"invalid record ID: {id_}")
    record = await live(work, "domains", "domain_record", state["domain"], int(id_), method="get_record")
    if record is None:
        return None
    value = str(record["data"])
    if record["type"] in _NAMES and value != "@" and record.get("tag") != "iodef" and not value.endswith("."):
        value += "."
    numbers = {key: record.get(key) or 0 for key in ("port", "priority", "weight", "flags")}
    return {
        "domain": state["domain"],
        "name": record["name"],
        "type": record["type"],
        "value": value,
        "ttl": record.get("ttl"),
        "tag": record.get("tag") or "",
        "fqdn": fqdn(record["name"], state["domain"]),
        **numbers,
    }


async def _update_record(work: Work, id_: str, old: Properties, new: Properties) -> None:
    body = _record_body(filled(DNS_RECORD.inputs, old, new))
    await work.api.ask("domains", "update_record", new["domain"], int(id_), body=body, log=work.log)


async def _delete_record(work: Work, id_: str, state: Properties) -> None:
    await remove(work, "domains", state["domain"], int(id_), method="delete_record")


def fqdn(name: str, domain: str) -> str:
    """The whole name of a record (ConstructFqdn)."""
    if name == "@":
        return domain
    if name.lower().endswith(f"{domain}."):
        return name.lower().removesuffix(".")
    return f"{name}.{domain}"


def _same_name(old: Value, new: Value, inputs: Properties) -> bool:
    domain = f"{inputs.get('domain')}."
    return bool((old == "@" and new == domain) or f"{old}.{domain}" == new)


def _same_value(old: Value, new: Value, inputs: Properties) -> bool:
    domain = f"{inputs.get('domain')}."
    return bool((old == "@" and new == domain) or old == f"{new}.{domain}")


def _record_problems(inputs: Properties) -> Iterable[Failure]:
    needed = {"MX": ("priority",), "SRV": ("priority", "weight", "port"), "CAA": ("flags", "tag")}
    kind = str(inputs.get("type"))
    for name in needed.get(kind, ()):
        if inputs.get(name) is None:
            yield Failure(name, f"`{name}` is required for when type is `{kind}`")


def _identity(id_: str) -> tuple[str, Properties]:
    domain, comma, record = id_.partition(",")
    if not comma:
        raise PluginError(f"expected import ID in the format 'domain,record_id', got: {id_!r}")
    return record, {"domain": domain}


DNS_RECORD = Kind(
    token="digitalocean:index/dnsRecord:DnsRecord",  # noqa: S106
    noun="DNS record",
    inputs={
        "type": string(
            required=True, replaces=True, values=("A", "AAAA", "CAA", "CNAME", "MX", "NS", "TXT", "SRV", "SOA")
        ),
        "domain": string(required=True, replaces=True),
        "name": string(required=True, same=_same_name),
        "value": string(required=True, same=_same_value),
        "port": integer(least=0, most=65535),
        "priority": integer(least=0, most=65535),
        "weight": integer(least=0, most=65535),
        "ttl": integer(computed=True, least=1),
        "flags": integer(least=0, most=255),
        "tag": string(values=("issue", "issuewild", "iodef")),
    },
    computed=("fqdn",),
    create=_create_record,
    read=_read_record,
    update=_update_record,
    delete=_delete_record,
    identity=_identity,
    problems=_record_problems,
    label=lambda inputs: f"{inputs.get('name')}.{inputs.get('domain')} {inputs.get('type')}",
)
