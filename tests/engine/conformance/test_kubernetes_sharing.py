"""Objects that others have their hands on, that take their time, or that are not to be had.

Sources: pulumi/pulumi-kubernetes, `provider/pkg/await/await.go`, `provider/pkg/await/condition/`,
`provider/pkg/metadata/{annotations,overrides}.go`, `provider/pkg/provider/provider.go`; Registry, guide "Managing
Resources with Server-Side Apply".
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi import CustomTimeouts, ResourceOptions

from tests.engine.conformance.apiserver import GROUP, ApiServer
from tests.engine.conformance.harness import TIMEOUT_SECONDS, Program, Stack

pytestmark = pytest.mark.engine

API_VERSION = f"{GROUP}/v1"


def map_program(
    cluster: ApiServer,
    namespace: str,
    labels: dict[str, str],
    *,
    annotations: dict[str, str] | None = None,
    opts: ResourceOptions | None = None,
    **settings: Any,
) -> Program:
    """One ConfigMap with labels."""

    def program() -> None:
        own = ResourceOptions(provider=cluster.provider(**settings))
        metadata = {"name": "m", "namespace": namespace, "labels": labels, "annotations": annotations or {}}
        k8s.core.v1.ConfigMap("m", metadata=metadata, opts=ResourceOptions.merge(own, opts))

    return program


def widget_program(
    cluster: ApiServer, namespace: str, annotations: dict[str, str], *, kind: str = "Widget", **options: Any
) -> Program:
    """One custom resource with annotations."""

    def program() -> None:
        k8s.apiextensions.CustomResource(
            "w",
            api_version=API_VERSION,
            kind=kind,
            metadata={"name": "w", "namespace": namespace, "annotations": annotations},
            spec={},
            opts=ResourceOptions(provider=cluster.provider(), **options),
        )

    return program


def path_of(namespace: str, plural: str = "configmaps", name: str = "m") -> str:
    """The path of the ConfigMap, or of another object."""
    group = f"/apis/{API_VERSION}" if plural == "widgets" else "/api/v1"
    return f"{group}/namespaces/{namespace}/{plural}/{name}"


def other_map(labels: dict[str, str]) -> dict[str, Any]:
    """The same ConfigMap, as somebody else has it."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "labels": labels}}


def managers(item: Any) -> set[tuple[str, str]]:
    """Who manages fields of the object, and how."""
    return {(entry["manager"], entry["operation"]) for entry in item["metadata"]["managedFields"]}


@contextmanager
def later(condition: Callable[[], Any], action: Callable[[], Any]) -> Iterator[None]:
    """Does something as soon as the condition holds, while the engine works."""

    def work() -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.1)
        action()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join(TIMEOUT_SECONDS)


def test_an_object_that_is_there_already_is_an_error_and_stays_as_it_is(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """pulumi-kubernetes#4278: a plain create; the error is the API server's."""
    before = cluster.apply(path_of(namespace), other_map({"a": "theirs"}), "somebody")
    text = stack.up(map_program(cluster, namespace, {"a": "mine"}), succeeds=False).text("m")
    assert "was not successfully created by the Kubernetes API server" in text
    assert 'configmaps "m" already exists' in text
    assert cluster.get(path_of(namespace)) == before
    assert "m" not in stack.resources()


@pytest.mark.official_breaks("it repeats the server's message as it is")
def test_a_refusal_does_not_repeat_what_is_secret(stack: Stack, cluster: ApiServer, namespace: str) -> None:
    """Of this repository's own wish: the API server quotes values that it does not take."""

    def program() -> None:
        metadata = {"name": "m", "namespace": namespace, "labels": {"a": pulumi.Output.secret("hidden & wrong")}}
        k8s.core.v1.ConfigMap("m", metadata=metadata, opts=ResourceOptions(provider=cluster.provider()))

    result = stack.up(program, succeeds=False)
    assert 'Invalid value: "[secret]"' in result.text("m")
    assert "hidden & wrong" not in result.output


def test_with_upsert_an_object_that_is_there_is_taken_on_and_later_deleted(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """Registry, kubernetes.Provider: `upsertExistingObjects`; a create is a server-side apply then."""
    cluster.apply(path_of(namespace), other_map({"b": "theirs"}), "somebody")
    stack.up(map_program(cluster, namespace, {"a": "mine"}, upsert_existing_objects=True))
    live = cluster.get(path_of(namespace))
    assert live["metadata"]["labels"] == {"a": "mine", "b": "theirs"}
    assert managers(live) == {("somebody", "Apply"), (stack.outputs("m")["__fieldManager"], "Apply")}
    stack.destroy()
    assert cluster.get(path_of(namespace)) is None


def test_another_managers_field_is_a_conflict_that_names_manager_and_field(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """await.go, handleSSAErr; the object is there, so that it stays in the state and is tried again."""
    stack.up(map_program(cluster, namespace, {"a": "1"}))
    cluster.apply(path_of(namespace), other_map({"a": "theirs"}), "argocd-controller")
    changed = map_program(cluster, namespace, {"a": "2"})
    text = stack.up(changed, succeeds=False).text("m")
    assert "Server-Side Apply field conflict detected" in text
    assert stack.outputs("m")["__fieldManager"] in text
    assert 'conflict with "argocd-controller": .metadata.labels.a' in text
    assert cluster.get(path_of(namespace))["metadata"]["labels"] == {"a": "theirs"}
    assert stack.preview(changed).operations() == [("update", "m")]
    forced = map_program(cluster, namespace, {"a": "2"}, annotations={"pulumi.com/patchForce": "true"})
    stack.up(forced)
    assert cluster.get(path_of(namespace))["metadata"]["labels"] == {"a": "2"}


def test_the_annotation_names_the_field_manager_of_updates(stack: Stack, cluster: ApiServer, namespace: str) -> None:
    """provider.go, fieldManagerName: `pulumi.com/patchFieldManager` comes first; the old one gives its fields up."""
    stack.up(map_program(cluster, namespace, {"a": "1"}))
    stack.up(map_program(cluster, namespace, {"a": "2"}))
    own = stack.outputs("m")["__fieldManager"]
    assert managers(cluster.get(path_of(namespace))) == {(own, "Apply")}
    stack.up(map_program(cluster, namespace, {"a": "2"}, annotations={"pulumi.com/patchFieldManager": "gardener"}))
    assert stack.outputs("m")["__fieldManager"] == "gardener"
    assert managers(cluster.get(path_of(namespace))) == {("gardener", "Apply")}


def test_an_ignored_field_that_others_own_is_left_to_them(stack: Stack, cluster: ApiServer, namespace: str) -> None:
    """await.go, handleSSAIgnoreFields: it is left out of what is applied, or every update would be a conflict."""
    ignored = ResourceOptions(ignore_changes=["metadata.labels.a"])
    stack.up(map_program(cluster, namespace, {"a": "1", "b": "1"}, opts=ignored))
    stack.up(map_program(cluster, namespace, {"a": "1", "b": "2"}, opts=ignored))
    cluster.apply(path_of(namespace), other_map({"a": "theirs"}), "argocd-controller")
    stack.up(map_program(cluster, namespace, {"a": "3", "b": "3"}, opts=ignored))
    assert cluster.get(path_of(namespace))["metadata"]["labels"] == {"a": "theirs", "b": "3"}


def test_a_refresh_sees_what_others_changed_and_the_next_up_undoes_it(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """Read: the live object in the shape of the inputs; what others added is not seen."""
    program = map_program(cluster, namespace, {"a": "1"})
    stack.up(program)
    cluster.patch(path_of(namespace), {"metadata": {"labels": {"a": "theirs", "more": "theirs"}}})
    assert stack.preview(program).operations() == []
    assert stack.refresh().operations_of("m") == ["refresh"]
    assert stack.resources()["m"]["inputs"]["metadata"]["labels"] == {"a": "theirs"}
    forced = map_program(cluster, namespace, {"a": "1"}, enable_patch_force=True)
    assert stack.up(forced).difference("m") == {"metadata.labels.a": "update"}
    assert cluster.get(path_of(namespace))["metadata"]["labels"] == {"a": "1", "more": "theirs"}


def test_a_refresh_forgets_what_is_gone_and_the_next_up_makes_it_again(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """Read: a 404 is a resource that was deleted."""
    program = map_program(cluster, namespace, {"a": "1"})
    stack.up(program)
    cluster.request("DELETE", path_of(namespace))
    stack.refresh()
    assert "m" not in stack.resources()
    assert stack.up(program).operations() == [("create", "m")]


def test_an_object_can_be_imported_as_it_is(stack: Stack, cluster: ApiServer, namespace: str) -> None:
    """Read without inputs: these are made of the live object; so nothing differs afterwards."""
    cluster.apply(path_of(namespace), {**other_map({"a": "1"}), "data": {"key": "value"}}, "somebody")

    def program(**options: Any) -> Program:
        def declare() -> None:
            metadata = {"name": "m", "namespace": namespace, "labels": {"a": "1"}}
            own = ResourceOptions(provider=cluster.provider(), **options)
            k8s.core.v1.ConfigMap("m", metadata=metadata, data={"key": "value"}, opts=own)

        return declare

    assert ("import", "m") in stack.up(program(import_=f"{namespace}/m")).operations()
    assert stack.up(program()).operations() == []


WAITS = {
    "jsonpath={.status.phase}=Ready": {"phase": "Ready"},
    "jsonpath={.status.parts[0].name}": {"parts": [{"name": "x"}]},
    "condition=Ready": {"conditions": [{"type": "Ready", "status": "True"}]},
    '["condition=Synced=Unknown", "jsonpath={.status.n}=3"]': {
        "n": 3,
        "conditions": [{"type": "Synced", "status": "Unknown"}],
    },
}


def test_a_create_waits_for_what_the_annotation_says(stack: Stack, cluster: ApiServer, namespace: str) -> None:
    """Annotation `pulumi.com/waitFor`, the language of `kubectl wait --for`; what is waited for is shown."""

    def program() -> None:
        opts = ResourceOptions(provider=cluster.provider())
        for number, expression in enumerate(WAITS):
            made = k8s.apiextensions.CustomResource(
                f"w{number}",
                api_version=API_VERSION,
                kind="Widget",
                metadata={
                    "name": f"w{number}",
                    "namespace": namespace,
                    "annotations": {"pulumi.com/waitFor": expression},
                },
                spec={},
                opts=opts,
            )
            pulumi.export(f"w{number}", made.id)

    paths = [path_of(namespace, "widgets", f"w{number}") for number in range(len(WAITS))]

    def get_ready() -> None:
        for path, status in zip(paths, WAITS.values(), strict=True):
            cluster.patch(path, {"status": status})

    with later(lambda: all(map(cluster.get, paths)), get_ready):
        result = stack.up(program)
    for number, status in enumerate(WAITS.values()):
        assert stack.outputs(f"w{number}")["status"] == status
    assert "Waiting for" in result.text("w0")


def test_what_does_not_get_ready_in_time_fails_and_stays_in_the_state(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """Annotation `pulumi.com/timeoutSeconds`; provider.go, partialError: the next `up` goes on with it."""
    annotations = {"pulumi.com/waitFor": "condition=Ready", "pulumi.com/timeoutSeconds": "1"}
    text = stack.up(widget_program(cluster, namespace, annotations), succeeds=False).text("w")
    assert "was successfully created, but the Kubernetes API server reported that it failed to fully initialize" in text
    assert "timed out waiting for the condition" in text
    assert stack.resources()["w"]["id"] == f"{namespace}/w"
    cluster.patch(path_of(namespace, "widgets", "w"), {"status": WAITS["condition=Ready"]})
    assert stack.up(widget_program(cluster, namespace, annotations)).operations_of("w") == ["update"]


def test_a_deletion_is_done_when_the_object_is_gone(stack: Stack, cluster: ApiServer, namespace: str) -> None:
    """await.go, Deletion: an object with a finalizer stays until that is taken away."""
    stack.up(map_program(cluster, namespace, {}))
    path = path_of(namespace)
    cluster.patch(path, {"metadata": {"finalizers": ["seedbed.internal/held"]}})
    let_go = {"metadata": {"finalizers": None}}
    deleting: list[bool] = []

    def release() -> None:
        time.sleep(1)
        deleting.append("m" in stack.resources())
        cluster.patch(path, let_go)

    with later(lambda: cluster.get(path)["metadata"].get("deletionTimestamp"), release):
        stack.destroy()
    assert deleting == [True]
    assert cluster.get(path) is None


def test_a_deletion_that_takes_too_long_fails_and_says_what_may_hold_it(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """`customTimeouts`; condition/deleted.go: "finalizers might be preventing deletion"."""
    stack.up(map_program(cluster, namespace, {}, opts=ResourceOptions(custom_timeouts=CustomTimeouts(delete="1s"))))
    cluster.patch(path_of(namespace), {"metadata": {"finalizers": ["seedbed.internal/held"]}})
    result = stack.destroy(succeeds=False)
    assert "finalizers might be preventing deletion (seedbed.internal/held" in result.output
    assert "m" in stack.resources()
    cluster.patch(path_of(namespace), {"metadata": {"finalizers": None}})


def test_a_kind_that_is_not_defined_previews_and_fails_in_an_up(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """Creation retries on "no match"; Create's message about definitions."""
    timeouts = CustomTimeouts(create="6s")
    program = widget_program(cluster, namespace, {}, kind="Unheard", custom_timeouts=timeouts)
    assert ("create", "w") in stack.preview(program).operations()
    text = stack.up(program, succeeds=False).text("w")
    assert (
        f"with kind {API_VERSION}/Unheard failed because the Kubernetes API server reported that the apiVersion" in text
    )
    assert "Verify that any required CRDs have been created" in text
    assert f'no matches for kind "Unheard" in version "{API_VERSION}"' in text
    assert "Retry #0; creation failed" in text


def test_a_namespace_that_comes_a_moment_later_is_waited_for(stack: Stack, cluster: ApiServer, namespace: str) -> None:
    """Creation retries on 404."""
    late = f"{namespace}-late"
    with later(
        lambda: time.sleep(1.5) or True,
        lambda: cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": late}}),
    ):
        result = stack.up(map_program(cluster, late, {"a": "1"}))
    assert cluster.get(path_of(late)) is not None
    assert result.operations_of("m") == ["create"]
