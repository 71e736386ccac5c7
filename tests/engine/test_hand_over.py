"""A volume and an address go from one generation of a machine to the next, by the engine and a cloud on paper.

What taking a machine out of the cluster means is the lab's business: here it is noted when it was asked for.
"""

import copy
import subprocess
from collections.abc import Iterator

import pytest

from lab.cloud.spaces import Spaces
from tests.engine.conformance.harness import Stack
from tests.engine.metal import NAME, Metal, changes, errors, metal, small

VOLUME, HOLDER = f"{NAME}-data-a", f"{NAME}-data-a-holder"


@pytest.fixture(scope="module")
def made(empty_stack: Stack, spaces: Spaces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metal]:
    """A stack that is there; each test leaves it with its volume in the one generation of agent-a."""
    settings = small()
    settings["seedbed:digitalocean"]["snapshots"]["bucket"] = "seedbed-hand-over"
    with metal(empty_stack, tmp_path_factory.mktemp("hand-over"), settings, spaces.environment()) as stack:
        stack.up()
        yield stack


@pytest.fixture
def stack(made: Metal) -> Metal:
    """With nothing removed yet."""
    made.removals.clear()
    return made


def generation(stack: Metal) -> int:
    """Of agent-a, as it is now."""
    found: int = stack.settings["seedbed:pools"]["agents"]["machines"]["agent-a"].get("generation", 1)
    return found


def replace(stack: Metal) -> tuple[str, str]:
    """Writes the next generation into the settings, and that the one before leaves; their full names."""
    now = generation(stack)
    stack.settings["seedbed:pools"]["agents"]["machines"]["agent-a"]["generation"] = now + 1
    stack.settings["seedbed:retire"] = [f"agent-a-{now}"]
    return f"agent-a-{now}", f"agent-a-{now + 1}"


def holds(stack: Metal) -> list[str]:
    """The droplets that the volume is in."""
    names = {droplet["id"]: droplet["name"] for droplet in stack.listed("droplets")}
    (volume,) = stack.listed("volumes")
    return [names[id_] for id_ in volume["droplet_ids"]]


def test_a_volume_moves_when_its_machine_has_left_and_stays_as_long_as_that_cannot_be(stack: Metal) -> None:
    old, new = replace(stack)
    # The next one is not even made.
    stack.cloud.fault("status", "POST", "/v2/droplets$", status=422, times=None)
    stack.up(succeeds=False)
    assert (stack.removals, holds(stack)) == ([], [old])
    # The old one cannot leave.
    stack.cloud.request("DELETE", "/lab/faults")
    stack.refuses = f"{old} stays: a pod cannot go elsewhere"
    said = errors(stack.up(succeeds=False))
    assert "a pod cannot go elsewhere" in said[f"Stash {HOLDER}"]
    assert holds(stack) == [old]
    assert {old, new} <= {droplet["name"] for droplet in stack.listed("droplets")}
    # The same `up` goes on from there.
    stack.refuses = ""
    stack.up()
    first, again = stack.removals
    # By the one server; with the volume still in the old machine, where it is unmounted.
    assert (first.leaving.login.machine, first.servers, first.volumes) == (old, ["server-a-1"], {VOLUME: [old]})
    assert first.leaving.mounts == ["/var/lib/longhorn"]
    assert not first.leaving.server
    # Its member asks once more, which finds it gone.
    assert (again.leaving.login, again.volumes) == (first.leaving.login, {VOLUME: [new]})
    assert holds(stack) == [new]
    (address,) = stack.listed("reserved_ips")
    assert address["droplet"]["name"] == new
    assert {droplet["name"] for droplet in stack.listed("droplets")} == {new, "server-a-1"}
    assert changes(stack.preview()) == {}


def test_a_volume_whose_protection_was_taken_away_is_not_detached_from_a_machine_that_stays(stack: Metal) -> None:
    kept = copy.deepcopy(stack.settings)
    (urn,) = [r["urn"] for r in stack.stack.export()["resources"] if r["type"].endswith(":Volume")]
    command = [stack.stack.pulumi, "state", "unprotect", urn, "--yes", "--stack", "test"]
    subprocess.run(command, cwd=stack.stack.folder, env=stack.stack.environment, check=True, capture_output=True)
    stack.settings["seedbed:digitalocean"]["volumes"].clear()
    try:
        said = errors(stack.up(succeeds=False))
        machine = f"agent-a-{generation(stack)}"
        assert f"would be detached from {machine}, which stays" in said[f"VolumeAttachment {VOLUME}"]
        assert holds(stack) == [machine]
    finally:
        stack.settings = kept
        stack.up()
