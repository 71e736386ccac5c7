"""Hosts on cgroup v2 alone, as a Debian has it; where this machine has version 1 too, in a view without that.

The controllers are then version 1's, so that limits are not tried here: tests/unit/lab/test_cgroups.py has them.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab import cgroups
from lab.lab import down
from tests.lab.conftest import host_specs, new_spec
from tools.progress import Progress

VIEW = 'umount --recursive /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"'


def life() -> None:
    """The life of one host, told as JSON; runs in the view."""
    from lab.lab import Lab

    spec = new_spec()
    try:
        lab = Lab.ensure(spec, host_specs(spec.subnet, ["one-1"]), Progress())
        lab.wait_ready("one-1")
        told = {
            "unified": cgroups.unified(),
            "system": lab.ssh("one-1", "systemctl is-system-running --wait", check=False).stdout.strip(),
            "mounted": lab.ssh("one-1", "findmnt -no FSTYPE /sys/fs/cgroup").stdout.strip(),
            "init": lab.ssh("one-1", "grep ^0: /proc/1/cgroup").stdout.strip(),
            "in the root group": (cgroups.host_groups(spec.name, "one-1")[0] / "cgroup.procs").read_text(),
            "frozen": [lab.freeze("one-1"), lab.status()[0].state, lab.thaw("one-1"), lab.status()[0].state],
            "rebooted": lab.reboot("one-1"),
        }
        lab.wait_ssh("one-1")
        told["cut"] = [lab.cut("one-1"), lab.status()[0].state]
    finally:
        down(spec.name, spec.directory, Progress())
    told["left"] = [str(path) for path in Path("/sys/fs/cgroup/seedbed").glob(f"{spec.name}*")]
    print(json.dumps(told))


@pytest.mark.skipif(cgroups.unified(), reason="this machine has cgroup v2 alone: all lab tests are on it")
def test_a_host_lives_on_cgroup_v2_alone() -> None:
    script = "from tests.lab.test_cgroup2 import life; life()"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", VIEW, "sh", sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "unified": True,
        "system": "running",
        "mounted": "cgroup2",
        "init": "0::/init.scope",
        # With a process in it, no controller could be handed down to the host's services.
        "in the root group": "",
        "frozen": [True, "frozen", True, "running"],
        "rebooted": True,
        "cut": [True, "cut"],
        "left": [],
    }
