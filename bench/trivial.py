"""What a newcomer would write first: as many resources of the same kinds as the dev stack has, and nothing of seedbed.

bench/preview.py copies this file into a project of its own as its `__main__.py`.
"""

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_command import remote
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, Secret

config = pulumi.Config()
hosts = config.require_object("hosts")
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
for name in ("cluster", *(host["name"] for host in hosts)):
    pulumi.Stash(f"{name}-memory", input={"name": name})
ends: list[pulumi.Resource] = []
for host in hosts:
    Part("Host", host["name"])
    last_step = run(host, STEPS, Part("Node", host["name"]), [])
    ends.append(last_step)
    pulumi.export(host["name"], last_step.stdout)

# Nobody acts on what is in these namespaces: ArgoCD looks at its own only.
seed = Part("Seed", "seed")
provider = kubernetes.Provider(
    "cluster",
    kubeconfig=config.require_secret("kubeconfig"),
    opts=pulumi.ResourceOptions(parent=seed, depends_on=ends),
)
inside = pulumi.ResourceOptions(parent=seed, provider=provider)
namespace, _ = (Namespace(name, metadata={"name": name}, opts=inside) for name in ("trivial", "trivial-apps"))
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
