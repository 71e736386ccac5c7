"""The plugin as a process."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from lab.plugins.protocol.values import decode, encode

CLONE = Path(__file__).parents[4]
SERVE = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1));"
    " runpy.run_module('lab.plugins.digitalocean', run_name='__main__', alter_sys=True)"
)
URN = "urn:pulumi:s::p::seedbed:Metal$digitalocean:index/droplet:Droplet::vm"


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """The plugin, started from anywhere, with a token for nobody."""
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
            settings = {"digitalocean:config:apiEndpoint": "http://127.0.0.1:1", "digitalocean:config:token": "nobody"}
            stub.Configure(provider_pb2.ConfigureRequest(variables=settings), timeout=30)
            yield stub
    finally:
        process.kill()
        process.wait(30)


def test_a_preview_is_served_without_loading_the_clients(
    plugin: provider_pb2_grpc.ResourceProviderStub, tmp_path: Path
) -> None:
    news = encode({"image": "debian-12-x64", "size": "s-1vcpu-1gb", "region": "fra1"})
    checked = plugin.Check(provider_pb2.CheckRequest(urn=URN, news=news, randomSeed=b"s"), timeout=30)
    created = plugin.Create(provider_pb2.CreateRequest(urn=URN, properties=checked.inputs, preview=True), timeout=30)
    state = {**decode(created.properties), "status": "active"}
    diff = provider_pb2.DiffRequest(urn=URN, olds=encode(state), news=checked.inputs)
    assert plugin.Diff(diff, timeout=30).changes == provider_pb2.DiffResponse.DIFF_NONE
    larger = encode({**decode(checked.inputs), "size": "s-2vcpu-4gb"})
    request = provider_pb2.UpdateRequest(urn=URN, olds=encode(state), news=larger, preview=True, id="1")
    assert decode(plugin.Update(request, timeout=30).properties)["size"] == "s-2vcpu-4gb"
    imported = (tmp_path / "imported").read_text()
    assert "lab.plugins.digitalocean.api" in imported
    for client in ("pydo", "azure", "requests", "urllib3", "boto3", "botocore"):
        assert f"| {client}" not in imported.replace("|   ", "| "), client


def test_functions_and_other_types_are_refused_with_the_way_out(
    plugin: provider_pb2_grpc.ResourceProviderStub,
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        plugin.Invoke(provider_pb2.InvokeRequest(tok="digitalocean:index/getDroplet:getDroplet"), timeout=30)
    assert "knows no functions" in error.value.details()
    other = "urn:pulumi:s::p::digitalocean:index/app:App::a"
    with pytest.raises(grpc.RpcError) as error:
        plugin.Check(provider_pb2.CheckRequest(urn=other, news=encode({})), timeout=30)
    assert "pulumi plugin install resource digitalocean" in error.value.details()
