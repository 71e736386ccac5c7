"""Networks, firewalls and addresses. Source: `vpc/resource_vpc.go`, `firewall/firewalls.go`,
`reservedip/resource_reserved_ip.go`, `reservedip/resource_reserved_ip_assignment.go`."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus

from lab.plugins.protocol.values import Properties, is_unknown

from . import actions, creating
from .api import Body
from .errors import ApiError
from .fields import Field, integer, object_of, set_of, string
from .kind import HOUR, MINUTE, Created, Failure, Kind, Times, given, go_time, live, region, remove, tags
from .storage import link_id, pair
from .work import Work

_ONE_AT_A_TIME = asyncio.Lock()
"""VPCs get their ranges, and reserved IPs are told from one another, one after another."""


async def _create_vpc(work: Work, inputs: Properties) -> Created:
    body = {
        "name": inputs["name"],
        "region": inputs["region"],
        **given(description=inputs.get("description"), ip_range=inputs.get("ipRange")),
    }
    began = creating.now()

    async def search() -> list[Body]:
        return [
            one
            for one in await work.api.find("vpcs", "list", "vpcs")
            if one["name"] == body["name"]
            and one["region"] == body["region"]
            and creating.since(work, began, one["created_at"])
        ]

    async with _ONE_AT_A_TIME:
        made = await creating.make(
            work, lambda: work.api.once("vpcs", "create", body=body, log=work.log), search, unique=True, accept="vpc"
        )
    return Created(str(made["id"]))


async def _read_vpc(work: Work, id_: str, state: Properties) -> Properties | None:  # noqa: ARG001
    vpc = await live(work, "vpcs", "vpc", id_)
    if vpc is None:
        return None
    return {
        "name": vpc["name"],
        "region": vpc["region"],
        "description": vpc.get("description") or "",
        "ipRange": vpc["ip_range"],
        "vpcUrn": vpc["urn"],
        "default": bool(vpc.get("default")),
        "createdAt": go_time(vpc["created_at"]),
    }


async def _update_vpc(work: Work, id_: str, old: Properties, new: Properties) -> None:
    body = {
        "name": new["name"],
        "description": new.get("description") or "",
        "default": bool(old.get("default")),
    }
    await work.api.ask("vpcs", "update", id_, body=body, log=work.log)


async def _delete_vpc(work: Work, id_: str, state: Properties) -> None:  # noqa: ARG001
    async def missing() -> str | None:
        try:
            await remove(work, "vpcs", id_)
        except ApiError as error:
            # What was just deleted is among its members for a while.
            late = asyncio.get_running_loop().time() >= work.deadline
            refused = error.status in (HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT)
            if late or not (refused and error.says("members")):
                raise
            return "not to be deleted yet, as it has members"
        return None

    await work.until(missing)


VPC = Kind(
    token="digitalocean:index/vpc:Vpc",  # noqa: S106
    noun="VPC",
    inputs={
        "name": string(required=True),
        "region": string(required=True, replaces=True),
        "description": string(),
        "ipRange": string(computed=True, replaces=True),
    },
    computed=("createdAt", "default", "vpcUrn"),
    create=_create_vpc,
    read=_read_vpc,
    update=_update_vpc,
    delete=_delete_vpc,
    times=Times(delete=2 * MINUTE),
)

_ENDS = {"addresses": "Addresses", "droplet_ids": "DropletIds", "load_balancer_uids": "LoadBalancerUids"}
_MORE_ENDS = {"kubernetes_ids": "KubernetesIds", "tags": "Tags"}


def _rule(prefix: str) -> dict[str, Field]:
    return {
        "protocol": string(required=True, values=("tcp", "udp", "icmp")),
        "portRange": string(),
        "action": string(values=("allow", "deny")),
        f"{prefix}Addresses": set_of(string()),
        f"{prefix}DropletIds": set_of(integer()),
        f"{prefix}LoadBalancerUids": set_of(string()),
        f"{prefix}KubernetesIds": set_of(string()),
        f"{prefix}Tags": tags(),
    }


def _rule_body(rule: Properties, prefix: str, where: str) -> Body:
    ends = {key: rule.get(f"{prefix}{name}") or [] for key, name in (_ENDS | _MORE_ENDS).items()}
    return {
        "protocol": rule["protocol"],
        "ports": rule.get("portRange") or "",
        where: {key: value for key, value in ends.items() if value},
        **given(action=rule.get("action")),
    }


def _rule_shown(rule: Body, prefix: str, where: str) -> Properties:
    """The API says `0` for all ports, and for none with ICMP."""
    ports = str(rule.get("ports") or "0")
    ends = rule.get(where) or {}
    shown = {f"{prefix}{name}": ends[key] for key, name in (_ENDS | _MORE_ENDS).items() if ends.get(key)}
    port_range = {"portRange": "all" if ports == "0" else ports}
    return {
        "protocol": rule["protocol"],
        **({} if rule["protocol"] == "icmp" and ports == "0" else port_range),
        **given(action=rule.get("action")),
        **shown,
    }


def _firewall_body(inputs: Properties) -> Body:
    return {
        "name": inputs["name"],
        "droplet_ids": inputs.get("dropletIds") or [],
        "tags": inputs.get("tags") or [],
        "inbound_rules": [_rule_body(rule, "source", "sources") for rule in inputs.get("inboundRules") or []],
        "outbound_rules": [
            _rule_body(rule, "destination", "destinations") for rule in inputs.get("outboundRules") or []
        ],
    }


async def _create_firewall(work: Work, inputs: Properties) -> Created:
    body = _firewall_body(inputs)
    made = await creating.named(work, "firewalls", "firewall", body)
    return Created(str(made["id"]))


async def _read_firewall(work: Work, id_: str, state: Properties) -> Properties | None:  # noqa: ARG001
    found = await live(work, "firewalls", "firewall", id_)
    if found is None:
        return None
    return {
        "name": found["name"],
        "status": found["status"],
        "createdAt": found["created_at"],
        "pendingChanges": [
            {"dropletId": one.get("droplet_id"), "removing": one.get("removing"), "status": one.get("status")}
            for one in found.get("pending_changes") or []
        ],
        "dropletIds": found.get("droplet_ids") or [],
        "tags": found.get("tags") or [],
        "inboundRules": [_rule_shown(rule, "source", "sources") for rule in found.get("inbound_rules") or []],
        "outboundRules": [
            _rule_shown(rule, "destination", "destinations") for rule in found.get("outbound_rules") or []
        ],
    }


async def _update_firewall(work: Work, id_: str, old: Properties, new: Properties) -> None:  # noqa: ARG001
    await work.api.ask("firewalls", "update", id_, body=_firewall_body(new), log=work.log)


async def _delete_firewall(work: Work, id_: str, state: Properties) -> None:  # noqa: ARG001
    await remove(work, "firewalls", id_)


def _firewall_problems(inputs: Properties) -> Iterable[Failure]:
    if not inputs.get("inboundRules") and not inputs.get("outboundRules"):
        yield Failure("", "At least one rule must be specified")
    for name in ("inboundRules", "outboundRules"):
        rules = inputs.get(name)
        for index, rule in enumerate(rules if isinstance(rules, list) else []):
            if is_unknown(rule) or rule.get("protocol") == "icmp" or rule.get("portRange"):
                continue
            way = name.removesuffix("Rules")
            yield Failure(
                f"{name}[{index}].portRange",
                f"`port_range` of {way} rules is required if protocol is `tcp` or `udp`",
            )


FIREWALL = Kind(
    token="digitalocean:index/firewall:Firewall",  # noqa: S106
    noun="firewall",
    inputs={
        "name": string(required=True),
        "dropletIds": set_of(integer()),
        "inboundRules": set_of(object_of(_rule("source"))),
        "outboundRules": set_of(object_of(_rule("destination"))),
        "tags": tags(),
    },
    computed=("createdAt", "pendingChanges", "status"),
    create=_create_firewall,
    read=_read_firewall,
    update=_update_firewall,
    delete=_delete_firewall,
    problems=_firewall_problems,
)


async def _create_reserved_ip(work: Work, inputs: Properties) -> Created:
    """A reserved IP has neither a name nor a time: after a lost answer, ours is the one that was not there before."""
    body = {"region": inputs["region"].lower()}
    before: set[str] = set()

    async def listed() -> list[Body]:
        return await work.api.find("reserved_ips", "list", "reserved_ips")

    async def search() -> list[Body]:
        return [
            one
            for one in await listed()
            if one["ip"] not in before and one["region"]["slug"] == body["region"] and not one.get("droplet")
        ]

    async with _ONE_AT_A_TIME:
        before |= {one["ip"] for one in await listed()}
        made = await creating.make(
            work,
            lambda: work.api.once("reserved_ips", "create", body=body, log=work.log),
            search,
            unique=False,
            accept="reserved_ip",
        )
    return Created(str(made["ip"]))


async def _settle_reserved_ip(work: Work, id_: str, inputs: Properties) -> None:
    if inputs.get("dropletId"):
        await _assign(work, id_, str(inputs["dropletId"]))


async def _assign(work: Work, address: str, droplet: str) -> None:
    if await _assignee(work, address) == droplet:
        return
    try:
        await actions.perform(
            work, "reserved_ips_actions", "post", address, {"type": "assign", "droplet_id": int(droplet)}
        )
    except ApiError:
        if await _assignee(work, address) != droplet:
            raise


async def _unassign(work: Work, address: str) -> None:
    try:
        await actions.perform(work, "reserved_ips_actions", "post", address, {"type": "unassign"})
    except ApiError:
        if await _assignee(work, address) is not None:
            raise


async def _assignee(work: Work, address: str) -> str | None:
    found = await live(work, "reserved_ips", "reserved_ip", address)
    droplet = (found or {}).get("droplet") or {}
    return str(droplet["id"]) if droplet else None


async def _read_reserved_ip(work: Work, id_: str, state: Properties) -> Properties | None:
    found = await live(work, "reserved_ips", "reserved_ip", id_)
    if found is None:
        return None
    droplet = found.get("droplet") or {}
    # What a ReservedIpAssignment has assigned is none of this resource's.
    is_ours = bool(state.get("dropletId")) or not state
    return {
        "region": found["region"]["slug"],
        "ipAddress": found["ip"],
        "reservedIpUrn": f"do:reservedip:{found['ip']}",
        "dropletId": droplet.get("id") if is_ours else None,
    }


async def _update_reserved_ip(work: Work, id_: str, old: Properties, new: Properties) -> None:
    if new.get("dropletId") == old.get("dropletId"):
        return
    if new.get("dropletId"):
        await _assign(work, id_, str(new["dropletId"]))
    else:
        await _unassign(work, id_)


async def _delete_reserved_ip(work: Work, id_: str, state: Properties) -> None:
    if state.get("dropletId"):
        await _unassign(work, id_)
    await remove(work, "reserved_ips", id_)


RESERVED_IP = Kind(
    token="digitalocean:index/reservedIp:ReservedIp",  # noqa: S106
    noun="reserved IP",
    inputs={
        "region": region(required=True),
        "ipAddress": string(computed=True),
        "dropletId": integer(),
    },
    computed=("reservedIpUrn",),
    create=_create_reserved_ip,
    read=_read_reserved_ip,
    update=_update_reserved_ip,
    delete=_delete_reserved_ip,
    settle=_settle_reserved_ip,
    label=lambda inputs: str(inputs.get("ipAddress") or f"in {inputs.get('region')}"),
    times=Times(create=HOUR, update=HOUR, delete=HOUR),
    auto_name=False,
)


async def _create_assignment(work: Work, inputs: Properties) -> Created:
    await _assign(work, inputs["ipAddress"], str(inputs["dropletId"]))
    return Created(link_id(inputs["dropletId"], inputs["ipAddress"]))


async def _read_assignment(work: Work, id_: str, state: Properties) -> Properties | None:  # noqa: ARG001
    if await _assignee(work, state["ipAddress"]) != str(state["dropletId"]):
        return None
    return {"ipAddress": state["ipAddress"], "dropletId": state["dropletId"]}


async def _delete_assignment(work: Work, id_: str, state: Properties) -> None:  # noqa: ARG001
    if await _assignee(work, state["ipAddress"]) == str(state["dropletId"]):
        await _unassign(work, state["ipAddress"])


def _assignment(id_: str) -> tuple[str, Properties]:
    address, droplet = pair(id_, "ip_address", "droplet_id")
    return link_id(droplet, address), {"ipAddress": address, "dropletId": int(droplet)}


RESERVED_IP_ASSIGNMENT = Kind(
    token="digitalocean:index/reservedIpAssignment:ReservedIpAssignment",  # noqa: S106
    noun="assignment of reserved IP",
    inputs={
        "ipAddress": string(required=True, replaces=True),
        "dropletId": integer(required=True, replaces=True),
    },
    computed=(),
    create=_create_assignment,
    read=_read_assignment,
    delete=_delete_assignment,
    identity=_assignment,
    label=lambda inputs: f"{inputs.get('ipAddress')} to droplet {inputs.get('dropletId')}",
    times=Times(create=HOUR, delete=HOUR),
    auto_name=False,
)
