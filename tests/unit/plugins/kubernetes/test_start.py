"""The plugin as a process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from lab.plugins.protocol.values import bare, decode, encode, secret

CLONE = Path(__file__).parents[4]
SERVE = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1));"
    " runpy.run_module('lab.plugins.kubernetes', run_name='__main__', alter_sys=True)"
)
URN = "urn:pulumi:s::p::seedbed:Seed$kubernetes:core/v1:Secret::name"
HIDDEN = "hidden-value"


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """The plugin, started from anywhere, and configured with a server that is not there."""
    with (tmp_path / "imported").open("w") as imported:
        process = subprocess.Popen(
            [sys.executable, "-P", "-X", "importtime", "-c", SERVE, str(CLONE), "127.0.0.1:1"],
            stdout=subprocess.PIPE,
            stderr=imported,
            cwd=tmp_path,
            text=True,
        )
    try:
        assert process.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            kubeconfig = {
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c"}}],
            }
            request = provider_pb2.ConfigureRequest(variables={"kubernetes:config:kubeconfig": json.dumps(kubeconfig)})
            stub.Configure(request, timeout=30)
            yield stub
    finally:
        process.kill()
        process.wait(30)


def test_a_preview_is_served_without_loading_the_client(
    plugin: provider_pb2_grpc.ResourceProviderStub, tmp_path: Path
) -> None:
    news = encode({"metadata": {"name": "s"}, "stringData": {"a": secret(HIDDEN)}})
    checked = plugin.Check(provider_pb2.CheckRequest(urn=URN, news=news), timeout=30)
    created = plugin.Create(provider_pb2.CreateRequest(urn=URN, properties=checked.inputs, preview=True), timeout=30)
    assert bare(decode(created.properties))["metadata"] == {"name": "s", "namespace": "default"}
    state = encode({**decode(checked.inputs), "__inputs": decode(checked.inputs)})
    same = plugin.Diff(provider_pb2.DiffRequest(urn=URN, olds=state, news=checked.inputs), timeout=30)
    assert same.changes == provider_pb2.DiffResponse.DIFF_NONE
    news = encode({**decode(checked.inputs), "type": "seedbed/other"})
    updated = plugin.Update(
        provider_pb2.UpdateRequest(urn=URN, olds=state, news=news, preview=True, id="default/s"), timeout=30
    )
    assert decode(updated.properties)["type"] == "seedbed/other"
    imported = (tmp_path / "imported").read_text()
    assert "lab.plugins.kubernetes.client" in imported
    assert "kube_config" not in imported
    assert "urllib3" not in imported


def test_an_error_says_what_cannot_be_reached(
    plugin: provider_pb2_grpc.ResourceProviderStub,
) -> None:
    inputs = encode({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": secret({"a": HIDDEN})})
    with pytest.raises(grpc.RpcError) as error:
        plugin.Create(provider_pb2.CreateRequest(urn=URN, properties=inputs), timeout=30)
    assert error.value.details() == (
        "configured Kubernetes cluster is unreachable: http://127.0.0.1:1: connection refused"
    )


@pytest.mark.parametrize(
    ("inputs", "property_"),
    [
        ({"enableServerSideApply": "false"}, "enableServerSideApply"),
        ({"renderYamlToDirectory": "d"}, "renderYamlToDirectory"),
    ],
)
def test_a_provider_that_the_drop_in_cannot_be_is_refused(
    plugin: provider_pb2_grpc.ResourceProviderStub,
    inputs: dict[str, str],
    property_: str,
) -> None:
    urn = "urn:pulumi:s::p::pulumi:providers:kubernetes::p"
    answer = plugin.CheckConfig(provider_pb2.CheckRequest(urn=urn, news=encode(inputs)), timeout=30)
    assert [failure.property for failure in answer.failures] == [property_]
    fine = encode({"enableServerSideApply": "true", "kubeconfig": secret("x")})
    assert list(plugin.CheckConfig(provider_pb2.CheckRequest(urn=urn, news=fine), timeout=30).failures) == []
