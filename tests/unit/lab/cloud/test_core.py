import json
import stat
import threading
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab.cloud.api import ApiError, Reply, Request
from lab.cloud.core import NO_DELAYS, Cloud, Route, dispatch
from lab.cloud.limits import Limits, Meter
from lab.cloud.paper import PaperHypervisor
from lab.cloud.store import Store


def make(file: Path | None = None) -> Cloud:
    return Cloud(Store(file), PaperHypervisor(), IPv4Network("10.95.7.0/24"), NO_DELAYS, log=lambda line: None)


def test_a_change_is_written_when_it_is_left_and_only_for_the_owner(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    cloud = make(file)
    with cloud.changing():
        cloud.store.add("boxes", 1, {"id": 1})
        with cloud.changing():
            pass
        assert not file.exists()
    assert json.loads(file.read_text())["objects"] == {"boxes": {"1": {"id": 1}}}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_change_is_written_though_it_ends_in_an_error(tmp_path: Path) -> None:
    cloud = make(tmp_path / "state.json")
    with pytest.raises(RuntimeError):
        _add_and_fail(cloud)
    assert make(tmp_path / "state.json").find("boxes", 1) == {"id": 1}


def _add_and_fail(cloud: Cloud) -> None:
    with cloud.changing():
        cloud.store.add("boxes", 1, {"id": 1})
        raise RuntimeError


def test_nothing_is_written_where_nothing_changed(tmp_path: Path) -> None:
    cloud = make(tmp_path / "state.json")
    with cloud.changing():
        cloud.store.add("boxes", 1, {"id": 1})
    assert cloud.store.save() is False
    cloud.store.all("boxes")[0]["id"] = 2
    assert cloud.store.save() is True


def test_a_path_without_braces_comes_before_one_with_them() -> None:
    def handler(text: str) -> Route:
        pattern = "/v2/boxes/{id}" if text == "one" else "/v2/boxes/all"
        return Route("GET", pattern, lambda request, cloud: Reply(200, {"was": text, **request.params}))

    routes = [handler("one"), handler("all")]
    assert dispatch(routes, Request("GET", "/v2/boxes/all"), make()).body == {"was": "all"}
    assert dispatch(routes, Request("GET", "/v2/boxes/a%2Fb"), make()).body == {"was": "one", "id": "a/b"}
    with pytest.raises(ApiError, match="404"):
        dispatch(routes, Request("GET", "/v2/boxes/a/b"), make())


def test_reconciliation_follows_every_change_and_one_during_it_too() -> None:
    cloud, seen = make(), list[int]()

    def reconcile(cloud: Cloud) -> None:
        with cloud.changing():
            seen.append(len(cloud.store.all("boxes")))
            if seen[-1] == 1:
                cloud.store.add("boxes", 2, {"id": 2})

    cloud.reconcilers = [reconcile]
    with cloud.changing():
        cloud.store.add("boxes", 1, {"id": 1})
    assert cloud.wait_idle()
    assert seen[-1] == 2


def test_a_reconciliation_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.cloud.core._RETRY_SECONDS", 0.0)
    cloud, tries = make(), list[int]()

    def reconcile(cloud: Cloud) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError

    cloud.reconcilers = [reconcile]
    cloud.reconcile_soon()
    assert cloud.wait_idle()
    assert len(tries) == 3


def test_an_action_ends_with_its_work_and_errs_with_it() -> None:
    cloud, go = make(), threading.Event()
    region = {"slug": "fra1"}

    def fail() -> None:
        raise RuntimeError

    good = cloud.act("a", "droplet", 1, region, lambda: go.wait(10) and None)
    bad = cloud.act("b", "droplet", 2, region, fail)
    assert cloud.pending("droplet", 1)
    go.set()
    assert cloud.wait_idle()
    assert (good["status"], bad["status"]) == ("completed", "errored")
    assert not cloud.pending("droplet", 1)


def test_calls_for_one_machine_come_one_after_another_while_others_go_on() -> None:
    cloud, order = make(), list[str]()
    with cloud.machine(1):
        cloud.later(lambda: _note(cloud, 1, order))
        other = threading.Thread(target=_note, args=(cloud, 2, order))
        other.start()
        other.join(10)
        order.append("first")
    assert cloud.wait_idle()
    assert order == ["2", "first", "1"]


def _note(cloud: Cloud, machine: int, order: list[str]) -> None:
    with cloud.machine(machine):
        order.append(str(machine))


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class TestMeter:
    def test_a_burst_is_over_after_a_minute(self) -> None:
        clock = Clock()
        meter = Meter(Limits(hour=100, minute=2), clock)
        meter.count("a")
        clock.now += 10
        meter.count("a")
        with pytest.raises(ApiError) as caught:
            meter.count("a")
        assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "50")
        assert meter.count("b")["ratelimit-remaining"] == "99"
        clock.now += 50
        assert meter.count("a")["ratelimit-remaining"] == "97"

    def test_an_hours_quota_comes_back_with_its_oldest_request(self) -> None:
        clock = Clock()
        meter = Meter(Limits(hour=2, minute=100), clock)
        first = meter.count("a")
        clock.now += 600
        meter.count("a")
        with pytest.raises(ApiError) as caught:
            meter.count("a")
        assert caught.value.headers["Retry-After"] == "3000"
        assert caught.value.headers["ratelimit-reset"] == first["ratelimit-reset"] == str(1_003_600)
        clock.now += 3000
        assert meter.count("a")["ratelimit-remaining"] == "0"
