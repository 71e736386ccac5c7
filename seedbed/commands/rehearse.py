"""Rehearse a stack of DigitalOcean's machines on the lab's cloud: all of it, from nothing, the seed included.

The same program runs with the same settings, but for what the lab's cloud makes necessary, which is listed first.
Nothing of the real stack is used or touched: not its identity, not its state, not its account. Running it again does what
is missing. Exit code 0 only where every node is Ready and the root Application is Synced.
"""

import argparse
import os
import sys
from pathlib import Path

from components.metal.digitalocean import catalogue, cost
from lab import machine
from seedbed import UserError, applications, cluster, rehearsal, stackfile
from seedbed.commands import down, up
from seedbed.kube import Api
from seedbed.stackfile import REHEARSAL, StackFile
from tools.progress import Progress

NAME = "rehearse"
HELP = "a stack of DigitalOcean's machines on the lab's cloud, from nothing"

STACK = "prod"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK", nargs="?", default=STACK, help=f"default {STACK}")
    parser.add_argument("--down", action="store_true", help="remove the rehearsal without trace")


def run(arguments: argparse.Namespace) -> int:
    progress = Progress(sys.stdout)
    if arguments.down:
        remove(arguments.stack, progress)
        return 0
    stack = prepare(arguments.stack, progress)
    result = up.bring_up(stack, progress)
    up.print_summary(stack, result, next_steps(stack), kubeconfig_of(stack))
    print(f"\n{cost_line(stack)}")
    api = Api.of(result.identity, cluster.api_url(stack, stackfile.settings(stack), os.environ))
    return 0 if is_synced(stack, api) else 1


def prepare(name: str, progress: Progress) -> StackFile:
    """The stack as its rehearsal has it, and the list of what that changes. Raises UserError, SettingsError, LabError."""
    committed = stackfile.committed(name)
    up.remove_left_over(name, stackfile.rehearsal_path(name).parent, progress)
    stack, differences = rehearsal.prepare(committed, progress)
    progress.line(f"the rehearsal differs from {committed.path.name} in:")
    for line in rehearsal.table(differences):
        progress.line(f"  {line}")
    return stack


def remove(name: str, progress: Progress) -> None:
    """Takes the rehearsal down, if there is one. Raises UserError for a stack that lives on the lab as it is."""
    if stackfile.committed(name).identity_file is not None:
        raise UserError(
            f"stack {name} lives on the lab as it is, and is not rehearsed: `seedbed down {name}` removes it"
        )
    if stackfile.rehearsal_path(name).parent.exists() or machine.claim_of(name) is not None:
        down.remove(name, progress)


def cost_line(stack: StackFile) -> str:
    """What the real stack costs, by the table of prices."""
    cloud = stackfile.settings(stack).digitalocean
    if cloud is None:
        raise ValueError(f"{stack.name} has no cloud, and was rehearsed on one")
    amount = cost.dollars(cost.total(cost.lines(cloud.order)))
    return f"At DigitalOcean this costs {amount} {cost.CURRENCY} a month (prices of {catalogue.DATE}); here nothing."


def is_synced(stack: StackFile, api: Api) -> bool:
    """Whether the root Application is, where there is one; says so where it is not."""
    if stackfile.settings(stack).seed is None:
        return True
    synced = any(found.name == applications.ROOT and found.synced for found in applications.applications(api))
    if not synced:
        print(f"not Synced: {applications.ROOT}; `seedbed sync {stack.name}` waits for it", file=sys.stderr)
    return synced


def kubeconfig_of(stack: StackFile) -> str:
    """Where the summary suggests to keep one: in the rehearsal's folder, so that it goes with it."""
    return str(Path(stackfile.LABS) / stack.name / "kubeconfig")


def next_steps(stack: StackFile) -> list[str]:
    """What to type once the rehearsal is up."""
    name = stack.name
    settings = stackfile.settings(stack)
    kubeconfig = kubeconfig_of(stack)
    return [
        f'eval "$(seedbed env {name} --rehearsal)"      this shell is the rehearsal\'s: pulumi, seedbed, kubectl',
        f'pulumi preview --config-file "${REHEARSAL}"',
        f"(umask 077; seedbed kubeconfig {name} > {kubeconfig})",
        f"kubectl --kubeconfig {kubeconfig} get nodes",
        f"seedbed lab --stack {name} ssh {settings.cluster.init}",
        f"seedbed rehearse {name} --down                remove it all",
    ]
