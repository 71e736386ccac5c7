"""The lab of a stack on this machine: bring up, look at, reach, break and remove its hosts.

New hosts begin as bare Debian; with SEEDBED_LAB_IMAGE=prepared the packages of the paving are on them already.
Machines are named by their full name, as in server-a-1. Faults: `cut` pulls the plug, `freeze` stops every process,
`partition` drops every frame between two hosts, or between one and everything else.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from lab import stack_lab
from lab.lab import Lab
from seedbed import graph, stackfile
from seedbed.commands import down, rehearse, up
from tools.env import DEV_STACK
from tools.progress import Progress

NAME = "lab"
HELP = "the lab's hosts: up, down, status, ssh and faults"

_ONE_HOST: dict[str, tuple[Callable[[Lab, str], bool], str, str, str]] = {
    "cut": (Lab.cut, "pull the plug of a host", "is without power", "was without power already"),
    "power-on": (Lab.power_on, "start a host that was cut or powered off", "has begun to boot", "was on already"),
    "reboot": (Lab.reboot, "a clean reboot", "has begun its new boot", "was not rebooted"),
    "freeze": (Lab.freeze, "stop every process of a host where it is", "is frozen", "was frozen already"),
    "thaw": (Lab.thaw, "let a frozen host go on", "goes on", "was not frozen"),
}

_TWO_HOSTS: dict[str, tuple[Callable[[Lab, str, str | None], bool], str, str, str]] = {
    "partition": (
        Lab.partition,
        "drop every frame between two hosts, or one and the rest",
        "is cut off",
        "was already",
    ),
    "heal": (Lab.heal, "undo partition, and a slow link", "is connected", "was connected already"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=DEV_STACK, help=f"whose lab (default {DEV_STACK})")
    verbs = parser.add_subparsers(dest="lab_verb", required=True, metavar="VERB")
    verbs.add_parser("up", help="hosts and services, without running pulumi").set_defaults(act=_up)
    verbs.add_parser("down", help="remove it without trace").set_defaults(act=_down)
    verbs.add_parser("status", help="what runs").set_defaults(act=_status)
    ssh = verbs.add_parser("ssh", help="log in to a host as root, or run a command there")
    ssh.add_argument("host")
    ssh.add_argument("command", nargs=argparse.REMAINDER)
    ssh.set_defaults(act=_ssh)
    for verb, (_, text, *_rest) in _ONE_HOST.items():
        one = verbs.add_parser(verb, help=text)
        one.add_argument("host")
        one.set_defaults(act=_fault)
    for verb, (_, text, *_rest) in _TWO_HOSTS.items():
        two = verbs.add_parser(verb, help=text)
        two.add_argument("host")
        two.add_argument("other", nargs="?", help="default: everything else")
        two.set_defaults(act=_fault_of_two)


def run(arguments: argparse.Namespace) -> int:
    return int(arguments.act(arguments))


def _up(arguments: argparse.Namespace) -> int:
    progress = Progress(sys.stdout)
    stack = stackfile.committed(arguments.stack)
    if stack.identity_file is None:
        stack = rehearse.prepare(arguments.stack, progress)
    lab = up.lab_of(stack)
    up.remove_left_over(lab.name, lab.directory, progress)
    graph.run(up.lab_jobs(lab, progress))
    return _status(arguments)


def _down(arguments: argparse.Namespace) -> int:
    down.remove(arguments.stack, Progress(sys.stdout))
    return 0


def _status(arguments: argparse.Namespace) -> int:
    lab = up.lab_of(stackfile.on_lab(arguments.stack))
    print("\n".join(status_lines(stack_lab.report(lab.name, lab.directory))))
    return 0


def status_lines(report: stack_lab.Report) -> list[str]:
    """The lab as a table of hosts, and a line for each service."""
    rows: list[Sequence[str]] = [("HOST", "STATE", "ADDRESS", "UP", "MEMORY")]
    for host in report.hosts:
        uptime = "-" if host.uptime is None else f"{host.uptime:.0f} s"
        memory = "-" if host.memory_bytes is None else f"{host.memory_bytes / 2**20:.0f} MiB"
        rows.append((host.name, str(host.state), host.address, uptime, memory))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    internet = "answers" if report.internet.answers else "does not answer: `seedbed lab up` starts it"
    store = "runs" if report.s3 is not None else "does not run: `seedbed lab up` starts it"
    problems = [f"  images: {problem}" for problem in report.internet.problems]
    lines += [f"small internet: {internet}", *problems, f"state store (S3): {store}"]
    if report.git is not None:
        git = "answers" if report.git.answers else "does not answer: `seedbed lab up` starts it"
        lines.append(f"git server (SSH): {git}")
    if report.cloud is not None:
        api = (
            f"answers at {report.cloud.url}" if report.cloud.answers else "does not answer: `seedbed lab up` starts it"
        )
        storage = "runs" if report.cloud.storage else "does not run: `seedbed lab up` starts it"
        lines += [f"cloud's API: {api}", f"cloud's object storage: {storage}"]
    return lines


def _ssh(arguments: argparse.Namespace) -> int:
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    argv = Lab.open(arguments.stack).ssh_command(arguments.host, *words)
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606  the terminal, signals and exit code become ssh's own


def _fault(arguments: argparse.Namespace) -> int:
    act, _, done, already = _ONE_HOST[arguments.lab_verb]
    changed = act(Lab.open(arguments.stack), arguments.host)
    print(f"{arguments.host} {done if changed else already}")
    return 0


def _fault_of_two(arguments: argparse.Namespace) -> int:
    act, _, done, already = _TWO_HOSTS[arguments.lab_verb]
    changed = act(Lab.open(arguments.stack), arguments.host, arguments.other)
    print(f"{arguments.host} {done if changed else already} ({arguments.other or 'everything else'})")
    return 0
