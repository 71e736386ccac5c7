import subprocess
from pathlib import Path

import pytest

from tools import ToolError, debian
from tools.progress import Progress


@pytest.fixture
def dpkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A PATH of its own with a dpkg-query that knows two packages and an apt-get that writes down its arguments."""
    (tmp_path / "dpkg-query").write_text(
        "#!/bin/sh\n/bin/echo 'tar installed'\n/bin/echo 'gone config-files'\nexit 1\n"
    )
    (tmp_path / "apt-get").write_text(
        f'#!/bin/sh\n/bin/echo "$@" >> {tmp_path}/asked\ntest ! -e {tmp_path}/stale && exit 0\n'
        f'case "$*" in *update*) /bin/rm {tmp_path}/stale;; *) /bin/echo "E: no such package"; exit 100;; esac\n'
    )
    for name in ("dpkg-query", "apt-get"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(debian.os, "geteuid", lambda: 0)
    return tmp_path


def asked(dpkg: Path) -> list[str]:
    lines = (dpkg / "asked").read_text().splitlines() if (dpkg / "asked").exists() else []
    return [line.removeprefix("-o DPkg::Lock::Timeout=300 ") for line in lines]


def test_apt_is_not_asked_when_nothing_is_missing(dpkg: Path):
    debian.ensure_packages(["tar"], Progress())

    assert asked(dpkg) == []


def test_only_what_is_missing_is_installed(dpkg: Path):
    debian.ensure_packages(["tar", "gone", "never"], Progress())

    assert asked(dpkg) == ["install -q -y --no-install-recommends gone never"]


def test_stale_package_lists_are_renewed_once(dpkg: Path):
    (dpkg / "stale").touch()

    debian.ensure_packages(["never"], Progress())

    assert [line.split()[0] for line in asked(dpkg)] == ["install", "update", "install"]


def test_who_is_not_root_is_told_the_command(dpkg: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(debian.os, "geteuid", lambda: 1000)

    with pytest.raises(ToolError, match="sudo apt-get install --no-install-recommends never"):
        debian.ensure_packages(["never"], Progress())


def test_a_machine_without_apt_is_told_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ToolError, match="needs the Debian packages never"):
        debian.ensure_packages(["never"], Progress())


def test_the_real_dpkg_knows_what_is_installed():
    if subprocess.run(["sh", "-c", "command -v dpkg-query"], capture_output=True).returncode != 0:
        pytest.skip("no dpkg on this machine")

    assert debian.missing(["dpkg", "no-such-package-at-all"]) == ["no-such-package-at-all"]
