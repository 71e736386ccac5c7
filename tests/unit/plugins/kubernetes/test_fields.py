"""Who owns which fields."""

from typing import Any

from lab.plugins.kubernetes import fields

CREATED = {"manager": "pulumi-kubernetes", "operation": "Update", "fieldsV1": {"f:spec": {"f:a": {}}}}
APPLIED = {"manager": "mine", "operation": "Apply", "fieldsV1": {"f:spec": {"f:b": {}}}}
THEIRS = {"manager": "argocd-controller", "operation": "Apply", "fieldsV1": {"f:spec": {"f:c": {"f:d": {}}}}}
STATUS = {"manager": "kubectl", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}


def live(*entries: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries), "resourceVersion": "7"}, "spec": spec}


def test_what_was_created_becomes_the_managers_own() -> None:
    managed, version = fields.take_over(live(CREATED, THEIRS), "mine")
    assert managed["value"] == [THEIRS, {**CREATED, "manager": "mine", "operation": "Apply"}]
    assert version == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}


def test_what_is_taken_over_is_added_to_what_the_manager_has() -> None:
    managed, _ = fields.take_over(live(APPLIED, CREATED), "mine")
    assert managed["value"] == [{**APPLIED, "fieldsV1": {"f:spec": {"f:a": {}, "f:b": {}}}}]


def test_what_others_and_subresources_have_stays_theirs() -> None:
    assert fields.take_over(live(APPLIED, THEIRS, STATUS), "mine") == []
    assert fields.take_over({"metadata": {}}, "mine") == []


def test_an_ignored_field_of_others_is_left_out_and_any_other_is_as_it_is() -> None:
    inputs = {"spec": {"a": "want", "b": "want", "c": {"d": "want", "e": "want"}}}
    found = live(CREATED, APPLIED, THEIRS, a="is", b="is", c={"d": "is"})
    assert fields.without_ignored(inputs, found, "mine", ["spec.c.d"]) == {
        "spec": {"a": "want", "b": "want", "c": {"e": "want"}}
    }
    assert fields.without_ignored(inputs, found, "mine", ["spec.b"])["spec"]["b"] == "is"
    assert fields.without_ignored(inputs, found, "mine", ["*", "spec.x.y", "metadata.name"]) == inputs
