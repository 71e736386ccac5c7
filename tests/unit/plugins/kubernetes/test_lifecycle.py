"""What is tried again, and for how long."""

import asyncio
from typing import Any

import pytest

from lab.plugins.kubernetes import lifecycle
from lab.plugins.kubernetes.cluster import ApiError, NoMatchError
from lab.plugins.kubernetes.lifecycle import Lifecycle, NotLiveError
from lab.plugins.kubernetes.objects import Object
from lab.plugins.kubernetes.settings import Settings
from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Severity

ITEM: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}}
MISSING = NoMatchError('no matches for kind "X" in version "v1"')


class FakeCluster:
    """Answers one after the other; an error is raised, and the last answer is given again and again."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, Any]] = []

    def _answer(self, what: str, given: Any) -> Any:
        self.asked.append((what, given))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def create(self, item: Object, manager: str) -> Any:
        return self._answer("create", manager)

    def apply(self, item: Object, manager: str, *, force: bool) -> Any:
        return self._answer("apply", (manager, force))

    def get(self, item: Object) -> Any:
        return self._answer("get", None)

    def delete(self, item: Object, propagation: str) -> Any:
        return self._answer("delete", propagation)


class Said:
    """What was logged, and the pauses that were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.messages: list[str] = []
        self.pauses: list[float] = []
        self._now = 0.0
        monkeypatch.setattr(lifecycle.asyncio, "sleep", self._sleep)

    async def __call__(self, severity: Severity, message: str, *, status: bool = False) -> None:
        self.messages.append(message)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    return Said(monkeypatch)


def of(cluster: FakeCluster, **settings: bool) -> Lifecycle:
    found = Lifecycle(Settings(**settings))
    found._cluster = cluster  # type: ignore[assignment]
    return found


def test_a_missing_kind_is_tried_for_at_the_official_times(said: Said) -> None:
    cluster = FakeCluster(MISSING)
    with pytest.raises(NoMatchError):
        asyncio.run(of(cluster).create(ITEM, "m", 0, said))
    assert said.pauses == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert said.messages[0] == f"Retry #0; creation failed: {MISSING}"
    assert len(cluster.asked) == 6


def test_a_timeout_that_the_next_pause_would_pass_ends_the_trying(said: Said) -> None:
    with pytest.raises(NoMatchError):
        asyncio.run(of(FakeCluster(MISSING)).create(ITEM, "m", 3, said))
    assert said.pauses == [1.0, 2.0]


def test_what_is_refused_is_not_tried_again_and_what_is_missing_may_come(said: Said) -> None:
    with pytest.raises(ApiError, match="denied"):
        asyncio.run(of(FakeCluster(ApiError(403, "Forbidden", "denied"))).create(ITEM, "m", 0, said))
    assert said.pauses == []
    late = FakeCluster(ApiError(404, "NotFound", 'namespaces "x" not found'), {"made": True})
    assert asyncio.run(of(late).create(ITEM, "m", 0, said)) == {"made": True}


def test_a_create_is_plain_and_common_and_an_upsert_the_resources_own(said: Said) -> None:
    plain, upsert, forced = (FakeCluster({}) for _ in range(3))
    asyncio.run(of(plain).create(ITEM, "m", 0, said))
    asyncio.run(of(upsert, upsert=True).create(ITEM, "m", 0, said))
    asyncio.run(of(forced, upsert=True, patch_force=True).create(ITEM, "m", 0, said))
    asked = [cluster.asked for cluster in (plain, upsert, forced)]
    assert asked == [[("create", "pulumi-kubernetes")], [("apply", ("m", False))], [("apply", ("m", True))]]


@pytest.mark.parametrize(
    ("annotation", "policy"),
    [("", "Foreground"), ("background", "Background"), ("orphan", "Orphan"), ("x", "Foreground")],
)
def test_the_annotation_says_what_becomes_of_what_the_object_owns(said: Said, annotation: str, policy: str) -> None:
    cluster = FakeCluster({}, ApiError(404, "NotFound", "gone"))
    inputs = {"metadata": {"annotations": {"pulumi.com/deletionPropagationPolicy": annotation}}}
    asyncio.run(of(cluster).delete(inputs, ITEM, 0, said))
    assert cluster.asked == [("delete", policy), ("get", None)]


def test_another_object_of_the_same_name_is_not_waited_for(said: Said) -> None:
    old = {**ITEM, "metadata": {"name": "n", "uid": "old"}}
    cluster = FakeCluster({}, old, {**ITEM, "metadata": {"name": "n", "uid": "new"}})
    asyncio.run(of(cluster).delete({}, old, 0, said))
    assert len(cluster.asked) == 3


def test_a_deletion_that_is_not_allowed_is_an_error_and_one_of_nothing_is_none(said: Said) -> None:
    with pytest.raises(PluginError, match="may not be deleted"):
        asyncio.run(of(FakeCluster(ApiError(403, "Forbidden", "may not be deleted"))).delete({}, ITEM, 0, said))
    for nothing in (MISSING, ApiError(404, "NotFound", "gone")):
        asyncio.run(of(FakeCluster(nothing)).delete({}, ITEM, 0, said))


def test_an_object_that_does_not_get_ready_is_kept_with_the_error(said: Said) -> None:
    annotations = {"pulumi.com/waitFor": "condition=Ready", "pulumi.com/timeoutSeconds": "1"}
    item = {**ITEM, "metadata": {"name": "n", "annotations": annotations}}
    with pytest.raises(NotLiveError, match="timed out waiting for the condition") as error:
        asyncio.run(of(FakeCluster({**ITEM, "status": {}})).create(item, "m", 0.05, said))
    assert error.value.live["status"] == {}
    assert said.messages == ["Waiting for condition=Ready"]
