"""What a machine prints of itself, compared with what its steps have listed; and that looking writes nothing."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from components.pave.steps import SCRIPTS
from components.remote import session
from components.remote.session import Login
from seedbed.drift import machine
from seedbed.drift.machine import Fact, GarbledError, Listed, compare, differences, parse
from seedbed.drift.state import Paved

LOGIN = Login(machine="agent-a-1", address="10.0.0.21", port=22, user="root", host_key="ssh-ed25519 AAAA")
DROP_IN = "/etc/systemd/system/k3s.service.d/limits.conf"


def paved(**lists: str | None) -> Paved:
    return Paved(login=LOGIN, record={}, lists=lists)


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (Fact("file", "/etc/a", "aa 600 root", "bb 600 root"), ["/etc/a changed"]),
        (Fact("file", "/etc/a", "aa 600 root", "none"), ["/etc/a is gone"]),
        (Fact("file", "/etc/a", "aa 600 root", "aa 644 ops"), ["/etc/a has mode and owner 644 ops, not 600 root"]),
        (Fact("folder", "/etc/d", "a.yaml", "a.yaml z.yaml"), ["/etc/d/z.yaml was added"]),
        (Fact("folder", "/etc/d", "a.yaml b.yaml", "none"), ["/etc/d/a.yaml is gone", "/etc/d/b.yaml is gone"]),
        (Fact("unit", "k3s.service", "active  enabled", "active  disabled"), ["k3s.service is not enabled but disabled"]),
        (Fact("unit", "k3s.service", "active  enabled", "failed  enabled"), ["k3s.service does not run (failed)"]),
        (Fact("unit", "k3s.service", "active  enabled", f"active {DROP_IN} enabled"), [f"{DROP_IN} was added"]),
        (Fact("unit", "k3s.service", f"active {DROP_IN} enabled", "active  enabled"), [f"{DROP_IN} is gone"]),
        (
            Fact("unit", "a.timer", "inactive  masked", "active  enabled"),
            ["a.timer is not masked but enabled", "a.timer runs"],
        ),
        (Fact("sysctl", "vm.x", "1", "0"), ["sysctl vm.x is 0, not 1"]),
        (Fact("floor", "vm.x", "10", "9"), ["sysctl vm.x is 9, where at least 10 is needed"]),
        (Fact("floor", "vm.x", "10", "none"), ["sysctl vm.x is none, where at least 10 is needed"]),
        # As a machine says that somebody has in his hand.
        (Fact("floor", "vm.x", "abc", "9"), ["sysctl vm.x is 9, where at least abc is needed"]),
        (Fact("floor", "vm.x", "", "9"), ["sysctl vm.x is 9, where at least  is needed"]),
        (Fact("floor", "vm.x", "9", "²"), ["sysctl vm.x is ², where at least 9 is needed"]),
        (Fact("package", "a", "installed 1.0", "installed 2.0"), ["package a is 2.0, not 1.0"]),
        (Fact("package", "a", "installed 1.0", "none"), ["package a is not installed, not 1.0"]),
        (Fact("mount", "/srv", "/dev/a", "none"), ["/srv is not mounted"]),
        (Fact("mount", "/srv", "/dev/a", "/dev/b"), ["/srv has /dev/b mounted, not /dev/a"]),
        (
            Fact("dropped", "169.254.169.254", "yes", "none"),
            ["pods reach 169.254.169.254: the rule of seedbed-metadata.service is gone"],
        ),
        (Fact("machine", "hostname", "a-1", "b"), ["hostname is b, not a-1"]),
        (
            Fact("machine", "logins", "passwordauthentication no permitrootlogin x", "passwordauthentication yes permitrootlogin x"),
            ["sshd has passwordauthentication yes, not no"],
        ),
    ],
)  # fmt: skip
def test_every_difference_is_said_in_a_few_words(fact: Fact, said: list[str]) -> None:
    assert list(compare(fact)) == said


@pytest.mark.parametrize(
    "fact",
    [
        Fact("file", "/etc/a", "aa 600 root", "aa 600 root"),
        Fact("floor", "vm.x", "10", "1000"),
        # iscsid is started by its socket where somebody uses it.
        Fact("unit", "iscsid.service", "inactive  enabled", "active  enabled"),
        # What is in /run is gone with the next boot, and systemd itself writes there.
        Fact("unit", "docker.service", "active  enabled", "active /run/systemd/system.control/d.conf enabled"),
        Fact("folder", "/etc/d", "none", "none"),
    ],
)
def test_what_is_as_it_was_is_not_mentioned(fact: Fact) -> None:
    assert list(compare(fact)) == []


def test_a_list_that_is_not_the_one_of_the_state_is_drift_and_what_it_says_is_compared_all_the_same() -> None:
    found = {"docker": Listed("ffff", (Fact("file", "/etc/a", "aa 600 root", "none"),))}
    assert list(differences(paved(docker="eeee"), found)) == [
        "/var/lib/seedbed/installed/docker changed, so what it says that the step docker has installed is not to be believed",
        "/etc/a is gone",
    ]


def test_a_list_that_is_gone_is_drift() -> None:
    (said,) = differences(paved(base="eeee"), {})
    assert said.startswith("/var/lib/seedbed/installed/base is gone")


def test_a_machine_without_lists_in_the_state_is_not_compared_by_what_it_says_of_itself() -> None:
    found = {"docker": Listed("ffff", (Fact("file", "/etc/a", "aa 600 root", "none"),))}
    assert list(differences(paved(docker=None), found)) == []


def test_the_same_of_two_steps_is_said_once() -> None:
    fact = Fact("package", "curl", "installed 1", "installed 2")
    found = {"base": Listed("aa", (fact,)), "docker": Listed("bb", (fact,))}
    assert list(differences(paved(base="aa", docker="bb"), found)) == ["package curl is 2, not 1"]


@pytest.mark.parametrize("printed", ["", "list base aa\n", "nonsense\nend\n", "list base \x1b[2J\nend\n"])
def test_an_answer_that_is_cut_short_or_is_something_else_is_no_answer(printed: str) -> None:
    with pytest.raises(GarbledError):
        parse(printed)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder in place of a machine, which has one list."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/a.conf").write_text("one\n")
    listed = tmp_path / "lists" / "thing"
    listed.parent.mkdir()
    digest = hashlib.sha256(b"one\n").hexdigest()
    owner = (tmp_path / "etc/a.conf").owner()
    listed.write_text(
        f"file {tmp_path}/etc/a.conf {digest} 644 {owner}\nfile {tmp_path}/etc/b.conf none\nfolder {tmp_path}/etc a.conf\n"
    )
    return tmp_path


def looked_at(host: Path) -> dict[str, Listed]:
    """What the script that is sent to machines prints where these lists are."""
    script = session.text("drift", {"NODE": "agent-a-1"}, SCRIPTS / "common.sh", machine.LOOK)
    done = subprocess.run(
        ["bash", "-s"], input=script.replace(machine.LISTS, f"{host}/lists"), cwd=host,
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    assert done.stderr == ""
    return parse(done.stdout)


def test_the_script_finds_what_differs_from_the_lists_and_writes_nothing(host: Path) -> None:
    digest = hashlib.sha256((host / "lists/thing").read_bytes()).hexdigest()[:32]
    assert list(differences(paved(thing=digest), looked_at(host))) == []
    (host / "etc/a.conf").write_text("two\n")
    (host / "etc/b.conf").write_text("new\n")
    before = {path: path.stat() for path in host.rglob("*")}
    assert list(differences(paved(thing=digest), looked_at(host))) == [
        f"{host}/etc/a.conf changed",
        f"{host}/etc/b.conf is there",
        f"{host}/etc/b.conf was added",
    ]
    after = {path: path.stat() for path in host.rglob("*")}
    assert [(p, s.st_mtime_ns, s.st_ctime_ns) for p, s in before.items()] == [
        (p, s.st_mtime_ns, s.st_ctime_ns) for p, s in after.items()
    ]


def test_the_script_is_one_that_bash_accepts_and_has_no_command_that_writes() -> None:
    subprocess.run(["bash", "-n", str(machine.LOOK)], check=True, timeout=10, env=dict(os.environ))
    text = machine.LOOK.read_text()
    assert not any(word in text for word in ("put ", ">>", "mktemp", "<<<"))
