"""One machine -> one cluster member, by a short chain of remote steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi
from pulumi_command import remote

from components.metal.host import Host
from components.pave import steps
from components.remote import Step, Timeouts, copy_scripts, run

MEMBER = "-member"
"""Behind a machine's full name: the name of what remembers it."""

Attach = Callable[[pulumi.Output[Mapping[str, Any]], tuple[pulumi.Resource, ...]], tuple[pulumi.Resource, ...]]
"""Brings a machine, by what is remembered of it, what is to be mounted there, when the resources are there."""


@dataclass(frozen=True, kw_only=True)
class NodeArgs:
    """`k3s` is the step that makes the machine a member; `secrets` is what its script reads.

    `node_address` is where the other nodes reach the machine, or the network in which it has one address. `mounts` are the
    mount points by the device that is mounted there when what `attach` gives is there.
    """

    host: Host
    node_address: str
    paved: Mapping[str, object]
    """The settings that are frozen with it, as JSON has them."""
    allow: Callable[[Mapping[str, Any]], None]
    """Called in an `up` with what it was paved with, before it joins; raises `pulumi.RunError` where it must not."""
    retire: pulumi.ResourceHook
    """What it leaves the cluster by."""
    k3s: Step
    secrets: pulumi.Input[str]
    timeouts: Timeouts
    after: tuple[pulumi.Resource, ...] = ()
    """What must be there before k3s starts, or another machine leaves; the steps before that do not wait for it."""
    mounts: Mapping[str, str] = field(default_factory=dict)
    attach: Attach = lambda _member, _after: ()


class Node(pulumi.ComponentResource):
    """A paved machine; `joined` is there when its node is proven Ready."""

    joined: remote.Command
    paved: pulumi.Output[Mapping[str, Any]]
    """What it was paved with, whatever the settings are today."""

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
        docker = self._step(steps.docker(machine=name), (base,))
        member = self._member(docker)
        self.paved = member.output.apply(lambda member: cast(Mapping[str, Any], member["paved"]))
        allowed = self._allowed(member)
        ready: pulumi.Resource = member
        if args.mounts:
            # The machine that has them leaves for this one: as late as can be, when everything else has gone well here.
            attached = args.attach(allowed, args.after)
            ready = self._step(steps.volumes(machine=name, mounts=args.mounts), (member, *attached))
        self.joined = self._step(args.k3s, (ready, *args.after), self._secrets(member, allowed))
        self.register_outputs({})

    def _member(self, ready: pulumi.Resource) -> pulumi.Stash:
        """What the state remembers of a machine from before it joins until it has left: the gate is on this.

        Not on the step that joins: one that failed may have made a member of etcd all the same.
        """
        host = self._args.host
        return pulumi.Stash(
            f"{self._name}{MEMBER}",
            input={
                "machine": self._name,
                "login": {"address": host.address, "port": host.port, "user": host.user, "hostKey": host.host_key},
                **({"mounts": sorted(self._args.mounts.values())} if self._args.mounts else {}),
                "paved": self._args.paved,
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[ready],
                ignore_changes=["input"],
                hooks=pulumi.ResourceHookBinding(before_delete=[self._args.retire]),
            ),
        )

    def _allowed(self, member: pulumi.Stash) -> pulumi.Output[Mapping[str, Any]]:
        """What the state remembers of the machine; in an `up` it is known when the machine may join."""
        if pulumi.runtime.is_dry_run():
            return member.output

        def allowed(found: Mapping[str, Any]) -> Mapping[str, Any]:
            self._args.allow(found["paved"])
            return found

        return member.output.apply(allowed)

    def _secrets(self, member: pulumi.Stash, allowed: pulumi.Output[Mapping[str, Any]]) -> pulumi.Input[str]:
        """What the step that joins reads, known when the machine is about to join and may."""
        # Of the same resources in a preview, which knows no more of them than the name: a plan is applied by what it was
        # made of, and one whose dependencies are others is given up halfway.
        may: pulumi.Input[str] = "" if pulumi.runtime.is_dry_run() else _awaited(allowed)
        return pulumi.Output.all(self._args.secrets, member.urn, may).apply(lambda found: str(found[0]))

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


async def _awaited(output: pulumi.Output[Any]) -> str:
    """Known even if what it waits for is not, as after a failure in an `up --continue-on-error`: the engine passes over a
    step whose machine has failed, but not before it has looked at its inputs."""
    await output.future()
    return ""
