"""The program under Pulumi's mocks: every resource that it registers, with all of its options."""

import asyncio
import json
import runpy
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from google.protobuf import json_format
from pulumi.runtime import mocks, settings
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_in_stack

from stacks.config import ROOT
from stacks.identity import Identity, generate

HERE = Path(__file__).parent

SECRET = "1b47061264138c4ac30d75fd1eb44270"
SIGNATURE = "4dabf18193072939515e22adb298388d"


@dataclass(frozen=True)
class Registered:
    """A resource as the program asked for it."""

    type: str
    name: str
    inputs: dict[str, Any]
    request: resource_pb2.RegisterResourceRequest


@dataclass(frozen=True)
class Program:
    resources: list[Registered]
    outputs: dict[str, Any]

    def step(self, machine: str, step: str) -> Registered:
        return next(r for r in self.resources if r.name == f"{machine}-{step}")

    @property
    def commands(self) -> list[Registered]:
        """The steps of paving."""
        return [r for r in self._commands if "seedbed:pave:Node" in r.request.parent]

    @property
    def seed(self) -> dict[str, Registered]:
        """What the seed is made of, by name; its steps, and the copy of their scripts, without the digest of the event that they run for."""
        parts = [r for r in self.resources if "seedbed:seed:Seed" in r.request.parent]
        return {r.name.rpartition("-")[0] if r.type.startswith("command:") else r.name: r for r in parts}

    @property
    def _commands(self) -> list[Registered]:
        return [r for r in self.resources if r.type == "command:remote:Command"]


CLOUD: dict[str, dict[str, Any]] = {
    "digitalocean:index/loadBalancer:LoadBalancer": {"ip": "203.0.113.9", "loadBalancerUrn": "do:loadbalancer:9"},
    "digitalocean:index/droplet:Droplet": {"ipv4Address": "203.0.113.20", "ipv4AddressPrivate": "10.20.0.11"},
    "digitalocean:index/spacesKey:SpacesKey": {"accessKey": "ACCESS", "secretKey": "not-a-real-key"},
}
"""What the cloud tells of a resource when it has made it."""


REMEMBERED: dict[str, Any] = {}
"""What a memory has been told before, by its name; the others are new."""


class _Nothing(mocks.Mocks):
    """Known ids, and no outputs but the cloud's, which is what a first preview sees."""

    def call(self, args):
        raise AssertionError(f"the program must not ask a provider for anything, it asked for {args.token}")

    def new_resource(self, args):
        if args.typ == "digitalocean:index/droplet:Droplet":
            return str(zlib.crc32(args.name.encode())), {**args.inputs, **CLOUD[args.typ]}
        if args.typ == "pulumi:index:Stash":
            return f"{args.name}-id", {"output": REMEMBERED.get(args.name, args.inputs["input"])}
        return f"{args.name}-id", CLOUD.get(args.typ, {})


class _Recorder(mocks.MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Nothing())
        self.requests: list[resource_pb2.RegisterResourceRequest] = []
        self.outputs: dict[str, Any] = {}

    def RegisterResource(self, request):  # noqa: N802 - the protocol's name
        if request.type != "pulumi:pulumi:Stack":
            self.requests.append(request)
        return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request):  # noqa: N802
        # The mocks' own stack registers its outputs too, and has none.
        if "::pulumi:pulumi:Stack::" in request.urn and request.outputs.fields:
            self.outputs = json_format.MessageToDict(request.outputs)
        return super().RegisterResourceOutputs(request)


@pytest.fixture(scope="session")
def identity() -> Identity:
    return generate()


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the seed is planted from, without the applications, whose secrets are sealed for nobody here."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "k8s" / "base", folder / "base")
    return folder


@pytest.fixture
def run(identity: Identity, tree: Path) -> Iterator[Callable[..., Program]]:
    """Runs `__main__.py` with a stack file's settings, an identity, and changes to the settings."""

    def run(stack: str = "existing", change: Callable[[dict[str, Any]], None] | None = None) -> Program:
        file = next(f for folder in (HERE, ROOT) if (f := folder / f"Pulumi.{stack}.yaml").exists())
        config: dict[str, Any] = yaml.safe_load(file.read_text())["config"]
        config = {k: v for k, v in config.items() if k != "seedbed:identityFile"}
        config["seedbed:identity"] = json.loads(identity.to_json())
        config["seedbed:k3s"].pop("sha256File", None)
        config["seedbed:seed"] |= {"tree": str(tree)}
        if config["seedbed:seed"]["repository"].pop("knownHostsFile", None):
            config["seedbed:seed"]["repository"]["knownHosts"] = ["git.seedbed.internal ssh-ed25519 AAAA"]
        if change:
            change(config)
        pulumi.runtime.set_all_config({k: json.dumps(v) for k, v in config.items()}, ["seedbed:identity"])
        recorder = _Recorder()
        run.requests = recorder.requests  # type: ignore[attr-defined]  # of a program that fails too
        asyncio.set_event_loop(asyncio.new_event_loop())
        mocks.set_mocks(_Nothing(), project="seedbed", stack=stack, preview=False, monitor=recorder)
        # The mocks bring a finished stack of their own; the program's must be the one that its outputs go to.
        settings.set_root_resource(None)  # type: ignore[arg-type]
        asyncio.get_event_loop().run_until_complete(run_in_stack(_run_main))
        resources = [Registered(r.type, r.name, json_format.MessageToDict(r.object), r) for r in recorder.requests]
        return Program(sorted(resources, key=lambda r: (r.type, r.name)), recorder.outputs)

    yield run
    settings.reset_options()
    pulumi.runtime.set_all_config({}, [])


def _run_main() -> None:
    runpy.run_path(str(Path(ROOT) / "__main__.py"), run_name="__main__")
