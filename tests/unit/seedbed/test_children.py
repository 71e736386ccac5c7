import subprocess
import sys

import pytest

from seedbed import children
from seedbed.graph import Job, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds its children in /proc")

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def started():
    """Starts programs as a build or a service is started; none outlives the test."""
    processes = []

    def start(**options):
        processes.append(subprocess.Popen(SLEEP, start_new_session=True, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_builds_end_and_services_stay(started, monkeypatch):
    monkeypatch.setenv(children.MARK, "")
    children.mark()
    build, service = started(), started(env={"PATH": "/usr/bin"})
    children.end()
    assert build.wait(10) < 0
    assert service.poll() is None


def test_an_interrupt_of_the_jobs_ends_what_they_run(started, monkeypatch):
    monkeypatch.setenv(children.MARK, "")
    interrupted = []

    def build(_):
        process = started()
        interrupted.append(process)
        return process.wait(30)

    def interrupt(*_, **__):
        while not interrupted:
            pass
        raise KeyboardInterrupt

    monkeypatch.setattr("seedbed.graph.wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run([Job("build", build)])
    assert interrupted[0].wait(10) < 0
