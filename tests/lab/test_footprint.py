"""`down` leaves the machine as it was, whatever state the lab was in."""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import cgroups, network
from lab.lab import Lab, down
from lab.spec import LabSpec
from tests.lab.conftest import host_specs, new_spec
from tests.lab.footprint import footprint, left_by
from tools.progress import Progress


@pytest.fixture
def spec() -> Iterator[LabSpec]:
    spec = new_spec()
    yield spec
    down(spec.name, spec.directory, Progress())


def make(spec: LabSpec) -> Lab:
    return Lab.ensure(spec, host_specs(spec.subnet, ["one-1", "two-1"]), Progress())


def test_down_leaves_nothing_and_can_be_repeated(spec: LabSpec) -> None:
    before = footprint()
    lab = make(spec)
    lab.wait_ssh("one-1")
    lab.partition("one-1", "two-1")
    assert left_by(spec.name, before, footprint())
    lab.down(Progress())
    assert left_by(spec.name, before, footprint()) == set()
    assert not spec.directory.exists()
    lab.down(Progress())
    assert left_by(spec.name, before, footprint()) == set()


def test_two_that_bring_up_the_same_lab_at_once_start_each_host_once(spec: LabSpec) -> None:
    wanted = host_specs(spec.subnet, ["one-1"])
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(Lab.ensure, spec, wanted, Progress()) for _ in range(3)]
        labs = [run.result(timeout=100) for run in runs]
    assert len(cgroups.processes([cgroups.supervisor_group(spec.name, "one-1")])) == 1
    assert [host.name for host in labs[0].status()] == ["one-1"]


def test_down_removes_a_crashed_lab_without_its_folder(spec: LabSpec) -> None:
    before = footprint()
    lab = make(spec)
    inside = subprocess.Popen(network.run_in(spec.internet_netns, "sleep", "600"))
    lab.freeze("two-1")
    supervisor = cgroups.supervisor_of(spec.name, "one-1")
    assert supervisor
    subprocess.run(["kill", "-9", str(supervisor)], check=True)
    shutil.rmtree(spec.directory)
    down(spec.name, None, Progress())
    assert inside.wait(timeout=10) != 0
    assert left_by(spec.name, before, footprint()) == set()


def test_down_removes_a_half_made_lab_and_keeps_what_others_put_in_its_folder(spec: LabSpec) -> None:
    before = footprint()
    Lab.ensure(spec, [], Progress())
    (spec.directory / "hosts" / "half-1" / "upper").mkdir(parents=True)
    (spec.directory / "identity.json").write_text("{}")
    subprocess.run(["ip", "link", "delete", spec.bridge], check=True, timeout=10)
    down(spec.name, spec.directory, Progress())
    assert left_by(spec.name, before, footprint()) == set()
    assert [path.name for path in spec.directory.iterdir()] == ["identity.json"]
    shutil.rmtree(spec.directory)
