"""The composition of one stack: every machine, paved in the order that a cluster forms in, and what is planted then."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pulumi

from components.pave import Node, NodeArgs, k3s
from components.remote import Step, Timeouts
from components.retire import Gate, Removal
from components.seed import Seed, SeedArgs
from components.seed.manifests import Repository
from stacks.afterwards import warn_when_done
from stacks.config import stack_file
from stacks.generations import Record, record, role_problems, succession_problems, version_problems, warning
from stacks.identity import ADMIN_GROUP, Identity, kubeconfig
from stacks.metal import metal
from stacks.model import PROJECT
from stacks.seed_settings import Seed as SeedSettings
from stacks.settings import Role, Settings, SettingsError

INIT = "cluster-init"
"""What remembers the server that made the cluster. It is new with each cluster, so what is in one ends with it."""

Secrets = Callable[[k3s.Late], str]
"""What a step reads on standard input, once all of it is known."""


class Cluster(pulumi.ComponentResource):
    """Servers one at a time, each after the one before has been proven Ready; then the agents, all at once; then the seed."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        super().__init__("seedbed:stacks:Cluster", "cluster")
        self._settings = settings
        self._identity = identity
        self._servers = settings.names(Role.SERVER)
        self._known: dict[str, Record] = {}
        self._gate = Gate(
            retire=settings.retire,
            machines=[settings.full_name(name) for name in settings.machines],
            servers=[settings.full_name(name) for name in self._servers],
            source=stack_file(pulumi.get_stack()).name,
            remove=Removal(private_key=identity.operator_key, drain_seconds=settings.timeouts.drain),
            follows=partial(succession_problems, settings),
        )
        self._metal = metal(settings, identity, self._gate)
        frozen = pulumi.ResourceOptions(parent=self, ignore_changes=["input"])
        memory = pulumi.Stash(INIT, input={"init": settings.cluster.init}, opts=frozen)
        self._init: pulumi.Output[str] = pulumi.Output.from_input(self._only_once(memory))
        nodes: dict[str, Node] = {}
        last: tuple[pulumi.Resource, ...] = ()
        for name in self._servers:
            nodes[name] = self._node(name, *self._server(name), after=last)
            last = (nodes[name].joined,)
            self._gate.server(settings.full_name(name), self._metal.host(name))
        for name in settings.names(Role.AGENT):
            nodes[name] = self._node(name, *self._agent(name), after=last)
        if settings.seed is not None:
            joined = [node.joined for name, node in nodes.items() if name not in self._servers]
            self._plant(settings.seed, memory, api=last, nodes=(*last, *joined))
        paved = {name: node.paved for name, node in nodes.items()}
        self.register_outputs({"k3s": self._checked(paved), "init": self._init})
        if pulumi.runtime.is_dry_run():
            warn_when_done(self._warnings)

    def outputs(self) -> dict[str, pulumi.Input[object]]:
        """What the stack tells."""
        return {
            "apiUrl": self._metal.api_url,
            "kubeconfig": pulumi.Output.secret(self._kubeconfig()),
            **self._metal.outputs(),
        }

    async def _only_once(self, memory: pulumi.Stash) -> str:
        """Which server makes the cluster, unless another one has made it, which the state remembers.

        The machines' own look for a cluster finds one only at addresses of today's settings.
        """
        init = self._settings.cluster.init
        found = await memory.output.future()
        if found is not None and found["init"] != init:
            self._refuse(
                [
                    f"{PROJECT}:cluster.init: {found['init']} made this stack's cluster, and a cluster is made once: put it back, so "
                    f"that {init} joins it. Only where every server of that cluster is lost: `pulumi up --replace '**::{INIT}'`"
                ]
            )
        return init

    async def _checked(self, paved: Mapping[str, pulumi.Output[Record]]) -> str:
        """The version of k3s that new machines get, when it is one that the others allow; says what machines lack of today's settings.

        Raises `pulumi.RunError` with every problem.
        """
        settings = self._settings
        there = {name: await found.future() for name, found in paved.items() if await found.is_known()}
        records = {name: found for name, found in there.items() if found is not None}
        self._refuse([*role_problems(settings, records), *version_problems(settings, records)])
        if pulumi.runtime.is_dry_run():
            for name, found in sorted(records.items()):
                if text := warning(settings, name, found):
                    pulumi.log.warn(text)
        return settings.k3s.version

    def _allow(self, name: str, paved: Record) -> None:
        """Refuses to let the machine join, by what is known of the others until now: of those that were there, from the start.

        In an `up` without a preview `_checked` would be too late: it waits for what this machine is paved with.
        """
        self._known[name] = paved
        machines = {known: self._settings.machines[known] for known in self._known}
        settings = replace(self._settings, machines=machines)
        self._refuse([*role_problems(settings, self._known), *version_problems(settings, self._known)])

    def _refuse(self, problems: Iterable[str]) -> None:
        if found := list(problems):
            raise pulumi.RunError(str(SettingsError(stack_file(pulumi.get_stack()).name, found)))

    def _warnings(self) -> list[str]:
        """What is known only when the gate has seen who leaves."""
        found = [
            f"{PROJECT}:retire names {name}, for which nothing is removed: take it out"
            for name in self._gate.removes_nothing()
        ]
        count = len(self._servers)
        # The settings let it through for any name on `retire` that they no longer have: what its role was they cannot know.
        if count % 2 == 0 and self._gate.keeps_servers():
            found.append(
                f"{count} servers ({', '.join(sorted(self._servers))}), and none leaves in this change: etcd survives no more "
                f"losses with them than with {count - 1}, so make their number odd"
            )
        return found

    def _node(self, name: str, step: Step, secrets: Secrets, *, after: tuple[pulumi.Resource, ...]) -> Node:
        settings, cloud = self._settings, self._metal
        node = Node(
            settings.full_name(name),
            NodeArgs(
                host=cloud.host(name),
                node_address=cloud.node_address(name),
                paved=record(settings, name),
                retire=self._gate.hook,
                allow=partial(self._allow, name),
                k3s=step,
                secrets=self._told(name, secrets),
                timeouts=Timeouts(connect=settings.timeouts.connect, step=settings.timeouts.step),
                # The first joins nobody, but what it is reached by must not open when it is half made.
                after=(*after, *cloud.reachable),
                mounts=cloud.mounts(name),
                attach=partial(cloud.attach, name),
            ),
        )
        cloud.joined(name, node.joined)
        return node

    def _told(self, name: str, secrets: Secrets) -> pulumi.Input[str]:
        late = self._metal.late
        told: pulumi.Input[str] = secrets(k3s.Late()) if late is None else late.apply(secrets)
        if self._settings.full_name(name) != self._settings.cluster.init:
            return told
        # Not before it is sure that this server may make the cluster.
        return pulumi.Output.all(told, self._init).apply(lambda known: str(known[0]))

    def _plant(
        self,
        seed: SeedSettings,
        memory: pulumi.Resource,
        *,
        api: tuple[pulumi.Resource, ...],
        nodes: tuple[pulumi.Resource, ...],
    ) -> None:
        settings, identity = self._settings, self._identity
        first = self._servers[0]
        authority = hashlib.sha256(identity.files["server-ca.crt"].encode()).hexdigest()
        Seed(
            "seed",
            SeedArgs(
                # Not this component, which is the same when all is made anew: then the engine would delete the objects of the old
                # cluster where that was, which is where the new one is.
                cluster=memory,
                # A cluster that another server initialises anew is another one, although its keys are the same.
                identity=f"{authority[:16]}-{settings.cluster.init}",
                server=settings.full_name(first),
                host=self._metal.host(first),
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

    def _kubeconfig(self) -> pulumi.Input[str]:
        identity, stack, url = self._identity, pulumi.get_stack(), self._metal.api_url
        if isinstance(url, str):
            return kubeconfig(identity, identity.admin, url, stack)
        return url.apply(lambda url: kubeconfig(identity, identity.admin, url, stack))

    def _server(self, name: str) -> tuple[Step, Secrets]:
        settings, identity = self._settings, self._identity
        control_plane = k3s.ControlPlane(
            ca_certificate=identity.files["server-ca.crt"],
            admin_group=ADMIN_GROUP,
            tls_sans=self._metal.tls_sans,
            pod_cidr=str(settings.network.pods),
            service_cidr=str(settings.network.services),
            disable=settings.k3s.disable,
            snapshots=self._snapshots(),
        )
        if settings.full_name(name) == settings.cluster.init:
            step = k3s.init_server(self._member(name), control_plane, peers=self._metal.peers(name))
            return step, partial(
                k3s.init_server_secrets,
                files=identity.files,
                token=identity.server_token,
                agent_token=identity.agent_token,
            )
        return k3s.join_server(self._member(name), control_plane, peers=self._metal.peers(name)), partial(
            k3s.join_server_secrets, token=identity.join_token("server"), agent_token=identity.agent_token
        )

    def _agent(self, name: str) -> tuple[Step, Secrets]:
        authority = self._identity.files["server-ca.crt"]
        step = k3s.agent(self._member(name), ca_certificate=authority, peers=self._metal.peers(name))
        return step, partial(k3s.agent_secrets, token=self._identity.join_token("node"))

    def _member(self, name: str) -> k3s.Member:
        settings, machine = self._settings, self._settings.machines[name]
        return k3s.Member(
            machine=settings.full_name(name),
            node_address=self._metal.node_address(name),
            release=k3s.K3sRelease(
                version=settings.k3s.version, sha256=settings.k3s_digests, url=settings.k3s.release_url
            ),
            # A third of the step for the download, one to start and one to become Ready.
            start_seconds=settings.timeouts.step // 3,
            labels=machine.labels,
            taints=machine.taints,
            kubelet_args=settings.k3s.kubelet_args,
        )

    def _snapshots(self) -> k3s.Snapshots | None:
        cloud = self._settings.digitalocean
        if cloud is None or cloud.snapshots is None:
            return None
        snapshots = cloud.snapshots
        return k3s.Snapshots(
            endpoint=snapshots.endpoint,
            bucket=snapshots.bucket,
            folder=pulumi.get_stack(),
            cron=snapshots.cron,
            keep=snapshots.keep,
            servers=len(self._servers),
        )


def base_files(base: Path) -> dict[str, bytes]:
    """What the seed is planted from: the pieces of k8s/base and the digests of what they download."""
    files = [base / "upstream.sha256"]
    for piece in ("argocd", "sealed-secrets"):
        files += [path for path in (base / piece).rglob("*") if path.is_file()]
    return {path.relative_to(base).as_posix(): path.read_bytes() for path in sorted(files)}
