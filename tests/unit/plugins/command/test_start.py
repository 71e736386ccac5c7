"""The plugin as a process."""

import os
import select
import subprocess
import sys
from pathlib import Path

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from lab.plugins.protocol.values import decode, encode

CLONE = Path(__file__).parents[4]

SERVE = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('lab.plugins.command', run_name='__main__', alter_sys=True)"
URN = "urn:pulumi:s::p::seedbed:Host$command:remote:Command::name"


def test_a_preview_is_served_from_anywhere_without_loading_ssh(tmp_path: Path) -> None:
    plugin = subprocess.Popen(
        [sys.executable, "-P", "-c", SERVE, str(CLONE), "127.0.0.1:1"], stdout=subprocess.PIPE, cwd=tmp_path, text=True
    )
    try:
        assert plugin.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(plugin.stdout.readline())}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            news = encode({"connection": {"host": "h"}, "create": "true"})
            checked = stub.Check(provider_pb2.CheckRequest(urn=URN, news=news), timeout=30)
            assert list(checked.failures) == []
            created = stub.Create(
                provider_pb2.CreateRequest(urn=URN, properties=checked.inputs, preview=True), timeout=30
            )
            assert decode(created.properties)["create"] == "true"
            same = stub.Diff(
                provider_pb2.DiffRequest(urn=URN, olds=created.properties, news=checked.inputs), timeout=30
            )
            assert same.changes == provider_pb2.DiffResponse.DIFF_NONE
        assert "asyncssh" not in Path(f"/proc/{plugin.pid}/maps").read_text()
        assert "cryptography" not in Path(f"/proc/{plugin.pid}/maps").read_text()
    finally:
        plugin.kill()
        plugin.wait(30)


def test_an_engine_that_was_killed_takes_the_plugin_with_it(tmp_path: Path) -> None:
    engine = subprocess.Popen(
        ["/bin/sh", "-c", '"$@" & echo $!; wait', "sh", sys.executable, "-P", "-c", SERVE, str(CLONE), "127.0.0.1:1"],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    assert engine.stdout is not None
    plugin, port = int(engine.stdout.readline()), int(engine.stdout.readline())
    assert port > 0
    os.kill(plugin, 0)
    engine.kill()
    engine.wait(30)
    # The pipe ends when nobody holds it any more.
    assert select.select([engine.stdout], [], [], 30)[0]
    assert engine.stdout.read() == ""


def test_without_an_address_it_says_who_starts_it() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", SERVE, str(CLONE)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "engine starts this" in done.stderr
