"""Sealing keys, sealed-secrets, ArgoCD and its one root Application, in the order in which they need each other."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_command import remote
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, Secret

from components.metal.host import Host
from components.remote import Step, copy_scripts, run
from components.seed import manifests, steps
from components.seed.manifests import ARGO_API, Manifest, Repository

STEP_SECONDS = 60
"""What the steps may take beyond the waiting that their settings bound."""


@dataclass(frozen=True, kw_only=True)
class SeedArgs:
    """`cluster` is the resource whose end is the end of everything in it; `identity` names that cluster, and planting is
    done once for each; `server` is the first server's full name and `host` that server.

    `sealing_keys` are pairs of certificate and key in PEM, oldest first. `base` are the files of k8s/base by path.
    Seconds: `plant_seconds` for planting and for the controller's start, `sync_seconds` and `health_seconds` as in the
    stack's timeouts.
    """

    cluster: pulumi.Resource
    identity: str
    server: str
    host: Host
    kubeconfig: pulumi.Input[str]
    sealing_keys: Sequence[tuple[str, str]]
    repository: Repository
    environments: Sequence[str]
    base: Mapping[str, bytes]
    plant_seconds: int
    sync_seconds: int
    health_seconds: int
    api: tuple[pulumi.Resource, ...]
    """What must be there before the API answers: the servers."""
    nodes: tuple[pulumi.Resource, ...]
    """What must be there before anything is planted, so that it spreads over all of them."""


class Seed(pulumi.ComponentResource):
    """Plants once for each cluster; afterwards git drives, and a change of `base` changes nothing here."""

    def __init__(self, name: str, args: SeedArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("seedbed:seed:Seed", name, None, opts)
        self._args = args
        self._provider = kubernetes.Provider(
            "cluster",
            kubeconfig=pulumi.Output.secret(args.kubeconfig),
            # Another certificate or address for the same cluster must not replace all that is in it.
            cluster_identifier=args.identity,
            # A state that was lost finds everything still there.
            upsert_existing_objects=True,
            # Another deploy key or known host is written over the old one: replacing would delete it first.
            enable_secret_mutable=True,
            enable_config_map_mutable=True,
            # The official provider looks at the API once, when it is configured.
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.api)),
        )
        argocd = Namespace("argocd", **manifests.namespace(manifests.ARGOCD, "restricted"), opts=self._options())
        namespaces = [
            Namespace(environment, **manifests.namespace(environment, "restricted"), opts=self._options())
            for environment in args.environments
        ]
        keys = self._sealing_keys()
        manifest = manifests.root(args.repository, args.environments)
        self._events = {
            "seed": json.dumps([args.identity, self._key_names()]),
            "synced": json.dumps(
                [args.identity, manifest, args.repository.private_key, args.repository.known_hosts],
            ),
        }
        # A step of a new event brings today's scripts. Not before the server is paved: they would be exchanged under it.
        # Named by the event alone: the server's next generation has its own, and nothing of the seed to run.
        self._scripts = copy_scripts(
            f"seed-scripts-{_short(json.dumps(self._events))}", args.host, parent=self, after=args.api
        )
        # The keys are there before the controller starts: without one it would make its own, which nobody has a copy of.
        planted = self._plant((*args.nodes, argocd, *keys))
        credential = Secret("repository", **_secret(manifests.credential(args.repository)), opts=self._options(argocd))
        known_hosts = ConfigMap("known-hosts", **manifests.known_hosts(args.repository), opts=self._options(argocd))
        projects = [
            self._custom("AppProject", project, manifest, planted)
            for project, manifest in manifests.projects(args.repository, args.environments).items()
        ]
        root = self._custom("Application", "root", manifest, planted, credential, known_hosts, *projects, *namespaces)
        synced = steps.synced(
            machine=args.server,
            url=args.repository.url,
            sync_seconds=args.sync_seconds,
            health_seconds=args.health_seconds,
        )
        self._step("synced", synced, (root,), args.sync_seconds + args.health_seconds + STEP_SECONDS)
        self.register_outputs({})

    def _sealing_keys(self) -> list[Secret]:
        return [
            Secret(
                manifests.sealing_key_name(certificate),
                **_secret(manifests.sealing_key(certificate, key)),
                opts=self._options(),
            )
            for certificate, key in self._args.sealing_keys
        ]

    def _key_names(self) -> list[str]:
        return [manifests.sealing_key_name(certificate) for certificate, _ in self._args.sealing_keys]

    def _plant(self, after: tuple[pulumi.Resource, ...]) -> remote.Command:
        args = self._args
        step = steps.seed(
            machine=args.server,
            base=args.base,
            certificate_sha256=manifests.certificate_sha256(args.sealing_keys[-1][0]),
            keys=self._key_names(),
            ready_seconds=args.plant_seconds // 2,
        )
        # To plant, and as much for the controller's start, twice at most.
        return self._step("seed", step, after, 2 * args.plant_seconds)

    def _step(self, name: str, step: Step, after: tuple[pulumi.Resource, ...], seconds: int) -> remote.Command:
        """A step that runs once for each event of its name.

        The event is part of the name: a step is frozen as it first ran, so one that a trigger ran again would run with
        the old script on a machine that may be gone.
        """
        return run(
            f"{name}-{_short(self._events[name])}",
            step,
            self._args.host,
            parent=self,
            seconds=seconds,
            after=(self._scripts, *after),
        )

    def _custom(self, kind: str, name: str, manifest: Manifest, *after: pulumi.Resource) -> CustomResource:
        return CustomResource(
            name,
            api_version=ARGO_API,
            kind=kind,
            metadata=manifest["metadata"],
            spec=manifest["spec"],
            opts=self._options(*after),
        )

    def _options(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """What is in the cluster ends with it: destroying the stack asks nothing of an API that may be gone, and starts
        none of the cascades of a namespace or an Application."""
        return pulumi.ResourceOptions(
            parent=self, provider=self._provider, depends_on=list(after), deleted_with=self._args.cluster
        )


def _short(event: str) -> str:
    return hashlib.sha256(event.encode()).hexdigest()[:8]


def _secret(manifest: Manifest) -> Manifest:
    return {**manifest, "data": pulumi.Output.secret(manifest["data"])}
