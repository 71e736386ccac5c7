"""Bring up the dev stack: from a fresh clone to a cluster that follows git, on this machine.

Builds or downloads what is missing, boots the lab's hosts, starts the services that they and the engine need, brings
k8s/ to the lab's git repository, and runs `pulumi up`. What needs nothing of each other is done at the same time. Running it again does what is missing.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from lab import cloud_lab, stack_lab
from lab.artifacts import Artifacts
from lab.gitops.sealing import renew_tree, seal_tree
from seedbed import UserError, applications, build, cluster, engine, environment, graph, stackfile
from seedbed.graph import Job
from seedbed.kube import Api
from seedbed.stackfile import StackFile
from seedbed.steps import Step, ended, shown
from seedbed.store import open_store
from stacks.config import ROOT
from stacks.identity import Identity
from tools.env import DEV_STACK
from tools.progress import Progress, Timing
from tools.toolchain import Toolchain

NAME = "up"
HELP = "from a fresh clone to a Ready dev cluster on this machine"

IDENTITY = "identity"
S3 = "s3"
HOSTS = "hosts"
INTERNET = "internet"
GIT_SERVER = "git server"
GIT_TREE = "git tree"
CLOUD = "cloud"
STACK = "stack"

KUBECONFIG = ".lab/kubeconfig"
"""Where the summary suggests to keep one."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK", nargs="?", default=DEV_STACK, help=f"default {DEV_STACK}")


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    print_summary(stack, bring_up(stack, Progress(sys.stdout)), next_steps(stack))
    return 0


@dataclass(frozen=True)
class Result:
    """What an `up` leaves for whoever goes on from it, and where its time went."""

    identity: Identity
    artifacts: Artifacts
    timings: list[Timing]
    steps: list[Step]


def bring_up(stack: StackFile, progress: Progress) -> Result:
    """All that `seedbed up` does but for the summary. Raises what a person can put right, as the command line shows it."""
    lab = lab_of(stack)
    remove_left_over(lab.name, lab.directory, progress)
    done = graph.run([*lab_jobs(lab, progress), _stack_job(stack, progress)])
    tools: Toolchain = done[build.CLI]
    steps: list[Step] = []

    def show(line: str) -> None:
        if (step := ended(line)) is not None:
            steps.append(step)
        if (text := shown(line)) is not None:
            progress.line(f"  {text}")

    with progress.phase("pulumi up"):
        engine.up(tools.pulumi, stack, done[STACK], show)
    # Until here they had to run: a machine leaves only when the next one has joined.
    stack_lab.remove_others(lab, progress)
    return Result(done[IDENTITY], done[build.ARTIFACTS], progress.timings, steps)


def lab_of(stack: StackFile) -> stack_lab.StackLab:
    """The lab that the stack's settings describe. Raises UserError where the stack does not live on one."""
    if stack.identity_file is None:
        raise UserError(
            f"stack {stack.name} does not live on the lab (its yaml names no {stackfile.IDENTITY_FILE}): "
            f"use `pulumi preview --stack {stack.name}` and `pulumi up --stack {stack.name}`, or rehearse it on the lab's "
            f"cloud: `seedbed rehearse {stack.name}`"
        )
    settings = stackfile.settings(stack, lab_is_made=False)
    directory = stack.identity_file.parent
    own_subnet = None if settings.digitalocean is None else cloud_lab.subnet_of(directory)
    return stack_lab.StackLab(stack.name, directory, settings, own_subnet)


def remove_left_over(name: str, directory: Path, progress: Progress) -> None:
    """A lab whose folder was deleted left hosts behind that nobody has the keys of: they make room."""
    if stack_lab.is_left_over(name):
        progress.line(f"the folder of lab {name} is gone, and its keys with it: what is left of it is removed")
        stack_lab.down(name, directory, progress)


def lab_jobs(lab: stack_lab.StackLab, progress: Progress) -> list[Job]:
    """All that the lab is made of, each as soon as what it needs is there."""

    def hosts(done: dict[str, Any]) -> None:
        stack_lab.start_hosts(lab, done[IDENTITY], progress)

    def internet(done: dict[str, Any]) -> None:
        stack_lab.start_internet(lab, done[build.ARTIFACTS], progress)

    def git_server(done: dict[str, Any]) -> None:
        stack_lab.start_git(lab, done[IDENTITY], progress)

    def git_tree(done: dict[str, Any]) -> None:
        seed = lab.settings.seed
        if seed is not None:
            stack_lab.publish_tree(
                lab,
                progress,
                lambda tree: seal_tree(
                    tree,
                    lab.name,
                    seed.environments,
                    done[IDENTITY],
                    before=seed.tree,
                    # The tree of a stack that is rehearsed has secrets that only the real one opens.
                    replace=lab.settings.digitalocean is not None,
                ),
                lambda tree: renew_tree(tree, lab.name, seed.environments, done[IDENTITY]),
            )

    return [
        Job(IDENTITY, lambda _: stack_lab.ensure_identity(lab, progress)),
        Job(GIT_TREE, git_tree, (IDENTITY,)),
        *build.jobs(progress),
        Job(S3, lambda done: stack_lab.start_s3(lab, done[build.S3_SERVER], progress), (build.S3_SERVER,)),
        Job(HOSTS, hosts, (IDENTITY, build.IMAGE)),
        Job(GIT_SERVER, git_server, (HOSTS,)),
        Job(INTERNET, internet, (HOSTS, build.ARTIFACTS)),
        Job(CLOUD, lambda done: stack_lab.start_cloud(lab, done[build.S3_SERVER], progress), (HOSTS, build.S3_SERVER)),
    ]


def _stack_job(stack: StackFile, progress: Progress) -> Job:
    """Makes the stack in the store where it is missing; gives the environment for `pulumi`."""

    def init(done: dict[str, Any]) -> dict[str, str]:
        tools: Toolchain = done[build.CLI]
        variables = {**os.environ, **environment.additions(stack, tools, os.environ)}
        with progress.phase(f"state of stack {stack.name}") as phase:
            new = engine.init_stack(tools.pulumi, stack, variables, open_store(variables))
            phase.note("made" if new else "is there")
        return variables

    return Job(STACK, init, (build.CLI, S3, CLOUD))


def print_summary(stack: StackFile, result: Result, steps: Sequence[str], kubeconfig: str = KUBECONFIG) -> None:
    """The phases, the nodes, the applications and what to type next: `steps`, which leave a file `kubeconfig`.

    Raises UserError where a node is not Ready.
    """
    settings = stackfile.settings(stack)
    api = Api.of(result.identity, cluster.api_url(stack, settings, os.environ))
    nodes = cluster.nodes(api)
    print("\nWhere the time went (phases overlap):")
    print("\n".join(phases(result)))
    kind = "the k3s release" if result.artifacts.genuine else "the lab's stand-in for k3s"
    print(f"\nCluster {stack.name} at {api.url} ({kind}):")
    print("\n".join(f"  {line}" for line in cluster.table(nodes)))
    if not all(node.ready for node in nodes):
        raise UserError("not every node is Ready: `kubectl describe nodes` says why")
    if settings.seed is not None:
        found = applications.explained(api, applications.applications(api))
        print(f"\nApplications, from {settings.seed.repository.url} at {settings.seed.repository.revision}:")
        print("\n".join(f"  {line}" for line in applications.table(found)))
    provide_kubectl(result.artifacts.k3s)
    print("\nNext:")
    print("\n".join(f"  {line}" for line in steps))
    if settings.seed is not None:
        print("\n" + "\n".join(applications.how_to_reach(api, kubeconfig)))


def next_steps(stack: StackFile) -> list[str]:
    """What to type once the dev stack is up."""
    init = stackfile.settings(stack).cluster.init
    return [
        'eval "$(make -s env)"            plain pulumi, seedbed and kubectl in this shell',
        "pulumi preview                   nothing to change",
        f"(umask 077; seedbed kubeconfig {stack.name} > {KUBECONFIG})",
        f"kubectl --kubeconfig {KUBECONFIG} get nodes",
        f"seedbed lab ssh {init:<16} look around on a host",
        "make down                        remove it all",
    ]


def phases(result: Result) -> list[str]:
    """A line for each phase that took time, in the order in which they began, then one for each remote step."""
    timings = sorted(result.timings, key=lambda timing: timing.began)
    return [
        *(f"  {timing.seconds:7.1f} s  {timing.name}" for timing in timings if timing.seconds >= 0.1),
        *(f"  {step.seconds:7.0f} s    {step.name}" for step in result.steps),
    ]


def provide_kubectl(k3s: Path) -> None:
    """k3s is kubectl too, by that name: put it on the clone's PATH where the machine has none."""
    link = ROOT / ".tools" / "bin" / "kubectl"
    if which("kubectl") is None or link.is_symlink():
        link.unlink(missing_ok=True)
        link.symlink_to(k3s)
