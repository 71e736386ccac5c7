"""What goes wrong with machines while they are paved: `up` ends in time, says where, and the same `up` goes on later.

The bounds are those of docs/reference/timeouts.md. One stack with one server serves all tests; each takes fresh agents.
"""

import random
import re
import threading

import pytest

from lab import stack_lab
from lab.internet import service
from lab.spec import HostSpec
from stacks.config import from_file
from tests.engine.harness import wait_until
from tests.lab.conftest import new_key, new_spec
from tests.lab.paving import (
    CONNECT_SECONDS,
    SCRIPTS_BOUND,
    STEP_BOUND,
    STEP_SECONDS,
    WAIT_BOUND,
    Ground,
    begun,
    created,
    failures,
)
from tests.lab.stacks import Stack
from tools.progress import Progress

SEED = 4
KILLS = 3


@pytest.fixture(scope="module")
def ground():
    """The lab with one server that no `up` has touched yet."""

    def change(config):
        del config["seedbed:machines"]["agent-a"]
        config["seedbed:timeouts"] = {"connect": CONNECT_SECONDS, "step": STEP_SECONDS}

    stack = Stack.make(new_spec().subnet, change)
    try:
        stack.seedbed("lab", "--stack", stack.name, "up", timeout=300)
        ground = Ground(stack)
        ground.pulumi("stack", "init")
        yield ground
    finally:
        stack.remove()


@pytest.fixture(scope="module")
def paved(ground):
    """The same with its server Ready."""
    ground.completes()
    return ground


def test_a_server_that_loses_its_power_while_it_makes_the_cluster_is_finished_by_the_same_up(ground):
    run = ground.up()
    run.wait_for(r"server-a-1 k3s: starting k3s as server")
    ground.lab.cut("server-a-1")
    said = ground.fails(run, STEP_BOUND)
    assert failures(said).keys() == {"server-a-1-k3s"}
    assert created(said) == {f"server-a-1-{done}" for done in ("scripts", "wait", "base", "docker")}
    ground.lab.power_on("server-a-1")
    assert begun(ground.completes()) == {"server-a-1-k3s"}
    ground.is_whole()


def test_an_up_that_is_killed_at_any_step_says_what_to_do_and_the_next_one_finishes(paved):
    (agent,) = paved.agents("a", bare="a")
    chance = random.Random(SEED)
    # `wait` may be through before a run is killed that was in the step before it.
    steps = ["scripts", "base", "docker", "k3s"]
    for number, step in enumerate(sorted(chance.sample(steps, KILLS), key=steps.index)):
        delay = chance.uniform(0, 1.5)
        print(f"seed {SEED}: killed {delay:.2f} s into {agent}-{step}")
        run = paved.up()
        try:
            run.wait_for(rf"{agent}-{step} creating")
            threading.Event().wait(delay)
            run.kill()
            wait_until(lambda run=run: not run.survivors(), "the end of the killed run's other processes", 30)
        finally:
            run.end()
        locked = paved.up()
        said = paved.fails(locked, 0)
        assert "the stack is currently locked by 1 lock(s)" in said
        assert f"(pid {run.process.pid})" in said
        assert "pulumi cancel" in said
        way_out = (["cancel", "--yes"], ["refresh", "--yes", "--skip-preview", "--clear-pending-creates"])
        if number == 0:
            told = paved.stack.seedbed("up", paved.stack.name, check=False)
            assert told.returncode == 1
            for command in way_out:
                assert f"pulumi {' '.join(command)} --stack {paved.stack.name}" in told.stderr
        for command in way_out:
            paved.pulumi(*command)
    paved.completes()
    paved.is_whole()
    paved.pulumi("preview", "--expect-no-changes")


def test_a_machine_with_another_host_key_and_one_without_power_are_named_and_paved_later(paved):
    good, other, dark = paved.agents("a", "b", "c")
    address = from_file(paved.stack.name, paved.stack.root).machines["agent-b"].address
    paved.lab.remove_host(other)
    paved.lab.add_host(HostSpec(other, str(address), new_key()[0]), Progress())
    paved.lab.cut(dark)
    server = paved.main_pid("server-a-1", "k3s")
    for name in (good, other):
        paved.lab.wait_ready(name)

    said = paved.fails(paved.up(), max(SCRIPTS_BOUND, WAIT_BOUND, STEP_BOUND))
    assert failures(said).keys() == {f"{other}-scripts", f"{dark}-scripts"}
    assert "ssh: host key mismatch" in failures(said)[f"{other}-scripts"]
    assert "host key mismatch" not in failures(said)[f"{dark}-scripts"]
    paved.lab.ssh(other, "! ls /run/seedbed.lock /var/lib/seedbed")

    paved.lab.remove_host(other)
    paved.make_hosts()
    paved.lab.power_on(dark)
    again = paved.completes()
    assert f"{good}-wait" in created(said)
    assert not created(said) & begun(again)
    assert paved.main_pid("server-a-1", "k3s") == server
    paved.is_whole()


def test_machines_that_are_cut_frozen_or_cut_off_during_a_step_are_named_and_paved_later(paved):
    cut, frozen, apart = paved.agents("a", "b", "c", bare="ab")
    lab = paved.lab
    faults = {f"{cut}-base": lab.cut, f"{frozen}-docker": lab.freeze, f"{apart}-k3s": lab.partition}
    # Each machine shall come as far as its own fault, whichever of them is noticed first.
    run = paved.up("--continue-on-error")

    def strike(step, fault):
        run.wait_for(rf"{step} creating \(.*\) agent-\S+ \w+: ")
        fault(step.rpartition("-")[0])

    threads = [threading.Thread(target=strike, args=fault, daemon=True) for fault in faults.items()]
    for thread in threads:
        thread.start()
    said = paved.fails(run, 3 * STEP_BOUND)
    for thread in threads:
        thread.join(10)
    assert failures(said).keys() == faults.keys(), said

    lab.power_on(cut)
    lab.thaw(frozen)
    lab.heal(apart)
    again = paved.completes()
    assert not created(said) & begun(again)
    assert faults.keys() <= created(again)
    paved.is_whole()


def test_a_k3s_with_a_wrong_checksum_is_not_installed_and_a_release_that_is_gone_is_named(paved):
    (agent,) = paved.agents("a")
    digest_file = paved.stack.lab_folder / stack_lab.DIGEST_FILE
    right, wrong = digest_file.read_text(), "0" * 64
    digest_file.write_text(wrong)
    said = failures(paved.fails(paved.up(), STEP_BOUND * 4))[f"{agent}-k3s"]
    assert f"has sha256 {right.strip()} instead of {wrong}" in said
    assert "next: do not go on: find out which of the two is wrong" in said
    left = "ls /usr/local/bin/k3s* /etc/systemd/system/k3s-agent.service /etc/rancher 2>/dev/null; true"
    assert paved.lab.ssh(agent, left).stdout == ""

    digest_file.write_text(right)
    service.stop(paved.stack.lab_folder)
    said = failures(paved.fails(paved.up(), STEP_BOUND))[f"{agent}-k3s"]
    assert re.search(r"https://github.com/k3s-io/k3s/releases/download/\S+/k3s could not be downloaded", said)
    assert "next: check that the machine reaches it, or set k3s.releaseUrl to a mirror" in said

    paved.stack.seedbed("lab", "--stack", paved.stack.name, "up", timeout=120)
    assert begun(paved.completes()) == {f"{agent}-k3s"}
    paved.is_whole()
