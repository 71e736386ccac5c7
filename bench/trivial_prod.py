"""What a newcomer would write first for DigitalOcean: as many resources of the same kinds as the prod stack has, and
nothing of seedbed.

bench/preview_prod.py copies this file into a project of its own as its `__main__.py`.
"""

import pulumi
import pulumi_digitalocean as digitalocean
import pulumi_kubernetes as kubernetes
from pulumi_command import remote
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, Secret

config = pulumi.Config()
hosts = config.require_object("hosts")
NAME = "trivial"
REGION = "fra1"
ZONE = "example.org"
VOLUMES = 2
STEPS = ("scripts", "wait", "base", "docker", "k3s")
STEPS_OF_THE_CLUSTER = ("seed-scripts", "seed", "synced")


class Part(pulumi.ComponentResource):
    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"trivial:index:{kind}", name)


def run(host: dict[str, str], steps: tuple[str, ...], parent: Part, last: list[pulumi.Resource]) -> remote.Command:
    for step in steps:
        command = remote.Command(
            f"{host['name']}-{step}",
            connection=remote.ConnectionArgs(
                host=host["address"],
                user="root",
                private_key=config.require_secret("privateKey"),
                host_key=host["hostKey"],
            ),
            create="true",
            opts=pulumi.ResourceOptions(parent=parent, depends_on=last),
        )
        last = [command]
    return command


Part("Cluster", "cluster")
for name in ("cluster", *(host["name"] for host in hosts), *(f"volume-{number}" for number in range(VOLUMES))):
    pulumi.Stash(f"{name}-memory", input={"name": name})
network = Part("Network", "network")
inside_network = pulumi.ResourceOptions(parent=network)
vpc = digitalocean.Vpc(NAME, name=NAME, region=REGION, ip_range="10.30.0.0/24", opts=inside_network)
key = digitalocean.SshKey(NAME, name=NAME, public_key=config.require("publicKey"), opts=inside_network)
tag, server_tag = (digitalocean.Tag(name, name=name, opts=inside_network) for name in (NAME, f"{NAME}-server"))
digitalocean.Firewall(
    NAME,
    name=NAME,
    tags=[tag.name],
    inbound_rules=[
        digitalocean.FirewallInboundRuleArgs(protocol="tcp", port_range="22", source_addresses=["203.0.113.0/24"]),
        digitalocean.FirewallInboundRuleArgs(protocol="tcp", port_range="all", source_addresses=["10.30.0.0/24"]),
    ],
    outbound_rules=[
        digitalocean.FirewallOutboundRuleArgs(
            protocol="tcp", port_range="1-65535", destination_addresses=["0.0.0.0/0", "::/0"]
        )
    ],
    opts=inside_network,
)
balancer = digitalocean.LoadBalancer(
    NAME,
    name=NAME,
    region=REGION,
    vpc_uuid=vpc.id,
    droplet_tag=server_tag.name,
    forwarding_rules=[
        digitalocean.LoadBalancerForwardingRuleArgs(
            entry_protocol="tcp", entry_port=6443, target_protocol="tcp", target_port=6443
        )
    ],
    opts=inside_network,
)
digitalocean.Firewall(
    f"{NAME}-balancer",
    name=f"{NAME}-balancer",
    tags=[server_tag.name],
    inbound_rules=[
        digitalocean.FirewallInboundRuleArgs(protocol="tcp", port_range="6443", source_load_balancer_uids=[balancer.id])
    ],
    opts=inside_network,
)
for record in ("k8s", "*.apps"):
    digitalocean.DnsRecord(
        record,
        domain=ZONE,
        type=digitalocean.RecordType.A,
        name=record,
        value=balancer.ip,
        ttl=300,
        opts=inside_network,
    )
snapshots = Part("Snapshots", "snapshots")
bucket = digitalocean.SpacesBucket(
    NAME, name=f"{NAME}-etcd", region=REGION, acl="private", opts=pulumi.ResourceOptions(parent=snapshots)
)
digitalocean.SpacesKey(
    NAME,
    name=NAME,
    grants=[digitalocean.SpacesKeyGrantArgs(bucket=bucket.name, permission="readwrite")],
    opts=pulumi.ResourceOptions(parent=snapshots),
)

ends: list[pulumi.Resource] = []
droplets = []
for host in hosts:
    droplet = digitalocean.Droplet(
        host["name"],
        name=host["name"],
        region=REGION,
        size="s-2vcpu-4gb",
        image="debian-12-x64",
        vpc_uuid=vpc.id,
        ssh_keys=[key.fingerprint],
        tags=[tag.name, server_tag.name],
        opts=pulumi.ResourceOptions(parent=Part("Host", host["name"])),
    )
    droplets.append(droplet)
    last_step = run(host, STEPS, Part("Node", host["name"]), [droplet])
    ends.append(last_step)
    pulumi.export(host["name"], last_step.stdout)
owned: list[pulumi.Output[str]] = [balancer.load_balancer_urn, *(droplet.droplet_urn for droplet in droplets)]
for number, (host, droplet) in enumerate(zip(hosts[:VOLUMES], droplets[:VOLUMES], strict=True)):
    volume = digitalocean.Volume(
        f"data{number}", name=f"{NAME}-data{number}", region=REGION, size=100, initial_filesystem_type="ext4"
    )
    attached = digitalocean.VolumeAttachment(f"data{number}", volume_id=volume.id, droplet_id=droplet.id.apply(int))
    run(host, ("volumes",), network, [attached])
    owned.append(volume.volume_urn)
digitalocean.Project(NAME, name=NAME, purpose="Service or API", environment="Production", resources=owned)

# Nobody acts on what is in these namespaces: ArgoCD looks at its own only.
seed = Part("Seed", "seed")
provider = kubernetes.Provider(
    "cluster",
    kubeconfig=config.require_secret("kubeconfig"),
    opts=pulumi.ResourceOptions(parent=seed, depends_on=ends),
)
inside = pulumi.ResourceOptions(parent=seed, provider=provider)
namespace, *_ = (
    Namespace(name, metadata={"name": name}, opts=inside) for name in ("trivial", "trivial-staging", "trivial-apps")
)
named = {"namespace": namespace.metadata["name"]}
for name in ("sealing-key", "repository"):
    data = pulumi.Output.secret({"key": "value"})
    Secret(name, metadata={"name": name, **named}, string_data=data, opts=inside)
ConfigMap("known-hosts", metadata={"name": "known-hosts", **named}, data={"key": "value"}, opts=inside)
here = {"server": "https://kubernetes.default.svc", "namespace": "trivial-apps"}
specs = {
    "platform": ("AppProject", {"destinations": [here]}),
    "apps": ("AppProject", {"destinations": [here]}),
    "root": ("Application", {"project": "apps", "destination": here}),
}
for name, (kind, spec) in specs.items():
    CustomResource(
        name,
        api_version="argoproj.io/v1alpha1",
        kind=kind,
        metadata={"name": name, **named},
        spec=spec,
        opts=inside,
    )
run(hosts[0], STEPS_OF_THE_CLUSTER, seed, [provider])
