"""The provider resource: which cluster it is, and what happens where that cannot be reached.

Sources: pulumi/pulumi-kubernetes, `provider/pkg/provider/provider.go` (CheckConfig, DiffConfig, Configure and
`clusterUnreachable` in the operations), `util.go`; Registry, kubernetes.Provider, `clusterIdentifier`.
"""

import json
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi import ResourceOptions

from tests.engine.conformance.apiserver import ApiServer
from tests.engine.conformance.harness import Program, Stack, free_port, listener

pytestmark = pytest.mark.engine


def program_of(cluster: ApiServer, namespace: str, value: str = "a", **settings: Any) -> Program:
    """A Secret that is called after the namespace, of a provider with the settings."""

    def program() -> None:
        opts = ResourceOptions(provider=cluster.provider(**settings))
        metadata = {"name": "s", "namespace": namespace, "labels": {"value": value}}
        k8s.core.v1.Secret("s", metadata=metadata, string_data={"key": "value"}, opts=opts)

    return program


def path_of(namespace: str) -> str:
    """The Secret's path."""
    return f"/api/v1/namespaces/{namespace}/secrets/s"


def elsewhere(cluster: ApiServer, port: int) -> str:
    """A kubeconfig for a server that is not there."""
    return cluster.kubeconfig(server=f"https://127.0.0.1:{port}")


def test_a_kubeconfig_may_be_the_path_of_one(stack: Stack, cluster: ApiServer, namespace: str, tmp_path: Path) -> None:
    """util.go, parseKubeconfigString."""
    file = tmp_path / "kubeconfig"
    file.write_text(cluster.kubeconfig())
    file.chmod(0o600)
    stack.up(program_of(cluster, namespace, kubeconfig=str(file)))
    assert cluster.get(path_of(namespace)) is not None


@pytest.mark.parametrize("key", ["contexts", "clusters"])
def test_context_and_cluster_choose_among_several(stack: Stack, cluster: ApiServer, namespace: str, key: str) -> None:
    """Registry, kubernetes.Provider: `context`, `cluster`; the context's namespace is that of objects without one."""
    kubeconfig = json.loads(cluster.kubeconfig())
    kubeconfig["clusters"].insert(0, {"name": "wrong", "cluster": {"server": f"https://127.0.0.1:{free_port()}"}})
    wrong, right = ({"cluster": name, "user": "default", "namespace": namespace} for name in ("wrong", "default"))
    kubeconfig["contexts"] = [{"name": "wrong", "context": wrong}, {"name": "right", "context": right}]
    kubeconfig["current-context"] = "wrong"
    chosen = {"contexts": {"context": "right"}, "clusters": {"cluster": "default"}}[key]

    def program() -> None:
        opts = ResourceOptions(provider=cluster.provider(kubeconfig=json.dumps(kubeconfig), **chosen))
        k8s.core.v1.Secret("s", metadata={"name": "s"}, opts=opts)

    stack.up(program)
    assert cluster.get(path_of(namespace)) is not None


def test_a_kubeconfig_that_is_none_fails_when_it_is_needed_and_is_not_shown(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """Configure: `failed to parse kubeconfig data in` the setting; the operations fail, not the configuration."""
    hidden = "hidden-kubeconfig-text"
    program = program_of(cluster, namespace, kubeconfig=f"- {hidden}: [\n  x")
    stack.preview(program)
    output = stack.up(program, succeeds=False).output
    assert "failed to parse kubeconfig data in `kubernetes:config:kubeconfig`" in output
    assert hidden not in output


def test_another_cluster_in_the_kubeconfig_replaces_the_provider_and_its_objects(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """DiffConfig: the active cluster's entry is compared."""
    stack.up(program_of(cluster, namespace, cluster_identifier=None))
    renamed = cluster.kubeconfig(**{"tls-server-name": "127.0.0.1"})
    foreseen = stack.preview(program_of(cluster, namespace, cluster_identifier=None, kubeconfig=renamed))
    assert foreseen.operations_of("p") == ["create-replacement", "replace", "delete-replaced"]
    assert "create-replacement" in foreseen.operations_of("s")


def test_with_an_identifier_only_another_identifier_replaces(stack: Stack, cluster: ApiServer, namespace: str) -> None:
    """Registry: "the provider will _only_ be replaced when `clusterIdentifier` changes"."""
    stack.up(program_of(cluster, namespace))
    renamed = cluster.kubeconfig(**{"tls-server-name": "127.0.0.1"})
    assert stack.up(program_of(cluster, namespace, kubeconfig=renamed)).operations() == [("update", "p")]
    foreseen = stack.preview(program_of(cluster, namespace, kubeconfig=renamed, cluster_identifier="two"))
    assert "create-replacement" in foreseen.operations_of("p")
    assert "create-replacement" in foreseen.operations_of("s")
    without = stack.preview(program_of(cluster, namespace, kubeconfig=renamed, cluster_identifier=None))
    assert without.operations() == [("update", "p")]


@pytest.mark.parametrize("option", ["--replace", "plain"])
def test_what_ends_with_a_cluster_is_not_deleted_from_the_one_that_is_made_in_its_place(
    stack: Stack, cluster: ApiServer, namespace: str, option: str
) -> None:
    """As the program has it: the new cluster has the old one's address and keys, so the old objects' paths lead into it.

    Engine, `isDeletedWith` in pkg/resource/deploy/step_generator.go: nothing is asked of a provider for what goes with a
    resource that is deleted in the same update, the old half of one that is replaced included.
    """

    def program_of(identifier: str) -> Program:
        def program() -> None:
            memory = pulumi.Stash("memory", input=identifier, opts=ResourceOptions(ignore_changes=["input"]))
            provider = cluster.provider(cluster_identifier=identifier, upsert_existing_objects=True)
            opts = ResourceOptions(provider=provider, deleted_with=memory)
            metadata = {"name": "s", "namespace": namespace}
            k8s.core.v1.Secret("s", metadata=metadata, string_data={"key": "value"}, opts=opts)

        return program

    stack.up(program_of("one"))
    done = stack.up(program_of("two"), *(["--replace", "**::memory"] if option == "--replace" else []))
    assert "delete-replaced" in done.operations_of("s")
    there = cluster.get(path_of(namespace))
    # Without the option the memory stays, and with it whose end is the objects' end: which is why nobody lets it be forgotten.
    assert (there is not None) is (option == "--replace")


def test_a_kubeconfig_that_is_not_known_yet_previews(stack: Stack, cluster: ApiServer, namespace: str) -> None:
    """DiffConfig: what is computed is taken for another cluster, unless the identifier says that it is the same."""

    def program(renewed: str, **settings: Any) -> Program:
        def declare() -> None:
            first = cluster.provider("first")
            metadata = {"name": f"source-{renewed}", "namespace": namespace}
            source = k8s.core.v1.ConfigMap("source", metadata=metadata, opts=ResourceOptions(provider=first))
            kubeconfig = source.id.apply(lambda _: cluster.kubeconfig())
            second = cluster.provider("second", kubeconfig=kubeconfig, **settings)
            metadata = {"name": "s", "namespace": namespace}
            k8s.core.v1.Secret("s", metadata=metadata, opts=ResourceOptions(provider=second))

        return declare

    assert ("create", "s") in stack.preview(program("one")).operations()
    stack.up(program("one"))
    foreseen = stack.preview(program("two")).operations()
    assert ("update", "second") in foreseen
    assert not [operation for operation, name in foreseen if name in ("second", "s") and operation != "update"]
    assert cluster.get(path_of(namespace)) is not None


def test_a_preview_needs_no_cluster(stack: Stack, cluster: ApiServer, namespace: str) -> None:
    """Configure does not fail; operations that only look do not need it."""
    gone = elsewhere(cluster, free_port())
    assert ("create", "s") in stack.preview(program_of(cluster, namespace, kubeconfig=gone)).operations()
    stack.up(program_of(cluster, namespace))
    assert stack.preview(program_of(cluster, namespace, kubeconfig=gone)).operations() == [("update", "p")]
    changed = stack.preview(program_of(cluster, namespace, "b", kubeconfig=gone))
    assert changed.difference("s") == {"metadata.labels.value": "update"}


@pytest.mark.official_breaks("it asks the server for its version and schema whenever it is configured")
def test_a_preview_does_not_touch_the_cluster(stack: Stack, cluster: ApiServer, namespace: str) -> None:
    """Of this repository's own wish: a preview is quick, and the same on a train."""
    stack.up(program_of(cluster, namespace))
    with listener(hang_up=True) as counter:
        stack.preview(program_of(cluster, namespace, "b", kubeconfig=elsewhere(cluster, counter.port)))
    assert counter.accepted == 0


def test_what_needs_an_unreachable_cluster_fails_with_its_address_and_keeps_the_state(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """Create, Update, Delete, Read: "configured Kubernetes cluster is unreachable"."""
    gone = elsewhere(cluster, free_port())
    address = json.loads(gone)["clusters"][0]["cluster"]["server"].removeprefix("https://")
    unreachable = "configured Kubernetes cluster is unreachable"
    text = stack.up(program_of(cluster, namespace, kubeconfig=gone), succeeds=False).text("s")
    assert unreachable in text
    assert address in text
    assert "connection refused" in text
    stack.up(program_of(cluster, namespace))
    before = stack.outputs("s")
    result = stack.up(program_of(cluster, namespace, "b", kubeconfig=gone), succeeds=False)
    assert unreachable in result.text("s")
    assert stack.outputs("s")["metadata"] == before["metadata"]
    result = stack.destroy(succeeds=False)
    assert unreachable in result.text("s")
    assert "PULUMI_K8S_DELETE_UNREACHABLE" in result.output
    assert "s" in stack.resources()


def test_with_delete_unreachable_what_is_out_of_reach_leaves_the_state(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """Registry, kubernetes.Provider: `deleteUnreachable`."""
    stack.up(program_of(cluster, namespace))
    gone = elsewhere(cluster, free_port())

    def provider_only() -> None:
        cluster.provider(kubeconfig=gone, delete_unreachable=True)

    stack.up(provider_only)
    assert "s" not in stack.resources()
    assert cluster.get(path_of(namespace)) is not None


def test_with_skip_update_unreachable_a_refresh_keeps_what_it_cannot_read(
    stack: Stack, cluster: ApiServer, namespace: str
) -> None:
    """Registry, kubernetes.Provider: `skipUpdateUnreachable`; with a warning."""
    stack.up(program_of(cluster, namespace))
    gone = elsewhere(cluster, free_port())
    stack.up(program_of(cluster, namespace, kubeconfig=gone, skip_update_unreachable=True))
    before = stack.resources()["s"]
    assert "configured Kubernetes cluster is unreachable" in stack.refresh().text("s")
    assert stack.resources()["s"]["inputs"]["metadata"] == before["inputs"]["metadata"]
