"""One machine -> one cluster member, by a short chain of remote steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
from pulumi_command import remote

from components.metal import Host
from components.pave import steps
from components.remote import Step, Timeouts, copy_scripts, run


@dataclass(frozen=True, kw_only=True)
class NodeArgs:
    """`k3s` is the step that makes the machine a member; `secrets` is what its script reads.

    `node_address` is where the other nodes reach the machine, or the network in which it has one address. `mounts` are the
    mount points by the device that is mounted there when `attached` is there.
    """

    host: Host
    node_address: str
    k3s: Step
    secrets: pulumi.Input[str]
    timeouts: Timeouts
    after: tuple[pulumi.Resource, ...] = ()
    """What must be there before k3s starts; the steps before that do not wait for it."""
    mounts: Mapping[str, str] = field(default_factory=dict)
    attached: tuple[pulumi.Resource, ...] = ()


class Node(pulumi.ComponentResource):
    """A paved machine; `joined` is there when its node is proven Ready."""

    joined: remote.Command

    def __init__(self, name: str, args: NodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("seedbed:pave:Node", name, None, opts)
        self._args = args
        connect = args.timeouts.connect
        scripts = copy_scripts(f"{name}-scripts", args.host, parent=self, dial_seconds=connect)
        wait = run(
            f"{name}-wait",
            steps.wait(machine=name, node_address=args.node_address, cloud_init_seconds=connect - 10),
            args.host,
            parent=self,
            seconds=connect,
            after=(scripts,),
            # Once more: a first boot may end with another one.
            dial_seconds=connect,
        )
        base = self._step(steps.base(machine=name), (wait,))
        ready = base
        if args.mounts:
            ready = self._step(steps.volumes(machine=name, mounts=args.mounts), (base, *args.attached))
        docker = self._step(steps.docker(machine=name), (ready,))
        self.joined = self._step(args.k3s, (docker, *args.after), args.secrets)
        self.register_outputs({})

    def _step(
        self, step: Step, after: tuple[pulumi.Resource, ...], secrets: pulumi.Input[str] | None = None
    ) -> remote.Command:
        return run(
            f"{self._name}-{step.name}",
            step,
            self._args.host,
            parent=self,
            seconds=self._args.timeouts.step,
            after=after,
            secrets=secrets,
        )
