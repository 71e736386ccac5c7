"""Compare what the machines of a stack are with what they were paved as, and name those to replace. Nothing is changed.

By SSH, the Kubernetes API and the cloud's; what each was paved as is in the engine's state. Exit code 0: nothing differs;
2: something does; 1: nothing that was looked at differs, but not all could be looked at.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from components.remote import session
from seedbed import UserError, cluster, engine, environment, identities, stackfile
from seedbed.digitalocean import TOKEN
from seedbed.digitalocean import Api as CloudApi
from seedbed.drift import machine, nodes, report, state
from seedbed.drift.cloud import Cloud, Seen
from seedbed.drift.report import Subject
from seedbed.drift.state import Paved, State
from seedbed.kube import Api, section
from stacks.identity import Identity
from stacks.model import PROJECT
from stacks.settings import Settings
from tools.progress import Progress

NAME = "drift"
HELP = "compare machines with what they were paved as, and name those to replace"

MACHINES_AT_ONCE = 8


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    settings = stackfile.settings(stack)
    identity = identities.read(stack, os.environ)
    variables = environment.of(stack, os.environ)
    exported = engine.exported(stack, variables)
    found = state.read(exported, state.decrypter(exported, variables))
    if not found.machines:
        raise UserError(
            f"the state of stack {stack.name} remembers no machine: nothing is paved yet, or it was by an older seedbed, "
            "and the next `pulumi up` makes it remember"
        )
    progress = Progress(sys.stderr)
    subjects = {name: Subject(name, record=paved.record) for name, paved in found.machines.items()}
    others: list[Subject] = []
    with progress.phase("machines"):
        look_at_machines(found, subjects, identity.operator_key, progress)
    with progress.phase("nodes"):
        others += look_at_nodes(found, subjects, _api(stack, settings, identity))
    if settings.digitalocean is not None:
        with progress.phase("cloud"):
            others += look_at_cloud(found, subjects, variables, f"{PROJECT}-{stack.name}")
    machines = list(subjects.values())
    print("\n".join(report.lines(settings, machines, others)))
    return report.code([*machines, *others])


def look_at_machines(found: State, subjects: Mapping[str, Subject], private_key: str, progress: Progress) -> None:
    """Logs in to each once, several at a time, and notes how it differs."""
    with ThreadPoolExecutor(MACHINES_AT_ONCE, thread_name_prefix="machine") as pool:
        works = {
            pool.submit(_look_at, paved, subjects[name], private_key): name for name, paved in found.machines.items()
        }
        for work in as_completed(works):
            work.result()
            progress.line(f"{works[work]}: {'not looked at' if subjects[works[work]].unseen else 'looked at'}")


def _look_at(paved: Paved, subject: Subject, private_key: str) -> None:
    if not paved.joined:
        subject.notes.append("it is not paved to the end: `pulumi up` goes on with that")
    elif not any(paved.lists.values()):
        subject.notes.append("it was paved before machines kept lists of what is installed: its files are not compared")
    try:
        subject.drift += machine.differences(paved, machine.look(paved, private_key))
    except session.NoClientError as error:
        raise UserError(str(error)) from None
    except (session.UnreachableError, session.ScriptError, machine.GarbledError) as error:
        subject.unseen.append(str(error).removeprefix(f"{paved.name} ").removeprefix(f"{paved.name}: "))


def look_at_nodes(found: State, subjects: Mapping[str, Subject], api: "Api | UserError") -> list[Subject]:
    """Asks the API for all nodes; gives what is no machine's."""
    try:
        if isinstance(api, UserError):
            raise api
        there: dict[str, Any] = {str(section(one, "metadata")["name"]): one for one in api.items("/api/v1/nodes")}
    except UserError as error:
        return [Subject("nodes", unseen=[str(error)])]
    for name, paved in found.machines.items():
        if paved.joined:
            subjects[name].drift += nodes.differences(paved, there.get(name))
    return [
        Subject(f"node {name}", drift=["is in the cluster, and the state knows no such machine"])
        for name in nodes.strangers(there, found.machines)
    ]


def look_at_cloud(
    found: State, subjects: Mapping[str, Subject], variables: Mapping[str, str], tag: str
) -> list[Subject]:
    """Asks DigitalOcean for all that the state has there; gives what is no machine."""
    api = CloudApi.of(variables)
    if api is None:
        return [Subject("DigitalOcean", unseen=[f"{TOKEN} is not set"])]
    others = []
    for seen in Cloud(api, found.made, tag).look():
        subject = subjects.get(seen.name) if seen.kind is None else None
        if subject is None:
            subject = Subject(_title(seen))
            others.append(subject)
        subject.drift += seen.differences
        subject.unseen += [seen.problem] if seen.problem else []
    return others


def _title(seen: Seen) -> str:
    return f"{seen.kind or 'droplet'} {seen.name}".strip()


def _api(stack: stackfile.StackFile, settings: Settings, identity: Identity) -> "Api | UserError":
    try:
        return Api.of(identity, cluster.api_url(stack, settings, os.environ))
    except UserError as error:
        return error
