"""Names and subnets belong to the lab that claimed them first."""

import json
import threading
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab import LabError, machine, shell
from lab.spec import LabSpec

DEV = LabSpec("dev", Path("/labs/dev"), IPv4Network("10.77.0.0/24"), "ssh-ed25519 AAAA")


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "NOTES", tmp_path / "run")
    routes = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
        {"dst": "10.0.0.0/8", "dev": "tun0"},
        {"dst": "10.77.0.0/24", "dev": "sb-dev"},
    ]
    monkeypatch.setattr(shell, "run", lambda *_: json.dumps(routes))
    return tmp_path / "run"


def test_a_lab_may_claim_its_own_name_again() -> None:
    machine.claim(DEV)
    machine.claim(DEV)
    assert machine.claims() == [machine.Claim("dev", DEV.directory, DEV.subnet)]


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (replace(DEV, directory=Path("/labs/mine")), "'dev' of this machine belongs to /labs/dev.*seedbed lab down"),
        (replace(DEV, subnet=IPv4Network("10.78.0.0/24")), r"runs with subnet 10\.77\.0\.0/24"),
        (replace(DEV, name="two", directory=Path("/labs/two")), "belongs to lab 'dev' in /labs/dev"),
        (replace(DEV, name="two", subnet=IPv4Network("192.0.2.0/24")), r"192\.0\.2\.0/24, which .* by eth0"),
    ],
)
def test_what_is_taken_is_refused_with_its_owner_and_the_remedy(other: LabSpec, complaint: str) -> None:
    machine.claim(DEV)
    with pytest.raises(LabError, match=complaint):
        machine.claim(other)
    assert [claim.name for claim in machine.claims()] == ["dev"]


def test_a_released_name_is_free_and_the_last_release_says_so() -> None:
    machine.claim(DEV)
    machine.claim(replace(DEV, name="two", directory=Path("/labs/two"), subnet=IPv4Network("10.79.0.0/24")))
    assert machine.release("dev") is False
    machine.claim(replace(DEV, directory=Path("/labs/mine")))
    assert machine.release("dev") is False
    assert machine.release("two") is True


def test_a_half_written_claim_owns_nothing(notes: Path) -> None:
    (notes / "labs").mkdir(parents=True)
    (notes / "labs" / "torn.json").write_text('{"direc')
    assert machine.claims() == []


def test_who_waited_for_a_lock_that_went_with_the_last_lab_locks_anew() -> None:
    entered = threading.Event()

    def second() -> None:
        with machine.locked("dev"):
            entered.set()

    with machine.locked("dev"):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not entered.wait(0.1)
        machine.forget()
    waiting.join(5)
    assert entered.is_set()
    assert (machine.NOTES / "dev.lock").exists()


def test_a_machine_that_cannot_have_a_lab_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    with pytest.raises(LabError, match=r"needs root.*sudo"):
        machine.check_able()
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(LabError, match=r"needs Linux.*Darwin"):
        machine.check_able()
