"""What is changed on the machine is put back, and what somebody else changed since is left."""

import json
from pathlib import Path

import pytest

from lab import kernel, machine


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc/sys with Debian's own values."""
    monkeypatch.setattr(kernel, "PROC", tmp_path / "sys")
    monkeypatch.setattr(machine, "NOTES", tmp_path / "run")
    (tmp_path / "run").mkdir()
    for name, value in {
        "vm/overcommit_memory": "0",
        "kernel/panic": "0",
        "net/ipv4/ip_forward": "1",
        "fs/inotify/max_user_instances": "128",
        "fs/inotify/max_user_watches": "999999999",
    }.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return tmp_path / "sys"


def test_settings_are_raised_and_put_back(proc: Path) -> None:
    before = {path: path.read_text().strip() for path in proc.rglob("*") if path.is_file()}
    kernel.raise_all()
    assert (proc / "vm/overcommit_memory").read_text() == "1"
    assert (proc / "fs/inotify/max_user_instances").read_text() == "8192"
    kernel.restore_all()
    assert {path: path.read_text().strip() for path in before} == before


def test_what_is_high_enough_is_not_lowered(proc: Path) -> None:
    kernel.raise_all()
    assert (proc / "fs/inotify/max_user_watches").read_text() == "999999999\n"


def test_a_second_lab_does_not_take_the_raised_values_for_the_machines_own(proc: Path) -> None:
    kernel.raise_all()
    kernel.raise_all()
    kernel.restore_all()
    assert (proc / "kernel/panic").read_text() == "0"


def test_what_somebody_else_set_since_is_left(proc: Path) -> None:
    kernel.raise_all()
    (proc / "kernel/panic").write_text("30")
    kernel.restore_all()
    assert (proc / "kernel/panic").read_text() == "30"


def test_originals_are_noted_before_they_are_overwritten(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_: Path, __: str) -> int:
        raise KeyboardInterrupt

    real = Path.write_text
    monkeypatch.setattr(Path, "write_text", lambda path, text: (killed if proc in path.parents else real)(path, text))
    with pytest.raises(KeyboardInterrupt):
        kernel.raise_all()
    assert json.loads((machine.NOTES / "sysctls.json").read_text()) == {"vm.overcommit_memory": ["0", "1"]}
