"""Replace the machines of a stack, one reviewed step at a time: proposes the next step as an edit of the stack's yaml.

A step is the next generation of one machine, and the old one on the list of those that may leave. Read it, review it, apply
it, and run this again: it goes on from wherever the stack is, and says so when nothing is left to do. It can be left at
any step. By default it replaces the machines that were paved with other settings than today's; servers first, one at a time.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from seedbed import UserError, cluster, edits, engine, environment, identities, rolling, stackfile
from seedbed.kube import Api
from seedbed.rolling import State
from seedbed.stackfile import StackFile
from stacks.model import PROJECT
from stacks.settings import Role, Settings, SettingsError

NAME = "roll"
HELP = "replace machines one reviewed step at a time: proposes the next one"

NODES = "/api/v1/nodes"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--machine", metavar="NAME", help="this one next, whatever it was paved with")
    which.add_argument(
        "--to", metavar="GENERATION", type=int, help="every machine of a lower generation, whatever it was paved with"
    )
    for key, what in _PLACES.items():
        parser.add_argument(f"--{what.option}", dest=key, metavar=what.metavar, help=what.text)
    parser.add_argument("--dry-run", action="store_true", help="show the edit and change nothing")


class _Place:
    """Where the new generation of a machine that exists is; None of a cloud's."""

    def __init__(self, option: str, metavar: str, text: str) -> None:
        self.option, self.metavar, self.text = option, metavar, text


_PLACES = {
    "address": _Place("address", "IP", "where the new machine is, for machines of your own"),
    "nodeAddress": _Place(
        "node-address", "IP", "where the others reach it, where the settings say that for the old one"
    ),
    "hostKey": _Place(
        "host-key", "KEY", "`ssh-ed25519 AAAA…` of the new one, where the settings say that for the old one"
    ),
}


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    settings = stackfile.settings(stack)
    state = rolling.read(engine.exported(stack, environment.of(stack, os.environ)))
    _refuse_unfinished(stack, settings, state)
    places = {key: value for key in _PLACES if (value := getattr(arguments, key)) is not None}
    order = list(rolling.candidates(settings, state, to=arguments.to))
    if arguments.machine is not None:
        order = [_named(settings, arguments.machine), *(name for name in order if name != arguments.machine)]
    if not order:
        return _end(stack, settings, state, arguments)
    step = rolling.step(settings, state, order[0], to=arguments.to, values=places)
    _refuse(stack, settings, step, places)
    old = _read(stack.path)
    new, after = _next(stack, old, step, settings, state)
    if problems := rolling.forbidden(after, state, step.name):
        raise UserError("\n".join(problems))
    _refuse_unwell(stack, settings, step.old)
    print(f"Next of {len(order)} to replace in stack {stack.name}: {step.old} by {step.new}")
    print("\n".join(f"  {line}" for line in _why(settings, state, step, arguments)))
    _put(stack, old, new, dry_run=arguments.dry_run)
    if not arguments.dry_run:
        _say_next(stack, settings, step, places, last=len(order) == 1, to=arguments.to)
    return 0


def _next(stack: StackFile, old: str, step: rolling.Step, settings: Settings, state: State) -> tuple[str, Settings]:
    """The edited file and its settings. Names of machines that are gone stay on the list where it is not right without them, as
    with an even number of servers while a dead one is away."""
    new = _edited(stack, old, step, rolling.retire(settings, state, step.old))
    try:
        return new, stackfile.settings_of(stack, new)
    except SettingsError:
        kept = [*settings.retire, *([step.old] if step.old not in settings.retire else [])]
        new = _edited(stack, old, step, kept)
        return new, stackfile.settings_of(stack, new)


def _why(settings: Settings, state: State, step: rolling.Step, arguments: argparse.Namespace) -> list[str]:
    said = [f"{difference}" for difference in step.why] or ["paved with today's settings"]
    rest = rolling.candidates(settings, state, to=arguments.to)
    after = [settings.full_name(name) for name in rest if name != step.name]
    return [*said, *([f"after it: {', '.join(after)}"] if after else [])]


def _end(stack: StackFile, settings: Settings, state: State, arguments: argparse.Namespace) -> int:
    """Nothing to replace; what is left on the list of a step before is taken out."""
    beyond = max(machine.generation for machine in settings.machines.values()) + 1
    if arguments.to is not None:
        print(f"Nothing left to replace: every machine of stack {stack.name} is of generation {arguments.to} or later.")
    else:
        print(f"Nothing left to replace: every machine of stack {stack.name} is paved with today's settings.")
        print(f"To replace them all the same: seedbed roll {stack.name} --to {beyond}")
    kept = rolling.retire(settings, state, None)
    gone = [name for name in settings.retire if name not in kept]
    if gone:
        old = _read(stack.path)
        new = _edited(stack, old, None, kept)
        try:
            stackfile.settings_of(stack, new)
        except SettingsError:
            # As with an even number of servers, which is right only while one is on the list.
            print(f"\n{', '.join(gone)} stays on {PROJECT}:retire: without that the settings are not right.")
            return 0
        print(f"\nOn {PROJECT}:retire, and gone: {', '.join(gone)}. Nothing needs them there any more:")
        _put(stack, old, new, dry_run=arguments.dry_run)
    return 0


def _named(settings: Settings, name: str) -> str:
    if name in settings.machines:
        return name
    found = [short for short in settings.machines if settings.full_name(short) == name]
    if not found:
        raise UserError(f"--machine {name}: there are {', '.join(sorted(settings.machines))}")
    return found[0]


def _refuse_unfinished(stack: StackFile, settings: Settings, state: State) -> None:
    if not state.machines:
        raise UserError(f"stack {stack.name} has no machine yet: `pulumi up` makes them, by today's settings")
    if found := rolling.unfinished(settings, state):
        raise UserError(
            f"the last step is not finished: {'; '.join(found)}. Read it with `seedbed review {stack.name}`, apply it, and "
            "run this again"
        )


def _refuse(stack: StackFile, settings: Settings, step: rolling.Step, places: Mapping[str, str]) -> None:
    """Raises UserError for what the edit would lack, or could not lead to."""
    machine = settings.machines[step.name]
    if rolling.alone(settings, step.name):
        raise UserError(
            f"{step.old} is the only server, and {step.new} would have none to join. Have three servers for as long as it "
            "takes: name two more, apply that, replace this one, and take the two out again, one at a time"
        )
    if settings.digitalocean is not None:
        if places:
            raise UserError(
                f"--{_PLACES[next(iter(places))].option}: a cloud gives {step.new} its address; leave it out"
            )
        return
    has = {"address": machine.address, "nodeAddress": machine.node_address, "hostKey": machine.host_key}
    needed = [key for key, value in has.items() if value is not None]
    if lacking := [f"--{_PLACES[key].option} {_PLACES[key].metavar}" for key in needed if key not in places]:
        raise UserError(
            f"{step.old} is a machine of your own, so {step.new} is another one, which runs beside it: have it ready and run "
            f"`seedbed roll {stack.name} --machine {step.name} {' '.join(lacking)}`"
        )
    if superfluous := [key for key in places if key not in needed]:
        raise UserError(
            f"--{_PLACES[superfluous[0]].option}: {step.name} has no {superfluous[0]} in {stack.path.name}; leave it out, or "
            "write it there first"
        )
    if places["address"] == str(machine.address):
        raise UserError(
            f"--address {places['address']}: that is {step.old}'s, which is there until {step.new} has joined"
        )


def _refuse_unwell(stack: StackFile, settings: Settings, leaving: str) -> None:
    url = cluster.api_url(stack, settings, os.environ)
    nodes = Api.of(identities.read(stack, os.environ), url).items(NODES)
    if own := [line for line in rolling.unwell(nodes, settings, None) if line.startswith(f"{leaving} ")]:
        name = leaving.rpartition("-")[0]
        if settings.machines[name].role is Role.SERVER:
            raise UserError(
                f"{own[0]}, and etcd takes no new member beside one that is dead, so it leaves first: take {name} out of "
                f"{stack.path.name}, put {leaving} on {PROJECT}:retire, and apply that. Then add {name} again, with the next "
                "generation, and apply that"
            )
    others = rolling.unwell(nodes, settings, leaving)
    if own and settings.machines[leaving.rpartition("-")[0]].role is Role.AGENT:
        # Of several agents that are ill one has to be the first; a server's vote is never put at risk by that.
        agents = tuple(f"{settings.full_name(name)} " for name in settings.names(Role.AGENT))
        others = [line for line in others if not line.startswith(agents)]
    if found := others:
        ill = next((name for name in settings.machines if found[0].startswith(f"{settings.full_name(name)} ")), None)
        instead = "" if ill is None else f"; or replace that one first: `seedbed roll {stack.name} --machine {ill}`"
        raise UserError(f"no machine is replaced while another one is not well: {'; '.join(found)}{instead}")


def _read(path: Path) -> str:
    with path.open(newline="") as file:
        return file.read()


def _edited(stack: StackFile, old: str, step: rolling.Step | None, retire: Sequence[str]) -> str:
    name, values = (None, {}) if step is None else (step.name, step.values)
    try:
        return edits.edited(old, name, values, retire)
    except edits.CannotEditError as error:
        lines = [f"{PROJECT}:retire: [{', '.join(retire)}]"]
        lines += [f"{name}: {key}: {value}" for key, value in values.items()]
        raise UserError(
            f"{stack.path.name} is not edited, because {error}. By hand:\n" + "\n".join(f"  {line}" for line in lines)
        ) from None


def _put(stack: StackFile, old: str, new: str, *, dry_run: bool) -> None:
    """Shows the edit, and makes it: the new text is there whole, or not at all."""
    print("\n" + "\n".join(edits.difference(old, new, str(stack.path.relative_to(stack.root)))))
    if dry_run:
        print("\nNothing is changed (--dry-run).")
        return
    with tempfile.NamedTemporaryFile("w", dir=stack.path.parent, newline="", delete=False) as file:
        file.write(new)
    shutil.copymode(stack.path, file.name)
    Path(file.name).replace(stack.path)


def _say_next(
    stack: StackFile, settings: Settings, step: rolling.Step, places: Mapping[str, str], *, last: bool, to: int | None
) -> None:
    name, machine = stack.name, settings.machines[step.name]
    steps = [
        *_machine_first(stack, settings, step, places),
        (f"seedbed review {name}", f"reads {step.new} in and {step.old} out; commit the edit first"),
        ("seedbed apply BUNDLE", f"applies what was reviewed; or `{_unreviewed(stack, settings)}`"),
    ]
    if machine.role is Role.SERVER and f"{step.name}-1" == settings.cluster.init and machine.generation == 1:
        steps.append(
            ("", f"{PROJECT}:cluster.init stays {settings.cluster.init}: it made the cluster, and later ones join")
        )
    again = f"seedbed roll {name}" + (f" --to {to}" if to is not None else "")
    steps.append((again, "takes the name off the list again" if last else "proposes the step after it"))
    width = max(len(command) for command, _ in steps)
    print(f"\n{stack.path.name} is changed. Next:")
    print("\n".join(f"  {command:<{width}}  {text}" for command, text in steps))


def _unreviewed(stack: StackFile, settings: Settings) -> str:
    """What does the same without a review; on the lab it boots the new host first and takes the old one away."""
    return (
        "pulumi up" if stack.identity_file is None or settings.digitalocean is not None else f"seedbed up {stack.name}"
    )


def _machine_first(
    stack: StackFile, settings: Settings, step: rolling.Step, places: Mapping[str, str]
) -> list[tuple[str, str]]:
    """How a machine that no cloud makes comes to be there."""
    if settings.digitalocean is not None:
        return []
    if stack.identity_file is not None:
        return [
            (f"seedbed lab --stack {stack.name} up", f"boots {step.new} at {places['address']}; {step.old} runs on")
        ]
    return [(f"seedbed cloud-init {stack.name} {step.new}", f"what to start the machine at {places['address']} with")]
