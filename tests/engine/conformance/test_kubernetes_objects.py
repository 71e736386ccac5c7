"""What becomes of objects: names, secrets, outputs, updates and replacements.

Sources: pulumi/pulumi-kubernetes, `provider/pkg/provider/{provider,diff}.go`, `provider/pkg/metadata/naming.go`,
`provider/pkg/await/await.go`; Registry, kubernetes.Provider.
"""

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any

import pulumi_kubernetes as k8s
import pytest
from pulumi import ResourceOptions

from tests.engine.conformance.apiserver import GROUP, ApiServer
from tests.engine.conformance.harness import Program, Result, Stack
from tests.engine.conformance.test_secrets import ciphertext

pytestmark = pytest.mark.engine

HIDDEN = "hidden-from-everybody"
HOME = "story"
LABELS = {"app.kubernetes.io/name": "a", "plain": "a"}


@dataclass
class Story:
    """The life of one stack: previewed, created, left alone, changed, destroyed; and the server's view of it."""

    previewed: Result
    created: dict[str, dict[str, Any]]
    untouched: Result
    live: dict[str, Any] = field(default_factory=dict)
    touched: bool = False
    foreseen: Result = field(default_factory=lambda: Result(0, "", []))
    changed: Result = field(default_factory=lambda: Result(0, "", []))
    state: dict[str, dict[str, Any]] = field(default_factory=dict)
    live_after: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


PATHS = {
    "secret": f"/api/v1/namespaces/{HOME}/secrets/secret",
    "map": f"/api/v1/namespaces/{HOME}/configmaps/map",
    "widget": f"/apis/{GROUP}/v1/namespaces/{HOME}/widgets/widget",
    "ring": f"/apis/{GROUP}/v1/rings/ring",
    "role": "/apis/rbac.authorization.k8s.io/v1/clusterroles/story",
    "home": f"/api/v1/namespaces/{HOME}",
    "lenient": f"/api/v1/namespaces/{HOME}/secrets/lenient",
}


def story_program(cluster: ApiServer, *, changed: bool) -> Program:
    """All resources of the story, before and after the change."""
    value = "b" if changed else "a"

    def program() -> None:
        opts = ResourceOptions(provider=cluster.provider(namespace=HOME))
        mutable = ResourceOptions(
            provider=cluster.provider(
                "mutable", namespace=HOME, enable_secret_mutable=True, enable_config_map_mutable=True
            )
        )
        home = k8s.core.v1.Namespace("home", metadata={"name": HOME, "labels": {**LABELS, "plain": value}}, opts=opts)
        inside = ResourceOptions.merge(opts, ResourceOptions(depends_on=[home]))
        bendable = ResourceOptions.merge(mutable, ResourceOptions(depends_on=[home]))
        text = {"a.txt": f"{HIDDEN}-{value}"}
        k8s.core.v1.Secret("secret", metadata={"name": "secret"}, string_data=text, opts=inside)
        k8s.core.v1.Secret("lenient", metadata={"name": "lenient"}, string_data=text, opts=bendable)
        k8s.core.v1.Secret("typed", metadata={"name": "typed"}, type=f"seedbed/{value}", opts=bendable)
        k8s.core.v1.Secret("frozen", metadata={"name": "frozen"}, immutable=True, string_data=text, opts=bendable)
        k8s.core.v1.ConfigMap("map", metadata={"name": "map"}, data={"key": value}, opts=inside)
        k8s.core.v1.ConfigMap("lenient-map", metadata={"name": "lenient-map"}, data={"key": value}, opts=bendable)
        k8s.core.v1.ConfigMap("automatic", data={"key": value}, opts=inside)
        k8s.core.v1.ConfigMap("automatic-still", metadata={"labels": {"l": value}}, data={"key": "a"}, opts=inside)
        k8s.core.v1.ConfigMap("renamed", metadata={"name": f"renamed-{value}"}, data={}, opts=inside)
        k8s.core.v1.ConfigMap(
            "moved", metadata={"name": "moved", "namespace": HOME if changed else "default"}, opts=inside
        )
        spec: dict[str, Any] = {"size": 3, "items": [1, {"nested": value}], "plain": "a"}
        if changed:
            spec["added"] = True
        else:
            spec["removed"] = True
        k8s.apiextensions.CustomResource(
            "widget", api_version=f"{GROUP}/v1", kind="Widget", metadata={"name": "widget"}, spec=spec, opts=inside
        )
        k8s.apiextensions.CustomResource(
            "ring", api_version=f"{GROUP}/v1", kind="Ring", metadata={"name": "ring"}, spec={"of": value}, opts=inside
        )
        rule = {"api_groups": [""], "resources": ["pods"], "verbs": ["get"]}
        k8s.rbac.v1.ClusterRole("role", metadata={"name": "story"}, rules=[rule], opts=opts)

    return program


@pytest.fixture(scope="module")
def story(shared_stack: Stack, cluster: ApiServer) -> Story:
    """One stack through its whole life, for the rules that only look at what happened."""
    before, after = (story_program(cluster, changed=changed) for changed in (False, True))
    previewed = shared_stack.preview(before)
    assert cluster.get(PATHS["home"]) is None
    shared_stack.up(before)
    created = shared_stack.resources()
    live = {name: cluster.get(path) for name, path in PATHS.items()}
    found = Story(previewed, created, shared_stack.up(before), live)
    found.touched = live != {name: cluster.get(path) for name, path in PATHS.items()}
    found.foreseen = shared_stack.preview(after)
    found.changed = shared_stack.up(after)
    found.state = shared_stack.resources()
    found.live_after = {name: cluster.get(path) for name, path in PATHS.items()}
    cluster.request("DELETE", PATHS["map"])
    shared_stack.destroy()
    found.left = [name for name, path in PATHS.items() if cluster.get(path) is not None]
    return found


def managers(item: dict[str, Any]) -> list[tuple[str, str]]:
    """Who manages fields of the object, and how."""
    return [(entry["manager"], entry["operation"]) for entry in item["metadata"]["managedFields"]]


def test_a_preview_of_new_objects_makes_nothing_and_names_each(story: Story) -> None:
    """Create with `preview`: properties only."""
    assert {operation for operation, _ in story.previewed.operations()} == {"create"}
    assert len(story.previewed.operations()) == len(story.created) - 1  # but the stack


def test_an_id_is_namespace_and_name(story: Story) -> None:
    """util.go, fqObjName."""
    ids = {name: story.created[name]["id"] for name in ("home", "secret", "widget", "ring", "role", "moved")}
    assert ids == {
        "home": HOME,
        "secret": f"{HOME}/secret",
        "widget": f"{HOME}/widget",
        "ring": "ring",
        "role": "story",
        "moved": "default/moved",
    }


def test_an_object_without_a_name_is_named_after_the_resource_with_eight_hex_digits(story: Story) -> None:
    """metadata/naming.go, AssignNameIfAutonamable; the name stays as long as the object does."""
    for resources in (story.created, story.state):
        metadata = resources["automatic"]["inputs"]["metadata"]
        assert re.fullmatch(r"automatic-[0-9a-f]{8}", metadata["name"])
        assert metadata["annotations"]["pulumi.com/autonamed"] == "true"
    still = [resources["automatic-still"]["id"] for resources in (story.created, story.state)]
    assert still[0] == still[1]


def test_the_providers_namespace_is_that_of_objects_that_name_none(story: Story) -> None:
    """Check: `k.defaultNamespace`, for namespaced kinds only."""
    assert story.created["secret"]["inputs"]["metadata"]["namespace"] == HOME
    assert "namespace" not in story.created["home"]["inputs"]["metadata"]
    assert "namespace" not in story.created["role"]["inputs"]["metadata"]


def test_string_data_is_stored_as_the_data_that_it_becomes(story: Story) -> None:
    """clients/unstructured.go, normalizeSecretStringData."""
    value = base64.b64encode(f"{HIDDEN}-a".encode()).decode()
    assert story.live["secret"]["data"] == {"a.txt": value}
    for part in ("inputs", "outputs"):
        assert "stringData" not in story.created["secret"][part]


def test_the_data_of_a_secret_is_secret_everywhere(story: Story) -> None:
    """annotateSecrets: also when the program does not say so."""
    resource = story.created["secret"]
    for part in (resource["inputs"], resource["outputs"], resource["outputs"]["__inputs"]):
        assert ciphertext(part["data"])
    everything = json.dumps([story.created, story.state, story.previewed.events, story.previewed.output])
    assert HIDDEN not in everything
    assert base64.b64encode(HIDDEN.encode()).decode()[:20] not in everything


def test_outputs_are_the_live_object_and_what_it_was_made_from(story: Story) -> None:
    """checkpointObject: `__inputs`, `__initialApiVersion`, `__fieldManager`."""
    outputs = story.created["widget"]["outputs"]
    assert outputs["metadata"]["uid"] == story.live["widget"]["metadata"]["uid"]
    assert outputs["__inputs"]["spec"] == story.created["widget"]["inputs"]["spec"]
    assert outputs["__initialApiVersion"] == f"{GROUP}/v1"
    assert re.fullmatch(r"pulumi-kubernetes-[0-9a-f]{8}", outputs["__fieldManager"])
    assert story.live["widget"]["spec"]["size"] == 3


def test_a_plain_create_is_the_work_of_one_common_manager(story: Story) -> None:
    """pulumi-kubernetes#4278: client-side create, by `pulumi-kubernetes`."""
    for name in ("secret", "map", "widget", "ring", "role"):
        assert ("pulumi-kubernetes", "Update") in managers(story.live[name])


def test_the_first_update_gives_all_fields_to_the_resources_own_manager(story: Story) -> None:
    """await.go, fixCSAFieldManagers and ssaUpdate: so that a field that is taken out of the inputs goes."""
    own = story.created["widget"]["outputs"]["__fieldManager"]
    assert managers(story.live_after["widget"]) == [(own, "Apply")]
    assert "removed" in story.live["widget"]["spec"]
    assert story.live_after["widget"]["spec"] == {"size": 3, "items": [1, {"nested": "b"}], "plain": "a", "added": True}


def test_unchanged_inputs_change_nothing(story: Story) -> None:
    """Diff: DIFF_NONE; not one field of the objects differs."""
    assert story.untouched.operations() == []
    assert not story.touched


def test_a_change_is_an_update_and_names_the_fields(story: Story) -> None:
    """convertPatchToDiff: adds, deletes and updates by their paths, with quoted keys where they need it."""
    for name in ("home", "widget", "ring", "automatic-still"):
        assert story.changed.operations_of(name) == ["update"]
    changes = story.foreseen.difference("widget")
    assert changes == {"spec.added": "add", "spec.removed": "delete", "spec.items[1].nested": "update"}
    assert story.foreseen.difference("home") == {"metadata.labels.plain": "update"}


@pytest.mark.parametrize(
    ("name", "path"),
    [("secret", 'data["a.txt"]'), ("map", "data.key"), ("typed", "type"), ("frozen", 'data["a.txt"]')],
)
def test_what_cannot_change_is_replaced_and_deleted_first_where_the_name_is_given(
    story: Story, name: str, path: str
) -> None:
    """provider/diff.go, forceNewProperties; Diff, deleteBeforeReplace. A Secret's type and an immutable Secret cannot
    change with `enableSecretMutable` either."""
    assert story.foreseen.difference(name) == {path: "update-replace"}
    assert story.changed.operations_of(name) == ["delete-replaced", "replace", "create-replacement"]


def test_an_automatic_name_lets_the_new_object_come_before_the_old_one_goes(story: Story) -> None:
    """Diff: IsAutonamed; AdoptOldAutonameIfUnnamed has no old inputs then, so the name is a new one."""
    assert story.changed.operations_of("automatic") == ["create-replacement", "replace", "delete-replaced"]
    assert story.state["automatic"]["id"] != story.created["automatic"]["id"]


@pytest.mark.parametrize("name", ["lenient", "lenient-map"])
def test_data_is_updated_in_place_where_the_provider_allows_it(story: Story, name: str) -> None:
    """Registry, kubernetes.Provider: `enableSecretMutable`, `enableConfigMapMutable`."""
    assert story.changed.operations_of(name) == ["update"]
    value = base64.b64encode(f"{HIDDEN}-b".encode()).decode()
    assert story.live_after["lenient"]["data"] == {"a.txt": value}
    uids = [live["lenient"]["metadata"]["uid"] for live in (story.live, story.live_after)]
    assert uids[0] == uids[1]


@pytest.mark.parametrize(("name", "field_name"), [("renamed", "name"), ("moved", "namespace")])
def test_another_name_or_namespace_is_another_object(story: Story, name: str, field_name: str) -> None:
    """metadataForceNewProperties; the new one is made before the old one goes."""
    assert story.foreseen.difference(name) == {f"metadata.{field_name}": "update-replace"}
    assert story.changed.operations_of(name) == ["create-replacement", "replace", "delete-replaced"]


def test_destroying_removes_everything_and_what_is_gone_already_is_no_error(story: Story) -> None:
    """await.go, Deletion: a 404 is success; returns when the object is gone, a namespace too."""
    assert story.left == []
