"""The lines of a `pulumi up`, reduced to what a person who waits wants to see."""

import re
from dataclasses import dataclass

# As in ` +  command:remote:Command server-a-1-wait creating (1s) server-a-1 wait: waiting for cloud-init`.
EVENT = re.compile(
    r"^\s*(?P<sign>[-+~]+)\s+(?P<type>\S+:\S+:\S+)\s+(?P<name>\S+)\s+(?P<verb>\w+)"
    r"\s+\((?P<seconds>[\d.]+)s\)\s*(?P<text>.*)$"
)
# What the program says while it runs, as in `    pulumi:pulumi:Stack seedbed-dev running agent-a-1: has left the cluster`.
_SAID = re.compile(r"^\s*pulumi:pulumi:Stack\s+\S+\s+running\s+(?P<text>\S.*)$")
_DIAL = re.compile(r"^Dial (\d+)/\d+ failed")
_DIALS_A_LINE = 10
_REMOTE = ("command:remote:Command", "command:remote:CopyToRemote")
_KUBERNETES = "kubernetes:"
DONE = {"created", "updated", "deleted", "replaced"}


@dataclass(frozen=True)
class Step:
    """A remote step that has ended well, and how many seconds it took."""

    name: str
    seconds: float


def shown(line: str) -> str | None:
    """The line as it is shown; None for one that says nothing new.

    What a script says stands for itself; a component has no work of its own; every tenth dial is enough. An object of
    the cluster is called by its kind as well. Whatever is not recognised is shown as it is: errors and warnings are.
    """
    event = EVENT.match(line)
    if event is None:
        said = _SAID.match(line)
        return line if said is None else f"  {said['text']}"
    if event["type"] not in _REMOTE and not event["type"].startswith(_KUBERNETES):
        return None
    kind = "" if event["type"] in _REMOTE else f"{event['type'].rpartition(':')[2]} "
    if event["verb"] in DONE:
        return f"{event['sign']} {kind}{event['name']} {event['verb']}, {event['seconds']} s"
    if not event["text"]:
        return None
    if kind:
        return f"  {kind}{event['name']}: {event['text']}"
    dial = _DIAL.match(event["text"])
    if dial is None:
        return f"  {event['text']}"
    return f"  {event['name']}: {event['text']}" if int(dial[1]) % _DIALS_A_LINE == 0 else None


def ended(line: str) -> Step | None:
    """The step that this line says is done; one that is only forgotten, because its machine has left, took no time."""
    event = EVENT.match(line)
    if event is None or event["type"] not in _REMOTE or event["verb"] not in DONE - {"deleted"}:
        return None
    return Step(event["name"], float(event["seconds"]))
