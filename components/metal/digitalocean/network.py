"""What all machines of a stack share at DigitalOcean: their network, its firewall, and the way in.

What outlives machines is protected: the engine then refuses whatever would delete or replace it, in the preview already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_digitalocean as digitalocean

API_PORT = 6443

# From node to node: etcd, the API, kubelet, flannel's VXLAN.
# Source: https://docs.k3s.io/installation/requirements#networking
CLUSTER_PORTS = (("tcp", "2379-2380"), ("tcp", str(API_PORT)), ("tcp", "10250"), ("udp", "8472"))

WORLD = ("0.0.0.0/0", "::/0")

# A server that dies is out of the rotation after six seconds, where the defaults take thirty, and one that joins is in it
# after six, where they take fifty. The API's TLS is the servers' own, so only TCP can be tried.
# Source: https://docs.digitalocean.com/products/networking/load-balancers/how-to/manage/#health-checks
CHECK_INTERVAL_SECONDS = 3
CHECK_TIMEOUT_SECONDS = 3
CHECKS = 2

DNS_TTL_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Dns:
    """Names in a zone that the account has already, as `k8s` for k8s.example.org of the zone example.org."""

    zone: str
    names: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """`ip_range` is the private network's; `operators` are the networks, by name, that may log in at `ssh_port`;
    `public_key` is what droplets let in. The node ports are where the web arrives in the cluster."""

    region: str
    ip_range: str
    operators: Mapping[str, str]
    ssh_port: int
    public_key: str
    balancer_size: int
    http_node_port: int
    https_node_port: int
    dns: Dns | None


class Network(pulumi.ComponentResource):
    """`name` is that of everything that it makes."""

    vpc: digitalocean.Vpc
    tag: digitalocean.Tag
    server_tag: digitalocean.Tag
    ssh_key: digitalocean.SshKey
    firewall: digitalocean.Firewall
    balancer: digitalocean.LoadBalancer
    balancer_firewall: digitalocean.Firewall

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("seedbed:metal:DigitalOceanNetwork", name, None, opts)
        self._args = args
        lasting = pulumi.ResourceOptions(parent=self, protect=True)
        self.vpc = digitalocean.Vpc(name, name=name, region=args.region, ip_range=args.ip_range, opts=lasting)
        self.tag = digitalocean.Tag(name, name=name, opts=self._child())
        self.server_tag = digitalocean.Tag(f"{name}-server", name=f"{name}-server", opts=self._child())
        self.ssh_key = digitalocean.SshKey(name, name=name, public_key=args.public_key, opts=self._child())
        self.firewall = digitalocean.Firewall(
            name,
            name=name,
            tags=[self.tag.name],
            inbound_rules=[*self._ssh(), *self._cluster()],
            outbound_rules=_everything(),
            opts=self._child(),
        )
        self.balancer = digitalocean.LoadBalancer(
            name,
            name=name,
            region=args.region,
            vpc_uuid=self.vpc.id,
            size_unit=args.balancer_size,
            droplet_tag=self.server_tag.name,
            forwarding_rules=[
                _pass_through(API_PORT, API_PORT),
                _pass_through(80, args.http_node_port),
                _pass_through(443, args.https_node_port),
            ],
            healthcheck=digitalocean.LoadBalancerHealthcheckArgs(
                protocol="tcp",
                port=API_PORT,
                check_interval_seconds=CHECK_INTERVAL_SECONDS,
                response_timeout_seconds=CHECK_TIMEOUT_SECONDS,
                healthy_threshold=CHECKS,
                unhealthy_threshold=CHECKS,
            ),
            opts=lasting,
        )
        # One of its own, so that machines need not wait for the load balancer to be behind a firewall.
        self.balancer_firewall = digitalocean.Firewall(
            f"{name}-balancer",
            name=f"{name}-balancer",
            tags=[self.server_tag.name],
            inbound_rules=[
                digitalocean.FirewallInboundRuleArgs(
                    protocol="tcp", port_range=str(port), source_load_balancer_uids=[self.balancer.id]
                )
                for port in (API_PORT, args.http_node_port, args.https_node_port)
            ],
            opts=self._child(),
        )
        if args.dns is not None:
            self._records(args.dns)
        self.register_outputs({"address": self.balancer.ip})

    def _records(self, dns: Dns) -> None:
        for record in dns.names:
            digitalocean.DnsRecord(
                f"{record}.{dns.zone}",
                domain=dns.zone,
                type=digitalocean.RecordType.A,
                name=record,
                value=self.balancer.ip,
                ttl=DNS_TTL_SECONDS,
                opts=self._child(),
            )

    def _child(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self)

    def _ssh(self) -> list[digitalocean.FirewallInboundRuleArgs]:
        return [
            digitalocean.FirewallInboundRuleArgs(
                protocol="tcp",
                port_range=str(self._args.ssh_port),
                source_addresses=sorted(set(self._args.operators.values())),
            )
        ]

    def _cluster(self) -> list[digitalocean.FirewallInboundRuleArgs]:
        inside = [self._args.ip_range]
        ports = [
            digitalocean.FirewallInboundRuleArgs(protocol=protocol, port_range=ports, source_addresses=inside)
            for protocol, ports in CLUSTER_PORTS
        ]
        return [*ports, digitalocean.FirewallInboundRuleArgs(protocol="icmp", source_addresses=inside)]


def _everything() -> list[digitalocean.FirewallOutboundRuleArgs]:
    """Without a rule nothing goes out either."""
    return [
        digitalocean.FirewallOutboundRuleArgs(protocol=protocol, port_range=ports, destination_addresses=list(WORLD))
        for protocol, ports in (("tcp", "1-65535"), ("udp", "1-65535"), ("icmp", None))
    ]


def _pass_through(entry: int, target: int) -> digitalocean.LoadBalancerForwardingRuleArgs:
    return digitalocean.LoadBalancerForwardingRuleArgs(
        entry_protocol="tcp", entry_port=entry, target_protocol="tcp", target_port=target
    )
