"""The lines of a `pulumi up` of a plan, folded by machine: what a person follows who has read the report."""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from seedbed.deployment import NODE, machine_of, name_of, type_of
from seedbed.engine import PREVIEWING, UPDATING
from seedbed.steps import DONE, EVENT, shown

# What no resource says, and what the hooks do: `    pulumi:pulumi:Stack seedbed-prod running agent-b-1: cordoned`.
_STACK = re.compile(r"^\s*[-+~]*\s*pulumi:pulumi:Stack \S+\s*(?:running |updating \(\S+\) )?(?P<text>.*)$")
_COUNT = re.compile(r"^(\*\*\w+\*\* )?\d+ (warning|error|message)s?(; .*)?$")
_PART = re.compile(r"^(Diagnostics|Resources|Policies|Outputs|Duration):")
# Whose the next lines are, which says nothing alone.
_HEADING = re.compile(r"^  \S+ \(.+\):$")
_COMPONENT = ("seedbed:", "pulumi:providers:", "pulumi:pulumi:")
"""Begins the types of what has no work of its own."""

_WORDS = {"create": "comes", "delete": "leaves"}
_ENDS = {"create": "is in", "delete": "is out"}


def planned(plan: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Full name of a machine -> how many resources of its own the engine's plan creates, deletes and otherwise changes."""
    steps = {urn: one["steps"] for urn, one in plan["resourcePlans"].items()}
    machines = [name_of(urn) for urn in steps if type_of(urn) == NODE]
    found: dict[str, Counter[str]] = {}
    for urn, ops in steps.items():
        machine = machine_of(name_of(urn), machines)
        if machine is None or type_of(urn).startswith(_COMPONENT) or set(ops) <= {"same"}:
            continue
        found.setdefault(machine, Counter()).update(op for op in ops if op != "same")
    return found


class Follower:
    """Takes the lines one by one; gives `say` a line when a machine begins, what its steps say, and one when it is done.

    The preview that comes before the update is checked by the engine and was read by a person: of it only what is wrong is said.
    """

    def __init__(
        self, plan: Mapping[str, Any], say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._planned = planned(plan)
        self._say = say
        self._clock = clock
        self._began: dict[str, float] = {}
        self._done: dict[str, list[str]] = {}
        self._part = ""
        self._section: list[str] = []
        self._told: set[str] = set()
        self._updating = True

    def line(self, line: str) -> None:
        """One line of the engine's output."""
        if line.startswith((PREVIEWING, UPDATING)):
            self.end()
            self._updating = line.startswith(UPDATING)
            self._say("carrying it out" if self._updating else "the engine holds the program against the plan")
        elif part := _PART.match(line):
            self.end()
            self._part = part[1]
        elif self._part == "Diagnostics":
            self._section.append(line)
        elif self._part == "Resources" and self._updating:
            self._say(line.strip())
        elif not self._part:
            self._event(line)

    def end(self) -> None:
        """The end of a part, or of all of it: says what was not said yet of the engine's own list of what went wrong."""
        section, self._section, self._part = self._section, [], ""
        heading: str | None = None
        for line in section:
            if _HEADING.match(line):
                heading = line
            # A preview's warnings are in the report.
            elif line.strip() not in self._told and (self._updating or not line.strip().startswith("warning:")):
                if heading is not None:
                    self._tell(heading)
                    heading = None
                self._tell(line)

    def _event(self, line: str) -> None:
        event = EVENT.match(line)
        if stack := _STACK.match(line):
            text = stack["text"]
            if not _COUNT.match(text) and ((self._updating and text) or "error" in text):
                self._tell(text)
        elif not self._updating:
            if "error" in line:
                self._tell(line)
        elif event is None:
            self._tell(line)
        elif machine := machine_of(event["name"], self._planned):
            self._of_machine(machine, line, event)
        elif text := shown(line):
            self._say(text.strip())
        elif event["verb"] in DONE and not event["type"].startswith(_COMPONENT):
            self._say(
                f"{event['sign']} {event['type'].rpartition(':')[2]} {event['name']} {event['verb']}, {event['seconds']} s"
            )

    def _of_machine(self, machine: str, line: str, event: "re.Match[str]") -> None:
        if event["type"].startswith(_COMPONENT):
            return
        if machine not in self._began:
            self._began[machine] = self._clock()
            self._say(f"{machine} {self._word(machine, _WORDS, 'is changed')}")
        if event["verb"] not in DONE:
            remote = event["type"].startswith("command:")
            text = (shown(line) or "" if remote else event["text"]).strip()
            if text and not text.startswith("[diff:"):
                self._told.add(text)
                self._say(text if text.startswith(machine) else f"{machine}: {text}")
            return
        kind = event["name"].removeprefix(machine).removeprefix("-") or event["type"].rpartition(":")[2].lower()
        done = self._done.setdefault(machine, [])
        done.append(f"{kind} {event['seconds']} s")
        if len(done) == self._planned[machine].total():
            word = self._word(machine, _ENDS, "is done")
            self._say(f"{machine} {word} after {self._clock() - self._began[machine]:.0f} s: {', '.join(done)}")

    def _word(self, machine: str, words: Mapping[str, str], other: str) -> str:
        (operation, *more) = self._planned[machine]
        return words.get(operation, other) if not more else other

    def _tell(self, line: str) -> None:
        """Says it once: the engine says an error with its step, when the step has failed, and in its list at the end."""
        text = line.strip()
        error = text[text.index("error:") :] if "error:" in text else text
        if error not in self._told:
            self._told |= {text, error}
            self._say(text)
