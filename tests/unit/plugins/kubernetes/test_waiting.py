"""The language of `pulumi.com/waitFor`."""

import json
from typing import Any

import pytest

from lab.plugins.kubernetes.waiting import conditions
from lab.plugins.protocol import PluginError


def waiting(expression: str, **annotations: str) -> dict[str, Any]:
    return {"metadata": {"annotations": {"pulumi.com/waitFor": expression, **annotations}}}


def met(expression: str, live: dict[str, Any]) -> bool:
    return all(condition.met(live) for condition in conditions(waiting(expression)))


LIVE = {
    "spec": {"a.b": "x", "c-d": "y", "flag": True, "n": 3, "empty": ""},
    "status": {"phase": "Active", "parts": [{"ip": "1"}, {"ip": "2"}]},
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.missing}", False),
        ("jsonpath={.spec.empty}", False),
        ("jsonpath={.status.phase}=Active", True),
        ("jsonpath={.status.phase}=active", False),
        ("jsonpath={.spec.flag}=true", True),
        ("jsonpath={.spec.n}=3", True),
        (r"jsonpath={.spec.a\.b}=x", True),
        ("jsonpath={.spec['a.b']}=x", True),
        ("jsonpath={.spec.c-d}=y", True),
        ("jsonpath={.status.parts[1].ip}=2", True),
        ("jsonpath={.status.parts[-1].ip}=2", True),
        ("jsonpath={.status.parts[2].ip}", False),
        ("jsonpath={.status.parts[*].ip}", True),
        ("jsonpath={.status.parts[*].ip}=1", False),
    ],
)
def test_a_path_has_to_lead_to_something_or_to_one_certain_value(expression: str, expected: bool) -> None:
    assert met(expression, LIVE) is expected


@pytest.mark.parametrize(
    ("expression", "entry", "expected"),
    [
        ("condition=Ready", {"type": "Ready", "status": "True"}, True),
        ("condition=ready", {"type": "Ready", "status": "True"}, True),
        ("condition=Ready", {"type": "Ready", "status": "False"}, False),
        ("condition=Ready=False", {"type": "Ready", "status": "False"}, True),
        ("condition=Ready", {"type": "Synced", "status": "True"}, False),
        ("condition=Ready", {"type": "Ready", "status": "True", "observedGeneration": 1}, False),
        ("condition=Ready", {"type": "Ready", "status": "True", "observedGeneration": 2}, True),
    ],
)
def test_a_condition_has_to_have_its_status_for_the_objects_present_generation(
    expression: str, entry: dict[str, Any], expected: bool
) -> None:
    assert met(expression, {"metadata": {"generation": 2}, "status": {"conditions": [entry]}}) is expected
    assert not met(expression, {})


def test_all_of_a_list_have_to_hold() -> None:
    both = json.dumps(["jsonpath={.status.phase}=Active", "condition=Ready"])
    assert not met(both, LIVE)
    assert met(both, {**LIVE, "status": {**LIVE["status"], "conditions": [{"type": "Ready", "status": "True"}]}})


def test_nothing_is_waited_for_without_the_annotation_or_when_it_is_skipped() -> None:
    assert conditions({"metadata": {}}) == []
    assert conditions(waiting("condition=Ready", **{"pulumi.com/skipAwait": "true"})) == []


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("ready", 'expected a "jsonpath=" or "condition=" prefix, got "ready"'),
        ("jsonpath=.status", "cannot read the JSONPath expression"),
        ("jsonpath={.items[?(@.a)]}", "cannot read the JSONPath expression"),
        ("[]", "at least one condition"),
    ],
)
def test_what_cannot_be_read_is_an_error(expression: str, message: str) -> None:
    with pytest.raises(PluginError) as error:
        conditions(waiting(expression))
    assert message in str(error.value)
