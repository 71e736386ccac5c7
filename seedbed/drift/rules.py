"""What firewalls and load balancers of DigitalOcean let through: the state's words and the API's, brought to one form."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

BALANCER_WORDS = "load balancer"

# How the API says what the provider's schema says, of a rule's other end.
# Source: terraform-provider-digitalocean, digitalocean/firewall/firewalls.go; Pulumi writes its words in camel case
_ENDS = {
    "Addresses": "addresses",
    "DropletIds": "droplet_ids",
    "LoadBalancerUids": "load_balancer_uids",
    "KubernetesIds": "kubernetes_ids",
    "Tags": "tags",
}
_ALL_PORTS = ("", "0", "all", "1-65535")
"""The API answers `0` where all are meant."""

_CHECK = {
    "protocol": "protocol",
    "port": "port",
    "checkIntervalSeconds": "check_interval_seconds",
    "responseTimeoutSeconds": "response_timeout_seconds",
    "healthyThreshold": "healthy_threshold",
    "unhealthyThreshold": "unhealthy_threshold",
}

Object = Mapping[str, Any]


def firewall(was: Object, now: Object) -> Iterator[str]:
    """How a firewall differs; `was` are the outputs of the state, `now` is the API's."""
    for way, key, words, prefix, end in (
        ("inboundRules", "inbound_rules", ("lets in", "from"), "source", "sources"),
        ("outboundRules", "outbound_rules", ("lets out", "to"), "destination", "destinations"),
    ):
        old = {entry for rule in was.get(way) or [] for entry in _of_state(rule, prefix)}
        new = {entry for rule in now.get(key) or [] for entry in _of_api(rule, end)}
        does, where = words
        yield from (f"{does} {what} {where} {peer}" for what, peer in sorted(new - old))
        yield from (f"no longer {does} {what} {where} {peer}" for what, peer in sorted(old - new))
    old_tags, new_tags = set(was.get("tags") or []), set(now.get("tags") or [])
    yield from (f"is at the tag {tag}" for tag in sorted(new_tags - old_tags))
    yield from (f"is no longer at the tag {tag}" for tag in sorted(old_tags - new_tags))
    old_ids, new_ids = _numbers(was.get("dropletIds")), _numbers(now.get("droplet_ids"))
    yield from (f"is at the droplet {droplet}" for droplet in sorted(new_ids - old_ids))
    yield from (f"is no longer at the droplet {droplet}" for droplet in sorted(old_ids - new_ids))


def balancer(was: Object, now: Object) -> Iterator[str]:
    """How a load balancer differs; `was` are the outputs of the state, `now` is the API's."""
    old = {
        _way(rule, "entryProtocol", "entryPort", "targetProtocol", "targetPort")
        for rule in was.get("forwardingRules") or []
    }
    new = {
        _way(rule, "entry_protocol", "entry_port", "target_protocol", "target_port")
        for rule in now.get("forwarding_rules") or []
    }
    yield from (f"passes {way}" for way in sorted(new - old))
    yield from (f"no longer passes {way}" for way in sorted(old - new))
    pairs = [
        ("droplets are those of the tag", was.get("dropletTag"), now.get("tag") or None),
        ("size is", was.get("sizeUnit"), now.get("size_unit")),
        ("address is", was.get("ip"), now.get("ip")),
        ("VPC is", was.get("vpcUuid"), now.get("vpc_uuid")),
    ]
    check_was, check_now = was.get("healthcheck") or {}, now.get("health_check") or {}
    pairs += [
        (f"health check has as {key.replace('_', ' ')}", check_was.get(name), check_now.get(key))
        for name, key in _CHECK.items()
        if name in check_was
    ]
    yield from (
        f"its {what} {_plain(new)}, not {_plain(old)}" for what, old, new in pairs if _plain(old) != _plain(new)
    )


def _of_state(rule: Object, prefix: str) -> Iterator[tuple[str, str]]:
    what = _what(rule["protocol"], rule.get("portRange"))
    for name in _ENDS:
        yield from ((what, _peer(name, peer)) for peer in rule.get(f"{prefix}{name}") or [])


def _of_api(rule: Object, end: str) -> Iterator[tuple[str, str]]:
    what = _what(rule["protocol"], rule.get("ports"))
    for name, key in _ENDS.items():
        yield from ((what, _peer(name, peer)) for peer in (rule.get(end) or {}).get(key) or [])


def _what(protocol: object, ports: object) -> str:
    text = str(ports or "")
    if protocol == "icmp":
        return "icmp"
    return f"{protocol} (all ports)" if text in _ALL_PORTS else f"{protocol} {text}"


def _peer(name: str, peer: object) -> str:
    kinds = {
        "DropletIds": "droplet ",
        "LoadBalancerUids": f"{BALANCER_WORDS} ",
        "KubernetesIds": "Kubernetes cluster ",
        "Tags": "tag ",
    }
    return f"{kinds.get(name, '')}{_plain(peer)}"


def _way(rule: Object, *keys: str) -> str:
    protocol, port, target, target_port = (_plain(rule.get(key)) for key in keys)
    return f"{protocol} {port} to {target} {target_port}"


def _numbers(values: Iterable[object] | None) -> set[str]:
    return {_plain(value) for value in values or []}


def _plain(value: object) -> str:
    """Numbers are without a fraction here, and with one in the state."""
    return str(int(value)) if isinstance(value, float) else str(value)
