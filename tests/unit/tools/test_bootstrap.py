"""tools/bootstrap.sh with a Python, a uv and an apt-get that only write down how they were called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "tools" / "bootstrap.sh"

PYTHON = """#!/bin/sh
echo "python $*" >> {log}
case "$*" in
*version_info*'<'*) exit 0 ;;
*'import ensurepip'*) test -e {root}/ensurepip ;;
*version_info*) echo python3.11-venv ;;
*python_version*) echo 3.11.2 ;;
*'-m venv'*)
  mkdir -p .venv/bin
  cp "$0" .venv/bin/python
  echo 'version = 3.11.2' > .venv/pyvenv.cfg ;;
*'-m pip install'*bootstrap.txt*)
  printf '#!/bin/sh\\necho "uv $* certs=$UV_SYSTEM_CERTS" >> {log}\\ntest ! -e {root}/uv-fails\\n' > .venv/bin/uv
  chmod +x .venv/bin/uv ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "my clone"
    (folder / "tools").mkdir(parents=True)
    (folder / "requirements").mkdir()
    shutil.copy(SCRIPT, folder / "tools" / "bootstrap.sh")
    for name in ("bootstrap.txt", "dev.txt"):
        (folder / "requirements" / name).write_text(f"{name}\n")
    (tmp_path / "ensurepip").touch()
    fake(tmp_path, "python3", PYTHON.format(log=tmp_path / "log", root=tmp_path))
    fake(tmp_path, "apt-get", f'#!/bin/sh\necho "apt-get $*" >> {tmp_path}/log\ntouch {tmp_path}/ensurepip\n')
    return folder


def fake(root: Path, name: str, text: str) -> None:
    (root / "bin").mkdir(exist_ok=True)
    (root / "bin" / name).write_text(text)
    (root / "bin" / name).chmod(0o755)


def bootstrap(clone: Path, cwd: str = "/") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", str(clone / "tools" / "bootstrap.sh")],
        cwd=cwd,
        env={"PATH": f"{clone.parent / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )


def calls(clone: Path, word: str) -> list[str]:
    log = clone.parent / "log"
    return [line for line in log.read_text().splitlines() if word in line] if log.exists() else []


def test_a_fresh_clone_gets_its_environment_and_stdout_stays_empty(clone: Path):
    done = bootstrap(clone)

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "Python environment .venv of" in done.stderr
    assert calls(clone, "uv pip sync") == [
        "uv pip sync --quiet --python .venv/bin/python --require-hashes requirements/dev.txt certs=true"
    ]
    assert all("--require-hashes" in call for call in calls(clone, "-m pip install"))
    assert calls(clone, "apt-get") == []


def test_nothing_is_run_where_nothing_changed(clone: Path):
    bootstrap(clone)
    (clone.parent / "log").unlink()

    done = bootstrap(clone)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert calls(clone, "") == []


def test_a_changed_lock_is_installed_into_the_same_environment(clone: Path):
    bootstrap(clone)
    (clone / "requirements" / "dev.txt").write_text("more\n")

    assert bootstrap(clone).returncode == 0
    assert len(calls(clone, "-m venv")) == 1
    assert len(calls(clone, "uv pip sync")) == 2


def test_an_environment_whose_python_is_gone_is_made_anew(clone: Path):
    bootstrap(clone)
    (clone / ".venv" / "bin" / "python").unlink()

    assert bootstrap(clone).returncode == 0
    assert len(calls(clone, "-m venv")) == 2


def test_where_uv_finds_no_packages_pip_takes_over(clone: Path):
    (clone.parent / "uv-fails").touch()

    done = bootstrap(clone)

    assert done.returncode == 0
    assert "pip, which has a configuration of its own, takes over" in done.stderr
    assert len(calls(clone, "requirements/dev.txt")) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_a_debian_without_the_venv_package_gets_it_and_is_told(clone: Path):
    (clone.parent / "ensurepip").unlink()

    done = bootstrap(clone)

    assert done.returncode == 0, done.stderr
    assert "Debian package python3.11-venv …" in done.stderr
    assert calls(clone, "apt-get")[0].endswith("install -q -y --no-install-recommends python3.11-venv")


def test_a_machine_without_python_is_told_what_it_needs(clone: Path, tmp_path: Path):
    (tmp_path / "bin" / "python3").unlink()
    for name in ("dirname", "cat", "sha256sum", "mkdir", "flock", "sh"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run(
        ["/bin/sh", str(clone / "tools" / "bootstrap.sh")],
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode != 0
    assert done.stderr.startswith("error: no Python of at least 3.11 on PATH")
