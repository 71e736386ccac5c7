"""How a step asks the package manager, which is a stand-in here."""

import subprocess

from components.pave.steps import SCRIPTS
from components.remote.script import LIBRARY, source

MANAGER = r"""
NODE=server-a-1 STEP=base
trap - ERR
dpkg-query() { printf 'not-installed'; }
apt-get() {
  echo "apt-get ${*: -2}" >>calls
  [ ! -e interrupted ] || case "$*" in *install*) echo 'E: dpkg was interrupted' >&2; return 100 ;; esac
}
dpkg() { echo "dpkg $1 $2" >>calls; rm interrupted; }
"""


def install(tmp_path) -> subprocess.CompletedProcess[str]:
    script = f"set -Eeuo pipefail\n{source(LIBRARY, SCRIPTS / 'common.sh')}\n{MANAGER}\ninstall_packages docker.io\n"
    return subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)


def test_an_installation_that_a_power_cut_interrupted_is_finished_first(tmp_path):
    (tmp_path / "interrupted").touch()
    done = install(tmp_path)
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[-3:] == [
        "dpkg --configure --pending",
        "apt-get Acquire::Retries=3 update",
        "apt-get --no-install-recommends docker.io",
    ]
    assert "E: dpkg was interrupted" in done.stderr


def test_a_package_manager_that_is_well_is_asked_once_and_says_nothing(tmp_path):
    done = install(tmp_path)
    assert done.returncode == 0, done.stderr
    assert [call for call in (tmp_path / "calls").read_text().splitlines() if "docker.io" in call] == [
        "apt-get --no-install-recommends docker.io"
    ]
    assert "dpkg" not in (tmp_path / "calls").read_text()
