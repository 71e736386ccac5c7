"""The composition of one stack: every machine, paved in the order that a cluster forms in, and what is planted then."""

import hashlib
from pathlib import Path

import pulumi

from components.metal import ExistingHost, ExistingHostArgs
from components.pave import Node, NodeArgs, k3s
from components.remote import Step, Timeouts
from components.seed import Seed, SeedArgs
from components.seed.manifests import Repository
from stacks.identity import ADMIN_GROUP, Identity, kubeconfig
from stacks.seed_settings import Seed as SeedSettings
from stacks.settings import Role, Settings


class Cluster(pulumi.ComponentResource):
    """Servers one at a time, each after the one before has been proven Ready; then the agents, all at once; then the seed.

    As a resource it stands for what outlives each of its machines: what is in the cluster ends with it.
    """

    def __init__(self, settings: Settings, identity: Identity) -> None:
        super().__init__("seedbed:stacks:Cluster", "cluster")
        self._settings = settings
        self._identity = identity
        self._servers = settings.names(Role.SERVER)
        self._hosts: dict[str, ExistingHost] = {}
        last: tuple[pulumi.Resource, ...] = ()
        for name in self._servers:
            node = self._node(name, *self._server(name), after=last)
            last = (node.joined,)
        agents = [self._node(name, *self._agent(name), after=last).joined for name in settings.names(Role.AGENT)]
        if settings.seed is not None:
            self._plant(settings.seed, api=last, nodes=(*last, *agents))
        self.register_outputs({})

    def outputs(self) -> dict[str, pulumi.Input[object]]:
        """What the stack tells: all of it known before any machine is."""
        settings = self._settings
        return {
            "apiUrl": settings.api_url,
            "kubeconfig": pulumi.Output.secret(self._kubeconfig()),
            "nodes": {
                settings.full_name(name): {"address": machine.cluster_address, "role": str(machine.role)}
                for name, machine in sorted(settings.machines.items())
            },
        }

    def _node(self, name: str, step: Step, secrets: str, *, after: tuple[pulumi.Resource, ...]) -> Node:
        settings, machine = self._settings, self._settings.machines[name]
        full_name = settings.full_name(name)
        host = ExistingHost(
            full_name,
            ExistingHostArgs(
                address=str(machine.address),
                port=settings.ssh.port,
                user=settings.ssh.user,
                private_key=self._identity.operator_key_pkcs8,
                host_key=machine.host_key or self._identity.host_key(full_name).public,
            ),
        )
        self._hosts[name] = host
        return Node(
            full_name,
            NodeArgs(
                host=host,
                node_address=machine.cluster_address,
                k3s=step,
                secrets=secrets,
                timeouts=Timeouts(connect=settings.timeouts.connect, step=settings.timeouts.step),
                after=after,
            ),
        )

    def _plant(
        self, seed: SeedSettings, *, api: tuple[pulumi.Resource, ...], nodes: tuple[pulumi.Resource, ...]
    ) -> None:
        settings, identity = self._settings, self._identity
        first = self._servers[0]
        authority = hashlib.sha256(identity.files["server-ca.crt"].encode()).hexdigest()
        Seed(
            "seed",
            SeedArgs(
                cluster=self,
                # A cluster that another server initialises anew is another one, although its keys are the same.
                identity=f"{authority[:16]}-{settings.cluster.init}",
                server=settings.full_name(first),
                host=self._hosts[first],
                kubeconfig=self._kubeconfig(),
                sealing_keys=[(pair.crt, pair.key) for pair in identity.sealing_keys],
                repository=Repository(
                    url=seed.repository.url,
                    revision=seed.repository.revision,
                    path=seed.repository.path,
                    private_key=identity.deploy_key(seed.repository.deploy_key).private,
                    known_hosts=seed.repository.known_hosts,
                ),
                environments=seed.environments,
                base=base_files(seed.tree / "base"),
                plant_seconds=settings.timeouts.step,
                sync_seconds=settings.timeouts.sync,
                health_seconds=settings.timeouts.health,
                api=api,
                nodes=nodes,
            ),
        )

    def _kubeconfig(self) -> str:
        return kubeconfig(self._identity, self._identity.admin, self._settings.api_url, pulumi.get_stack())

    def _server(self, name: str) -> tuple[Step, str]:
        settings, identity = self._settings, self._identity
        control_plane = k3s.ControlPlane(
            ca_certificate=identity.files["server-ca.crt"],
            admin_group=ADMIN_GROUP,
            tls_sans=self._tls_sans(),
            pod_cidr=str(settings.network.pods),
            service_cidr=str(settings.network.services),
            disable=settings.k3s.disable,
        )
        if settings.full_name(name) == settings.cluster.init:
            others = [settings.machines[other].cluster_address for other in self._servers if other != name]
            return k3s.init_server(self._member(name), control_plane, peers=others), k3s.init_server_secrets(
                files=identity.files, token=identity.server_token, agent_token=identity.agent_token
            )
        return k3s.join_server(
            self._member(name), control_plane, server_url=self._join_url(name)
        ), k3s.join_server_secrets(token=identity.join_token("server"), agent_token=identity.agent_token)

    def _agent(self, name: str) -> tuple[Step, str]:
        step = k3s.agent(self._member(name), server_url=self._join_url(name))
        return step, k3s.agent_secrets(token=self._identity.join_token("node"))

    def _member(self, name: str) -> k3s.Member:
        settings, machine = self._settings, self._settings.machines[name]
        return k3s.Member(
            machine=settings.full_name(name),
            node_address=machine.cluster_address,
            release=k3s.K3sRelease(
                version=settings.k3s.version, sha256=settings.k3s_digests, url=settings.k3s.release_url
            ),
            # A third of the step for the download, one to start and one to become Ready.
            start_seconds=settings.timeouts.step // 3,
            labels=machine.labels,
            taints=machine.taints,
            kubelet_args=settings.k3s.kubelet_args,
        )

    def _tls_sans(self) -> list[str]:
        """Every name and address that the API is reached by; a certificate that lacks one cannot be mended later."""
        cluster = self._settings.cluster
        servers = [str(self._settings.machines[name].address) for name in self._servers]
        return [*servers, *cluster.tls_sans, *([cluster.endpoint] if cluster.endpoint else [])]

    def _join_url(self, name: str) -> str:
        endpoint = self._settings.cluster.endpoint
        if endpoint is None:
            first = next(server for server in self._servers if server != name)
            endpoint = self._settings.machines[first].cluster_address
        return f"https://{endpoint}:{k3s.API_PORT}"


def base_files(base: Path) -> dict[str, bytes]:
    """What the seed is planted from: the pieces of k8s/base and the digests of what they download."""
    files = [base / "upstream.sha256"]
    for piece in ("argocd", "sealed-secrets"):
        files += [path for path in (base / piece).rglob("*") if path.is_file()]
    return {path.relative_to(base).as_posix(): path.read_bytes() for path in sorted(files)}
