"""What a step says that it has installed: the list stays on the machine, and its digest is told."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from components.pave import steps
from components.remote.script import LIBRARY, source

PAVE = """
pave() {
  printf 'one\\n' | put ROOT/etc/a.conf 0600 || true
  echo two | put ROOT/etc/conf.d/b.conf || true
  note folder ROOT/etc/conf.d
  note floor some.setting 5
}
prove() { :; }
"""


def step(root: Path, body: str = PAVE, name: str = "thing") -> subprocess.CompletedProcess[str]:
    """A step of this body, whose machine is the folder."""
    text = source(LIBRARY, steps.SCRIPTS / "common.sh") + body + "\nmain\n"
    text = text.replace("ROOT", str(root)).replace("/var/lib/", f"{root}/var/lib/").replace("/run/", f"{root}/run/")
    (root / "run").mkdir(exist_ok=True)
    head = f"set -Eeuo pipefail\nNODE=a-1 STEP={name} DIGEST=0\n"
    return subprocess.run(
        ["bash", "-s"], input=head + text, capture_output=True, text=True, check=False, timeout=20, cwd=root
    )


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return tmp_path / "var/lib/seedbed/installed/thing"


def test_what_is_put_is_on_the_list_with_its_content_mode_and_owner(tmp_path: Path, listed: Path) -> None:
    done = step(tmp_path)
    assert done.returncode == 0, done.stderr
    owner = (tmp_path / "etc/a.conf").owner()
    one, two = (hashlib.sha256(text.encode()).hexdigest() for text in ("one\n", "two\n"))
    assert listed.read_text().splitlines() == [
        f"file {tmp_path}/etc/a.conf {one} 600 {owner}",
        f"file {tmp_path}/etc/conf.d/b.conf {two} 644 {owner}",
        "floor some.setting 5",
        f"folder {tmp_path}/etc/conf.d b.conf",
    ]
    assert listed.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "run/seedbed.notes").exists()


def test_the_lists_digest_is_told_and_told_again_when_the_step_runs_once_more(tmp_path: Path, listed: Path) -> None:
    first, second = step(tmp_path), step(tmp_path)
    digest = hashlib.sha256(listed.read_bytes()).hexdigest()[:32]
    told = {"machine": "a-1", "step": "thing", "installed": digest}
    assert json.loads(first.stdout) == told | {"result": "paved"}
    assert json.loads(second.stdout) == told | {"result": "already paved"}


def test_a_step_that_was_interrupted_lists_all_of_it_when_it_runs_again(tmp_path: Path, listed: Path) -> None:
    assert step(tmp_path, PAVE + "prove() { false; }\n").returncode == 1
    assert not listed.exists()
    assert step(tmp_path).returncode == 0
    assert [line.split()[0] for line in listed.read_text().splitlines()] == ["file", "file", "floor", "folder"]


def test_a_step_that_only_looks_leaves_no_list(tmp_path: Path) -> None:
    done = step(tmp_path, "prove() { :; }\n")
    assert json.loads(done.stdout) == {"machine": "a-1", "step": "thing", "result": "ready"}
    assert not (tmp_path / "var").exists()


def test_what_is_not_there_is_said_to_be_none_and_ends_nothing(tmp_path: Path) -> None:
    facts = ("file /not/there", "folder /not/there", "package not-there", "sysctl not.there", "mount /not/there")
    notes = "\n".join(f"note {fact}" for fact in facts)
    done = step(tmp_path, f"pave() {{\n{notes}\n}}\nprove() {{ :; }}\n")
    assert done.returncode == 0, done.stderr
    listed = (tmp_path / "var/lib/seedbed/installed/thing").read_text().splitlines()
    assert listed == sorted(f"{fact} none" for fact in facts)


@pytest.mark.parametrize("script", sorted(steps.SCRIPTS.glob("*.sh")), ids=lambda script: script.name)
def test_units_are_enabled_and_files_written_by_what_notes_it(script: Path) -> None:
    """But for lines that are added to files which others write as well."""
    text = script.read_text()
    assert text.count("systemctl enable") == (1 if script.name == "common.sh" else 0)
    written = {line.rpartition(">")[2].split()[0] for line in text.splitlines() if re.search(r">\s*\"?/etc", line)}
    assert written <= {"/etc/hosts", "/etc/fstab"}
