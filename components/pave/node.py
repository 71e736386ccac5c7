"""One machine -> one cluster member, by a short chain of remote steps."""

from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from components.metal import ExistingHost
from components.pave import steps
from components.pave.script import Step, command, stdin

# What a step was first run with is what it stays: a changed key, address or text never runs it again (design rule 7).
FROZEN = ("addPreviousOutputInEnv", "connection", "create", "logging", "stdin", "update")

PER_DIAL_SECONDS = 15
STEP_DIAL_SECONDS = 60
MARGIN_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Bounds in seconds: `connect` for a machine to answer and to finish its first boot, `step` for each later step."""

    connect: int
    step: int


@dataclass(frozen=True, kw_only=True)
class NodeArgs:
    """`k3s` is the step that makes the machine a member; `secrets` is what its script reads.

    `node_address` is where the other nodes reach the machine.
    """

    host: ExistingHost
    node_address: str
    k3s: Step
    secrets: pulumi.Input[str]
    timeouts: Timeouts
    after: tuple[pulumi.Resource, ...] = ()
    """What must be there before k3s starts; the steps before that do not wait for it."""


class Node(pulumi.ComponentResource):
    """A paved machine; `joined` is there when its node is proven Ready."""

    joined: remote.Command

    def __init__(self, name: str, args: NodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("seedbed:pave:Node", name, None, opts)
        self._args = args
        limits = args.timeouts
        wait = self._run(
            steps.wait(machine=name, node_address=args.node_address, cloud_init_seconds=limits.connect - 10),
            step_seconds=limits.connect,
            dial_seconds=limits.connect,
        )
        base = self._run(steps.base(machine=name), after=(wait,))
        docker = self._run(steps.docker(machine=name), after=(base,))
        secret = pulumi.Output.secret(args.secrets).apply(lambda secrets: stdin(args.k3s, secrets))
        self.joined = self._run(args.k3s, after=(docker, *args.after), secret_stdin=secret)
        self.register_outputs({})

    def _run(
        self,
        step: Step,
        *,
        after: tuple[pulumi.Resource, ...] = (),
        secret_stdin: pulumi.Input[str] | None = None,
        step_seconds: int | None = None,
        dial_seconds: int = STEP_DIAL_SECONDS,
    ) -> remote.Command:
        seconds = step_seconds or self._args.timeouts.step
        host = self._args.host
        return remote.Command(
            f"{self._name}-{step.name}",
            connection=host.connection(dial_error_limit=dial_attempts(dial_seconds), per_dial_timeout=PER_DIAL_SECONDS),
            create=command(step, user=host.user, timeout_seconds=seconds),
            # Without it an update would run `create` again.
            update="true",
            stdin=secret_stdin or stdin(step),
            add_previous_output_in_env=False,
            logging=remote.Logging.STDERR,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(after),
                ignore_changes=list(FROZEN),
                additional_secret_outputs=["stdout", "stderr"],
                custom_timeouts=pulumi.CustomTimeouts(create=f"{dial_seconds + seconds + MARGIN_SECONDS}s"),
            ),
        )


def dial_attempts(seconds: float) -> int:
    """How many dials the provider must be allowed so that a machine that refuses them is tried for `seconds`.

    It waits 0.1 s after the first and half as long again after each further one, 5 s at most.
    Source: pulumi-command v1.2.1, provider/pkg/provider/remote/connection.go and pulumi's sdk util/retry.
    """
    attempts, delay = 1, 0.1
    while seconds > 0:
        seconds -= delay
        delay = min(delay * 1.5, 5.0)
        attempts += 1
    return attempts
