"""Load balancers. Source: `loadbalancer/resource_loadbalancer.go`, `loadbalancer/loadbalancer.go`."""

from collections.abc import Iterable

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import Properties, Value

from . import creating
from .api import Body
from .fields import Field, boolean, filled, integer, list_of, object_of, set_of, snake, string
from .kind import MINUTE, TAG, TAG_SAYS, Created, Failure, Kind, Times, given, live, region, remove
from .waiting import Sight, StillWaitingError
from .work import Work

_SIZES = {"lb-small": 1, "lb-medium": 3, "lb-large": 6}


def _protocols(*names: str) -> Field:
    return string(required=True, values=names)


def _port() -> Field:
    return integer(required=True, least=1, most=65535)


_RULE = {
    "entryProtocol": _protocols("http", "https", "http2", "http3", "tcp", "udp"),
    "entryPort": _port(),
    "targetProtocol": _protocols("http", "https", "http2", "tcp", "udp"),
    "targetPort": _port(),
    "tlsPassthrough": boolean(default=False),
}
_CHECK = {
    "protocol": _protocols("http", "https", "tcp"),
    "port": _port(),
    "path": string(),
    "checkIntervalSeconds": integer(default=10.0, least=3, most=300),
    "responseTimeoutSeconds": integer(default=5.0, least=3, most=300),
    "unhealthyThreshold": integer(default=3.0, least=2, most=10),
    "healthyThreshold": integer(default=5.0, least=2, most=10),
}
_STICKY = {
    "type": string(default="none", values=("cookies", "none")),
    "cookieName": string(),
    "cookieTtlSeconds": integer(least=1),
}


def _snaked(value: Properties) -> Body:
    return {snake(name): item for name, item in value.items()}


def _picked(fields: dict[str, Field], shown: Body) -> Properties:
    return {name: shown[snake(name)] for name in fields if shown.get(snake(name)) is not None}


def _body(inputs: Properties) -> Body:
    firewall = inputs.get("firewall") or {}
    # Of the two, the one that a program says; the other comes with the answer.
    size = {"size_unit": inputs["sizeUnit"]} if inputs.get("sizeUnit") else given(size=inputs.get("size"))
    backends = (
        {"tag": inputs["dropletTag"]} if inputs.get("dropletTag") else {"droplet_ids": inputs.get("dropletIds") or []}
    )
    return {
        "name": inputs["name"],
        "algorithm": inputs["algorithm"],
        "redirect_http_to_https": inputs["redirectHttpToHttps"],
        "enable_proxy_protocol": inputs["enableProxyProtocol"],
        "enable_backend_keepalive": inputs["enableBackendKeepalive"],
        "disable_lets_encrypt_dns_records": inputs["disableLetsEncryptDnsRecords"],
        "forwarding_rules": [_snaked(rule) for rule in inputs.get("forwardingRules") or []],
        **size,
        **backends,
        **given(
            region=str(inputs.get("region") or "").lower(),
            vpc_uuid=inputs.get("vpcUuid"),
            project_id=inputs.get("projectId"),
            http_idle_timeout_seconds=inputs.get("httpIdleTimeoutSeconds"),
            type=inputs.get("type", "").upper(),
            network=inputs.get("network", "").upper(),
            network_stack=inputs.get("networkStack", "").upper(),
            tls_cipher_policy=inputs.get("tlsCipherPolicy"),
        ),
        **({"health_check": _snaked(inputs["healthcheck"])} if inputs.get("healthcheck") else {}),
        **({"sticky_sessions": _snaked(inputs["stickySessions"])} if inputs.get("stickySessions") else {}),
        **({"firewall": given(allow=firewall.get("allows"), deny=firewall.get("denies"))} if firewall else {}),
    }


async def _create(work: Work, inputs: Properties) -> Created:
    body = _body(inputs)
    began = creating.now()

    async def search() -> list[Body]:
        return [
            one
            for one in await work.api.find("load_balancers", "list", "load_balancers")
            if one["name"] == body["name"]
            and (one.get("region") or {}).get("slug") == body.get("region")
            and creating.since(work, began, one["created_at"])
        ]

    made = await creating.make(
        work,
        lambda: work.api.once("load_balancers", "create", body=body, log=work.log),
        search,
        unique=False,
        accept="load_balancer",
    )
    return Created(str(made["id"]))


async def _settle(work: Work, id_: str, inputs: Properties) -> None:  # noqa: ARG001
    sight = Sight()

    async def missing() -> str | None:
        found = await live(work, "load_balancers", "load_balancer", id_)
        if found is None:
            return sight.missed()
        if found["status"] == "errored":
            raise PluginError(f"{work.name} ({id_}) has the status errored: delete it, and run `pulumi up --refresh`")
        return None if found["status"] == "active" else str(found["status"])

    try:
        await work.until(missing, f"{work.name} ({id_})")
    except StillWaitingError as error:
        raise PluginError(f"{error}. It is kept: run it again to wait on") from None


async def _read(work: Work, id_: str, state: Properties) -> Properties | None:
    found = await live(work, "load_balancers", "load_balancer", id_)
    if found is None:
        return None
    firewall = found.get("firewall")
    size = {"sizeUnit": found["size_unit"]} if found.get("size_unit") else {"size": found.get("size")}
    return {
        "name": found["name"],
        "loadBalancerUrn": f"do:loadbalancer:{id_}",
        "ip": found.get("ip") or "",
        "ipv6": found.get("ipv6") or "",
        "status": found["status"],
        "algorithm": found.get("algorithm") or "round_robin",
        "redirectHttpToHttps": bool(found.get("redirect_http_to_https")),
        "enableProxyProtocol": bool(found.get("enable_proxy_protocol")),
        "enableBackendKeepalive": bool(found.get("enable_backend_keepalive")),
        "disableLetsEncryptDnsRecords": bool(found.get("disable_lets_encrypt_dns_records")),
        "dropletTag": found.get("tag") or "",
        "dropletIds": found.get("droplet_ids") or [],
        "vpcUuid": found.get("vpc_uuid") or "",
        "httpIdleTimeoutSeconds": found.get("http_idle_timeout_seconds"),
        "projectId": found.get("project_id") or "",
        "forwardingRules": [
            {"tlsPassthrough": False, **_picked(_RULE, rule)} for rule in found.get("forwarding_rules") or []
        ],
        "healthcheck": _picked(_CHECK, found["health_check"]) if found.get("health_check") else None,
        "stickySessions": _picked(_STICKY, found["sticky_sessions"]) if found.get("sticky_sessions") else None,
        "firewall": {"allows": firewall.get("allow") or [], "denies": firewall.get("deny") or []} if firewall else None,
        "region": (found.get("region") or {}).get("slug"),
        # The API's defaults of these are not in a state that did not ask for them.
        **({name: found.get(snake(name)) for name in ("type", "network", "networkStack") if state.get(name)}),
        **size,
    }


async def _update(work: Work, id_: str, old: Properties, new: Properties) -> None:
    if old.get("status") in (None, "new"):
        await _settle(work, id_, new)
    whole = filled(LOAD_BALANCER.inputs, old, new)
    if "size" in new and "sizeUnit" not in new:
        whole.pop("sizeUnit", None)
    await work.api.ask("load_balancers", "update", id_, body=_body(whole), log=work.log)


async def _delete(work: Work, id_: str, state: Properties) -> None:  # noqa: ARG001
    await remove(work, "load_balancers", id_)

    async def present() -> str | None:
        left = await live(work, "load_balancers", "load_balancer", id_)
        return None if left is None else f"{left.get('status')} (being deleted)"

    await work.until(present)


def _problems(inputs: Properties) -> Iterable[Failure]:
    if not inputs.get("region"):
        yield Failure("region", "missing 'region' value")
    if inputs.get("dropletIds") and inputs.get("dropletTag"):
        yield Failure("dropletIds", "conflicts with dropletTag")
    check = inputs.get("healthcheck")
    if isinstance(check, dict) and isinstance(protocol := check.get("protocol"), str):
        if protocol in ("http", "https") and not check.get("path"):
            yield Failure("healthcheck.path", f"health check `path` is required for when protocol is `{protocol}`")
        if protocol == "tcp" and check.get("path"):
            yield Failure("healthcheck.path", "health check `path` is not allowed for when protocol is `tcp`")
    sticky = inputs.get("stickySessions")
    if isinstance(sticky, dict):
        for name in ("cookieName", "cookieTtlSeconds"):
            if sticky.get("type") == "cookies" and not sticky.get(name):
                yield Failure(f"stickySessions.{name}", "is required for when type is `cookies`")
            if sticky.get("type") == "none" and sticky.get(name):
                yield Failure(f"stickySessions.{name}", "is not allowed for when type is `none`")


def _same_size(old: Value, new: Value, inputs: Properties) -> bool:  # noqa: ARG001
    """The API shows units, whatever was said."""
    return not old or not new


LOAD_BALANCER = Kind(
    token="digitalocean:index/loadBalancer:LoadBalancer",  # noqa: S106
    noun="load balancer",
    inputs={
        "name": string(required=True),
        "region": region(),
        "size": string(values=tuple(_SIZES), same=_same_size),
        "sizeUnit": integer(computed=True, least=1, most=200),
        "algorithm": string(default="round_robin", values=("round_robin", "least_connections")),
        "forwardingRules": set_of(object_of(_RULE)),
        "healthcheck": object_of(_CHECK, computed=True),
        "stickySessions": object_of(_STICKY, computed=True),
        "dropletIds": set_of(integer(), computed=True),
        "dropletTag": string(pattern=TAG, form_says=TAG_SAYS),
        "redirectHttpToHttps": boolean(default=False),
        "enableProxyProtocol": boolean(default=False),
        "enableBackendKeepalive": boolean(default=False),
        "disableLetsEncryptDnsRecords": boolean(default=False),
        "vpcUuid": string(computed=True, replaces=True),
        "httpIdleTimeoutSeconds": integer(computed=True),
        "projectId": string(computed=True),
        "firewall": object_of({"allows": list_of(string()), "denies": list_of(string())}, computed=True),
        "type": string(replaces=True, values=("REGIONAL", "REGIONAL_NETWORK"), any_case=True),
        "network": string(replaces=True, values=("EXTERNAL", "INTERNAL"), any_case=True),
        "networkStack": string(replaces=True, values=("IPV4", "DUALSTACK"), any_case=True),
        "tlsCipherPolicy": string(computed=True, values=("DEFAULT", "STRONG")),
    },
    computed=("ip", "ipv6", "loadBalancerUrn", "status"),
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
    settle=_settle,
    problems=_problems,
    times=Times(create=10 * MINUTE, update=10 * MINUTE),
    schema_version="1",
)
