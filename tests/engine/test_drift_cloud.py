"""What `seedbed drift` finds at the cloud, against the state that the real engine has of the prod stack.

Other tests may have changed the same cloud, so the state is of a refresh, and what they have made besides is passed over.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from seedbed.digitalocean import Api
from seedbed.drift.cloud import BALANCER, DROPLET, FIREWALL, RECORD, VOLUME, Cloud
from seedbed.drift.state import Made, State, decrypter, read
from tests.engine.harness import wait_until
from tests.engine.reviewed import STACK, Deployed

TAG = f"seedbed-{STACK}"
TESTS = "of-this-test"

Found = dict[tuple[str | None, str], tuple[str, ...]]
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def state(prod: Deployed, tmp_path_factory: pytest.TempPathFactory) -> State:
    engine = prod.copy(tmp_path_factory.mktemp("drift")).engine
    engine.run("refresh", "--yes", "--skip-preview")
    exported = {"deployment": engine.stack_export()}
    return read(exported, decrypter(exported, engine.env))


@pytest.fixture
def look(prod: Deployed, state: State) -> Callable[[], Found]:
    """What differs, by kind and name, but for what another test may have made."""
    api = Api.of(prod.engine.env)
    assert api is not None

    def found() -> Found:
        seen = Cloud(api, state.made, TAG).look()
        assert [one for one in seen if one.problem] == []
        return {
            (one.kind, one.name): one.differences
            for one in seen
            if one.name == TESTS or "the state does not know it" not in "".join(one.differences)
        }

    return found


@pytest.fixture
def ask(prod: Deployed) -> Ask:
    return prod.cloud.request


def made(state: State, type_: str, name: str | None = None) -> Made:
    """The first of this type, or that of this name."""
    return next(one for one in state.made if one.type == type_ and name in (None, one.name))


def test_the_cloud_as_the_engine_made_it_has_not_drifted(state: State, look: Callable[[], Found]) -> None:
    assert {DROPLET, FIREWALL, BALANCER, VOLUME, RECORD} <= {one.type for one in state.made}
    assert look() == {}


def test_an_opened_firewall_is_named_with_what_it_lets_in(state: State, look: Callable[[], Found], ask: Ask) -> None:
    wall = made(state, FIREWALL, TAG)
    more = {"inbound_rules": [{"protocol": "tcp", "ports": "22", "sources": {"addresses": ["0.0.0.0/0"]}}]}
    with undone(lambda: ask("DELETE", f"/v2/firewalls/{wall.id}/rules", more)):
        ask("POST", f"/v2/firewalls/{wall.id}/rules", more)
        assert look() == {("firewall", TAG): ("lets in tcp 22 from 0.0.0.0/0",)}
    less = {"inbound_rules": ask("GET", f"/v2/firewalls/{wall.id}")["firewall"]["inbound_rules"][-1:]}
    with undone(lambda: ask("POST", f"/v2/firewalls/{wall.id}/rules", less)):
        ask("DELETE", f"/v2/firewalls/{wall.id}/rules", less)
        (said,) = look()["firewall", TAG]
        assert said.startswith("no longer lets in ")
    assert look() == {}


def test_one_more_firewall_at_the_stacks_machines_is_named(look: Callable[[], Found], ask: Ask) -> None:
    rule = {"protocol": "tcp", "ports": "all", "sources": {"addresses": ["0.0.0.0/0"]}}
    wall = ask("POST", "/v2/firewalls", {"name": TESTS, "tags": [TAG], "inbound_rules": [rule]})["firewall"]
    with undone(lambda: ask("DELETE", f"/v2/firewalls/{wall['id']}")):
        # The cloud's lists lag behind what was just made.
        wait_until(lambda: bool(look()), "the firewall to be listed")
        assert look() == {("firewall", TESTS): (f"is at {TAG}, and the state does not know it",)}


def test_a_droplet_with_the_stacks_tag_that_the_state_does_not_know_is_named(state: State, prod: Deployed) -> None:
    api = Api.of(prod.engine.env)
    assert api is not None
    droplet = made(state, DROPLET, "agent-b-1")
    seen = {(one.kind, one.name): one.differences for one in Cloud(api, without(state, droplet), TAG).look()}
    said = f"has the stack's tag {TAG}, and the state does not know it (ID {droplet.id})"
    assert seen["droplet", "agent-b-1"] == (said,)


def without(state: State, one: Made) -> list[Made]:
    return [other for other in state.made if other != one]


def test_a_machine_whose_droplet_is_off_or_has_lost_its_tag_has_drifted(
    state: State, look: Callable[[], Found], ask: Ask
) -> None:
    droplet = made(state, DROPLET, "agent-a-1")
    path = f"/v2/droplets/{droplet.id}/actions"
    tagged = {"resources": [{"resource_id": droplet.id, "resource_type": "droplet"}]}

    def status() -> str:
        return str(ask("GET", f"/v2/droplets/{droplet.id}")["droplet"]["status"])

    def put_back() -> None:
        ask("POST", path, {"type": "power_on"})
        wait_until(lambda: status() == "active", "the droplet to be on")
        ask("POST", f"/v2/tags/{TAG}/resources", tagged)

    with undone(put_back):
        ask("POST", path, {"type": "power_off"})
        wait_until(lambda: status() == "off", "the droplet to be off")
        ask("DELETE", f"/v2/tags/{TAG}/resources", tagged)
        off, tag = "its droplet's status is off, not active", f"its droplet's tag {TAG} is gone"
        assert look() == {(None, "agent-a-1"): (off, tag)}
    assert look() == {}


def test_what_the_load_balancer_passes_besides_is_named(state: State, look: Callable[[], Found], ask: Ask) -> None:
    path = f"/v2/load_balancers/{made(state, BALANCER).id}/forwarding_rules"
    way = {"entry_protocol": "tcp", "entry_port": 2222, "target_protocol": "tcp", "target_port": 22}
    with undone(lambda: ask("DELETE", path, {"forwarding_rules": [way]})):
        ask("POST", path, {"forwarding_rules": [way]})
        assert look() == {("load balancer", TAG): ("passes tcp 2222 to tcp 22",)}


def test_a_volume_that_is_not_where_it_should_be_is_named(state: State, look: Callable[[], Found], ask: Ask) -> None:
    volume = made(state, VOLUME)
    path = f"/v2/volumes/{volume.id}/actions"

    def holders() -> list[int]:
        found: list[int] = ask("GET", f"/v2/volumes/{volume.id}")["volume"]["droplet_ids"]
        return found

    (holder,) = holders()
    name = next(one.name for one in state.made if one.type == DROPLET and one.id == str(holder))

    def put_back() -> None:
        ask("POST", path, {"type": "attach", "droplet_id": holder})
        wait_until(lambda: holders() == [holder], "the volume to be attached")

    with undone(put_back):
        ask("POST", path, {"type": "detach", "droplet_id": holder})
        wait_until(lambda: not holders(), "the volume to be detached")
        assert look() == {("volume", volume.name): (f"is attached to none, not to {name}",)}
    assert look() == {}


def test_a_record_that_leads_elsewhere_is_named(state: State, look: Callable[[], Found], ask: Ask) -> None:
    record = made(state, RECORD)
    path, value = f"/v2/domains/{record.outputs['domain']}/records/{record.id}", record.outputs["value"]
    with undone(lambda: ask("PATCH", path, {"type": "A", "data": value})):
        ask("PATCH", path, {"type": "A", "data": "192.0.2.1"})
        assert look() == {("DNS record", record.name): (f"its value is 192.0.2.1, not {value}",)}


def test_a_thing_that_is_gone_is_named(state: State, prod: Deployed) -> None:
    api = Api.of(prod.engine.env)
    assert api is not None
    gone = [Made(type=DROPLET, name="agent-z-1", id="1", outputs={}), Made(type=FIREWALL, name="w", id="x", outputs={})]
    seen = {(one.kind, one.name): one.differences for one in Cloud(api, [*state.made, *gone], TAG).look()}
    assert seen[None, "agent-z-1"] == ("its droplet is gone",)
    assert seen["firewall", "w"] == ("is gone",)


@contextlib.contextmanager
def undone(put_back: Callable[[], object]) -> Iterator[None]:
    """What a test does to the cloud lasts no longer than it looks."""
    try:
        yield
    finally:
        put_back()
