"""Rehearse the disaster on the lab: lose all hosts with their disks and the state, rebuild, and compare.

What is kept is what a rebuild has in earnest: the identity and the git repository, and the lab's own authority, which
stands for the world's. Exit code 1 where something did not come back as it was.
"""

import argparse
import datetime
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from lab import stack_lab
from seedbed import UserError, cluster, drill, identities, kube, stackfile
from seedbed.commands import up
from seedbed.kube import Api
from seedbed.stackfile import StackFile
from stacks.identity import kubeconfig
from tools.env import DEV_STACK
from tools.progress import Progress

NAME = "drill"
HELP = "lose hosts and state of a stack on the lab, rebuild, and compare"

KEPT_HOURS = 12


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK", nargs="?", default=DEV_STACK, help=f"default {DEV_STACK}")
    parser.add_argument("--yes", action="store_true", help="do not ask before everything is lost")
    parser.add_argument("--record", action="store_true", help="keep the result in bench/results/drill.md")


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    if stack.identity_file is None:
        raise UserError(
            f"stack {stack.name} does not live on the lab: the drill deletes machines, and would delete real ones. "
            f"Drill with {DEV_STACK}; what the drill does is in docs/how-to/rebuild.md"
        )
    lab = up.lab_of(stack)
    settings = stackfile.settings(stack)
    identity = identities.read(stack, os.environ)
    progress = Progress(sys.stdout)
    load = _load() if arguments.record else ""
    url = cluster.api_url(stack, settings, os.environ)
    lifetime = datetime.timedelta(hours=KEPT_HOURS)
    saved = kubeconfig(identity, kube.short_lived(identity, lifetime), url, stack.name)
    with progress.phase("look at what is there") as phase:
        before = drill.whole(Api.of_kubeconfig(saved), settings.timeouts.health, progress.line)
        phase.note(
            f"{len(before.nodes)} nodes, {len(before.revisions)} applications, {len(before.sealed)} sealed secrets"
        )
    if not arguments.yes:
        confirm(stack, sorted(before.nodes))
    with progress.phase("everything is lost but identity and git"):
        stack_lab.lose(lab, progress)
    began = time.monotonic()
    rebuilt = up.bring_up(stack, progress)
    api = Api.of(rebuilt.identity, cluster.api_url(stack, settings, os.environ))
    with progress.phase("all as before"):
        drill.settle(api, before, settings.timeouts.health, progress.line)
    seconds = time.monotonic() - began
    rebuilt = replace(rebuilt, timings=progress.timings)
    checks = drill.compare(before, api, Api.of_kubeconfig(saved))
    print("\nWhere the time went (phases overlap):")
    print("\n".join(up.phases(rebuilt)))
    print(f"\nThe drill of stack {stack.name}:")
    print("\n".join(f"  {line}" for line in drill.table(checks)))
    failed = [check for check in checks if not check.passed]
    print(f"\n{'NOT as it was' if failed else 'rebuilt'}, {seconds:.0f} s after everything was lost")
    if arguments.record and not failed:
        print(f"written: {record(seconds, checks, rebuilt, load)}")
    return 1 if failed else 0


def confirm(stack: StackFile, hosts: list[str]) -> None:
    """Asks whether all this may be lost. Raises UserError where the answer is no, or there is nobody to ask."""
    print(
        f"The drill cuts the power of {', '.join(hosts)}, deletes their disks and the state of stack {stack.name}, "
        "with all that the cluster has stored, and rebuilds it from identity and git."
    )
    try:
        answer = input(f"Type {stack.name} to go on: ")
    except EOFError:
        raise UserError("nobody is there to say yes; nothing was touched. Give --yes if it is meant") from None
    if answer.strip() != stack.name:
        raise UserError("nothing was touched")


def _load() -> str:
    # Imported here, as below: benchmarks measure the command line, which otherwise needs nothing of them.
    from bench import report

    return report.load()


def record(seconds: float, checks: list[drill.Check], rebuilt: up.Result, load: str) -> Path:
    """Keeps the result as the benchmarks do; `load` is the machine's before the drill."""
    from bench import report

    phases = [
        (timing.name, f"{timing.seconds:.1f} s")
        for timing in sorted(rebuilt.timings, key=lambda timing: timing.began)
        if timing.seconds >= 0.1
    ]
    body = (
        f"## Everything lost but identity and git; all as it was after {seconds:.0f} s\n\n"
        + report.table(("compared", "found"), [(check.what, check.said) for check in checks])
        + "\n"
        + report.table(
            ("phase", "took"), [*phases, *((f"  {step.name}", f"{step.seconds:.1f} s") for step in rebuilt.steps)]
        )
        + "\nPhases overlap. The time is from the moment when hosts, disks and state bucket were gone.\n"
    )
    return report.write("drill", "Rebuild from nothing", load, body, again="seedbed drill --record")
