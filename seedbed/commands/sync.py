"""Have ArgoCD look at git now, and wait until the Applications are as git says.

Exit code 1 where one of them is not Synced in time, or has not answered; the table says why. Health is shown and not
waited for.
"""

import argparse
import os
import sys

from seedbed import UserError, cluster, identities, stackfile, syncing
from seedbed.applications import explained, table
from seedbed.kube import Api
from tools.env import DEV_STACK
from tools.progress import Progress

NAME = "sync"
HELP = "have ArgoCD look at git now, and wait for it"

TIMEOUT_SECONDS = 120
MOST_SECONDS = 3600


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK", nargs="?", default=DEV_STACK, help=f"default {DEV_STACK}")
    parser.add_argument("applications", metavar="APP", nargs="*", help="wait for these only; default all")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT_SECONDS, help=f"seconds to wait at most (default {TIMEOUT_SECONDS})"
    )


def run(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.timeout <= MOST_SECONDS:
        raise UserError(f"--timeout {arguments.timeout:g}: give more than 0 and at most {MOST_SECONDS}")
    stack = stackfile.load(arguments.stack)
    url = cluster.api_url(stack, stackfile.settings(stack), os.environ)
    api = Api.of(identities.read(stack, os.environ), url)
    progress = Progress(sys.stdout)
    with progress.phase("sync") as phase:
        outcome = syncing.sync(api, arguments.applications, arguments.timeout, lambda text: progress.line(f"  {text}"))
        found, late = outcome.applications, outcome.late
        phase.note(f"{len(found) - len(late)} of {len(found)} Synced")
    print("\n" + "\n".join(table(explained(api, found))))
    in_time = f"within {arguments.timeout:g} s"
    if outcome.blind:
        print(
            f"ApplicationSet {', '.join(outcome.blind)}: no look at git {in_time}; new folders are not seen",
            file=sys.stderr,
        )
    if late:
        names = (f"{name} ({why})" if why else name for name, why in late.items())
        print(f"not Synced {in_time}: {', '.join(names)}", file=sys.stderr)
    return 1 if late or outcome.blind else 0
