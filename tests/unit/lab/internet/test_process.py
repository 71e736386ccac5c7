import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import LabError
from lab.internet import process

SLEEP = "import time; print('here', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);print('here', flush=True); time.sleep(60)"
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = process.services_dir(tmp_path)
    yield folder
    process.stop(folder, "svc", marker=["service", str(folder)])


def spawn(folder: Path, code: str = SLEEP) -> process.Daemon:
    argv = [sys.executable, "-c", code, "service", str(folder)]
    return process.spawn(folder, "svc", argv, {"A": "b"}, folder, "print-1")


def test_a_service_runs_in_a_session_of_its_own_and_is_known_by_its_pid_file(folder: Path) -> None:
    daemon = spawn(folder)
    assert process.running(folder, "svc") == daemon
    assert os.getsid(daemon.pid) == daemon.pid != os.getsid(0)
    assert json.loads((folder / "svc.json").read_text())["start_time"] == daemon.start_time


def test_a_stopped_service_is_gone_without_a_zombie(folder: Path) -> None:
    daemon = spawn(folder)
    assert process.stop(folder, "svc")
    assert not Path(f"/proc/{daemon.pid}").exists()
    assert process.running(folder, "svc") is None
    assert not process.stop(folder, "svc")


def test_one_that_ignores_the_request_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STOP_SECONDS", 0.2)
    daemon = spawn(folder, STUBBORN)
    while process.log_tail(folder, "svc") != "  | here":
        pass
    process.stop(folder, "svc")
    assert not Path(f"/proc/{daemon.pid}").exists()


def test_a_pid_that_was_given_to_another_process_is_not_touched(folder: Path) -> None:
    daemon = spawn(folder)
    file = folder / "svc.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "start_time": daemon.start_time - 1}))
    assert process.running(folder, "svc") is None
    assert not process.stop(folder, "svc")
    assert Path(f"/proc/{daemon.pid}").exists()


def test_one_whose_pid_was_never_noted_is_found_by_its_marker(folder: Path) -> None:
    daemon = spawn(folder)
    (folder / "svc.json").unlink()
    assert process.stop(folder, "svc", marker=["service", str(folder)])
    assert not Path(f"/proc/{daemon.pid}").exists()


def test_another_program_that_only_names_the_same_file_is_not_touched(folder: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", SLEEP, str(folder)], stdout=subprocess.DEVNULL)
    try:
        assert not process.stop(folder, "svc", marker=["service", str(folder)])
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"pid": 1}'])
def test_a_damaged_pid_file_is_as_good_as_none(folder: Path, text: str) -> None:
    (folder / "svc.json").write_text(text)
    assert process.running(folder, "svc") is None
    assert not process.stop(folder, "svc")
    assert not (folder / "svc.json").exists()


def test_a_program_that_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(LabError, match=r"svc: /none cannot be started: No such file"):
        process.spawn(folder, "svc", ["/none"], {}, folder, "")
