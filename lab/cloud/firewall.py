"""A cloud firewall as rules of nftables in the network namespace of the machine that it protects."""

from collections.abc import Sequence
from ipaddress import IPv4Network, collapse_addresses

from lab.cloud.hypervisor import Rule
from lab.network import CLUSTER_NETWORKS

TABLE = "table inet seedbed_cloud"
PROTOCOLS = ("tcp", "udp", "icmp")

VXLAN_PORT = 8472
PODS = IPv4Network(CLUSTER_NETWORKS[0])
"""The lab's stand-in for k3s routes the packets of pods that flannel would wrap in VXLAN: who may send VXLAN to a machine
may send it these."""

API_PORT, STAND_IN_PORT = 6443, 6444
"""The stand-in's Service `kubernetes` leads to its API server's own port, where that of k3s leads to 6443: who may use one may
use the other."""

PRIORITY = -150
"""Between connection tracking (-200), which it asks, and destination NAT (-100), by which the machine publishes ports.

Source: https://wiki.nftables.org/wiki-nftables/index.php/Netfilter_hooks#Priority_within_hook
"""


def render(rules: Sequence[Rule] | None) -> str:
    """The text for ``nft -f`` that lets in these, in place of what was there, in one transaction; ``None``: all.

    Even then there is a table that tracks connections: what is open when rules come stays open.
    """
    body = "  ct state established,related accept\n"
    if rules is not None:
        body += "".join(f"  {line} accept\n" for rule in rules for line in _matches(rule))
        body += "  drop\n"
    return (
        f"{TABLE} {{}}\ndelete {TABLE}\n"
        f"{TABLE} {{\n chain inbound {{\n  type filter hook prerouting priority {PRIORITY}; policy accept;\n"
        f'  iifname != "eth0" accept\n{body} }}\n}}\n'
    )


def _matches(rule: Rule) -> list[str]:
    """What a packet has to be for a rule to let it in; nothing where the rule has no source."""
    if rule.protocol not in PROTOCOLS:
        raise ValueError(f"protocol {rule.protocol!r} of a firewall rule; there are {', '.join(PROTOCOLS)}")
    if not rule.sources:
        return []
    match = f"ip saddr {_set(rule.sources)} meta l4proto {rule.protocol}"
    if rule.ports is None or rule.protocol == "icmp":
        return [match]
    first, last = rule.ports
    matches = [f"{match} {rule.protocol} dport {first if first == last else f'{first}-{last}'}"]
    if rule.protocol == "udp" and first <= VXLAN_PORT <= last:
        matches.append(f"ip daddr {PODS} ip saddr {_set((*rule.sources, PODS))}")
    if rule.protocol == "tcp" and first <= API_PORT <= last:
        matches.append(f"{match} tcp dport {STAND_IN_PORT}")
    return matches


def _set(networks: Sequence[IPv4Network]) -> str:
    """For nftables, which takes no interval twice."""
    return f"{{ {', '.join(str(network) for network in collapse_addresses(networks))} }}"
