"""The composition of one stack: every machine, paved in the order that a cluster forms in."""

import pulumi

from components.metal import ExistingHost, ExistingHostArgs
from components.pave import Node, NodeArgs, k3s
from components.remote import Step, Timeouts
from stacks.identity import ADMIN_GROUP, Identity, kubeconfig
from stacks.settings import Role, Settings


class Cluster:
    """Servers one at a time, each after the one before has been proven Ready; then the agents, all at once."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings = settings
        self._identity = identity
        self._servers = settings.names(Role.SERVER)
        last: tuple[pulumi.Resource, ...] = ()
        for name in self._servers:
            node = self._node(name, *self._server(name), after=last)
            last = (node.joined,)
        for name in settings.names(Role.AGENT):
            self._node(name, *self._agent(name), after=last)

    def outputs(self) -> dict[str, pulumi.Input[object]]:
        """What the stack tells: all of it known before any machine is."""
        settings, identity = self._settings, self._identity
        text = kubeconfig(identity, identity.admin, settings.api_url, pulumi.get_stack())
        return {
            "apiUrl": settings.api_url,
            "kubeconfig": pulumi.Output.secret(text),
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
                private_key=self._identity.operator_key,
                host_key=machine.host_key or self._identity.host_key(full_name).public,
            ),
        )
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
