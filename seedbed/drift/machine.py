"""One machine, as it is when somebody looks, against the lists of what its steps have installed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.pave.steps import SCRIPTS
from components.remote import session
from seedbed.drift.state import Paved

LISTS = "/var/lib/seedbed/installed"
"""Where a machine keeps its lists, a file for each step (components/scripts/pave/common.sh)."""

LOOK_SECONDS = 60
"""How long the look at one machine may take: it reads the k3s binary, and asks systemd, dpkg and the kernel."""

LOOK = Path(__file__).with_name("look.sh")

NONE = "none"
"""What `fact` says of something that is not there."""


class GarbledError(Exception):
    """What the machine has printed is not what the script prints."""


@dataclass(frozen=True)
class Fact:
    """One line of a list: what it was when the step ended, and what it is now."""

    kind: str
    name: str
    was: str
    now: str


@dataclass(frozen=True)
class Listed:
    """A step's list as the machine has it now, with its digest."""

    digest: str
    facts: tuple[Fact, ...]


def look(paved: Paved, private_key: str) -> dict[str, Listed]:
    """The lists of the machine by step, by one login that only reads. Raises what `session.run` raises, and GarbledError."""
    script = session.text("drift", {"NODE": paved.name}, SCRIPTS / "common.sh", LOOK)
    return parse(session.run(paved.login, private_key, script, seconds=LOOK_SECONDS, say=lambda _: None))


def parse(printed: str) -> dict[str, Listed]:
    """What look.sh prints. Raises GarbledError."""
    lines = printed.split("\n")
    if lines[-2:] != ["end", ""]:
        raise GarbledError("its answer is cut short")
    # It goes to a person's terminal, and comes from a machine that is perhaps no longer ours.
    if not all(map(str.isprintable, lines)):
        raise GarbledError("its answer is not plain text")
    del lines[-2:]
    digests: dict[str, str] = {}
    facts: dict[str, list[Fact]] = {}
    step, was = "", ""
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "list":
            step, _, digests[step] = rest.partition(" ")
            facts[step] = []
        elif word == "was":
            was = rest
        elif word == "is" and step:
            kind, name, then = (*was.split(" ", 2), "", "")[:3]
            facts[step].append(Fact(kind, name, then, rest.removeprefix(f"{kind} {name} ")))
        else:
            raise GarbledError(f"its answer has the line {line[:80]!r}")
    return {step: Listed(digests[step], tuple(found)) for step, found in facts.items()}


def differences(paved: Paved, found: Mapping[str, Listed]) -> Iterator[str]:
    """How the machine differs from what it was paved as, a few words for each; nothing where it does not.

    What the machine says that it was is believed as far as the state has the same digest of it.
    """
    said = set()
    for step, digest in paved.lists.items():
        if digest is None:
            continue
        listed = found.get(step)
        if listed is None:
            yield f"{LISTS}/{step} is gone, so what the step {step} has installed cannot be compared"
            continue
        if listed.digest != digest:
            yield f"{LISTS}/{step} changed, so what it says that the step {step} has installed is not to be believed"
        for fact in listed.facts:
            for text in compare(fact):
                if text not in said:  # two steps may have the same package
                    said.add(text)
                    yield text


def compare(fact: Fact) -> Iterator[str]:
    """What of this is no longer as it was."""
    was, now = fact.was, fact.now
    match fact.kind:
        case "unit":
            yield from _unit(fact.name, was, now)
        case "folder":
            yield from _folder(fact.name, was, now)
        case "floor":
            if not _reaches(now, was):
                yield f"sysctl {fact.name} is {now}, where at least {was} is needed"
        case _ if was == now:
            return
        case "file":
            yield _file(fact.name, was, now)
        case "sysctl":
            yield f"sysctl {fact.name} is {now}, not {was}"
        case "package":
            yield f"package {fact.name} is {_version(now)}, not {_version(was)}"
        case "mount":
            yield f"{fact.name} is not mounted" if now == NONE else f"{fact.name} has {now} mounted, not {was}"
        case "dropped":
            yield f"pods reach {fact.name}: the rule of seedbed-metadata.service is gone"
        case "machine" if fact.name == "logins":
            yield from _logins(was, now)
        case "machine":
            yield f"{_MACHINE.get(fact.name, fact.name)} is {now}, not {was}"
        case _:
            yield f"{fact.kind} {fact.name} is {now}, not {was}"


def _reaches(now: str, floor: str) -> bool:
    """Whether a number is at least another; no where one of them is none, as in a list that somebody edited."""
    try:
        return int(now) >= int(floor)
    except ValueError:
        return False


_MACHINE = {"forward-policy": "the FORWARD chain of iptables", "k3s": "/usr/local/bin/k3s"}


def _logins(was: str, now: str) -> Iterator[str]:
    """Settings of sshd, each a word and its value."""
    old, new = (dict(zip(words[::2], words[1::2], strict=False)) for words in (was.split(), now.split()))
    for setting, value in sorted(old.items()):
        if new.get(setting) != value:
            yield f"sshd has {setting} {new.get(setting, NONE)}, not {value}"


def _file(path: str, was: str, now: str) -> str:
    if now == NONE:
        return f"{path} is gone"
    if was == NONE:
        return f"{path} is there"
    (old, old_mode), (new, new_mode) = ((digest, mode) for digest, _, mode in (was.partition(" "), now.partition(" ")))
    if old != new:
        return f"{path} changed"
    return f"{path} has mode and owner {new_mode}, not {old_mode}"


def _folder(path: str, was: str, now: str) -> Iterator[str]:
    old, new = (set() if names == NONE else set(names.split()) for names in (was, now))
    for name in sorted(new - old):
        yield f"{path}/{name} was added"
    for name in sorted(old - new):
        yield f"{path}/{name} is gone"


@dataclass(frozen=True)
class _Unit:
    """`state` is `enabled`, `masked` and so on; `drop_ins` are the files that add to its own, but for what is gone at a boot."""

    active: str
    drop_ins: frozenset[str]
    state: str

    @staticmethod
    def of(value: str) -> "_Unit":
        words = value.split()
        active, *others = words or [NONE]
        drop_ins = [word for word in others if word.startswith("/")]
        state = next((word for word in others if not word.startswith("/")), NONE)
        return _Unit(active, frozenset(path for path in drop_ins if not path.startswith("/run/")), state)


def _unit(name: str, was: str, now: str) -> Iterator[str]:
    old, new = _Unit.of(was), _Unit.of(now)
    if new.state != old.state:
        yield f"{name} is not {old.state} but {new.state}"
    if old.active == "active" and new.active != "active":
        yield f"{name} does not run ({new.active})"
    elif old.state == "masked" and new.active == "active":
        # One that was merely not running may be started by what needs it: iscsid by its socket.
        yield f"{name} runs"
    for path in sorted(new.drop_ins - old.drop_ins):
        yield f"{path} was added"
    for path in sorted(old.drop_ins - new.drop_ins):
        yield f"{path} is gone"


def _version(value: str) -> str:
    status, _, version = value.partition(" ")
    return version if status == "installed" else "not installed"
