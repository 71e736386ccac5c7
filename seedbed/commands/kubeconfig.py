"""Print a kubeconfig for a stack, with a client certificate that is made here and now and does not live long.

It comes from the identity and the settings alone: no SSH, and no state but for the address of a cloud's load balancer.
Whoever can read the identity is an admin.
"""

import argparse
import datetime
import os

from seedbed import UserError, cluster, identities, kube, stackfile
from stacks.identity import kubeconfig

NAME = "kubeconfig"
HELP = "print a kubeconfig with a short-lived certificate"

HOURS = 12
MOST_HOURS = 24 * 30


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("--hours", type=float, default=HOURS, help=f"how long it is good for (default {HOURS})")


def run(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.hours <= MOST_HOURS:
        raise UserError(f"--hours {arguments.hours:g}: give more than 0 and at most {MOST_HOURS}")
    stack = stackfile.load(arguments.stack)
    api_url = cluster.api_url(stack, stackfile.settings(stack), os.environ)
    identity = identities.read(stack, os.environ)
    client = kube.short_lived(identity, datetime.timedelta(hours=arguments.hours))
    print(kubeconfig(identity, client, api_url, f"seedbed-{stack.name}"))
    return 0
