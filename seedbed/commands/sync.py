"""Have ArgoCD look at git now, and wait until the Applications are as git says.

Exit code 1 where one of them is not Synced in time; the table says why. Health is shown and not waited for.
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
        found = syncing.sync(api, arguments.applications, arguments.timeout, lambda text: progress.line(f"  {text}"))
        late = [application.name for application in found if not application.synced]
        phase.note(f"{len(found) - len(late)} of {len(found)} Synced")
    print("\n" + "\n".join(table(explained(api, found))))
    if late:
        print(f"not Synced within {arguments.timeout:g} s: {', '.join(late)}", file=sys.stderr)
    return 1 if late else 0
