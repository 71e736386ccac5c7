"""The prod stack as it is rehearsed on the lab's cloud: three servers and two agents that the program has made."""

import json
import subprocess
import urllib.request
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from lab import cloud_lab
from lab.cloud import service
from seedbed.kube import Api
from stacks.config import ROOT
from tests.lab.conftest import ROOT as LABS
from tests.lab.stacks import Stack, new_name

SERVERS = ("server-a-1", "server-b-1", "server-c-1")
AGENTS = ("agent-a-1", "agent-b-1")
INIT = SERVERS[0]
REHEARSE_SECONDS = 900


class Rehearsed(Stack):
    """A stack with the settings of `Pulumi.prod.yaml`, under a name of its own, in a copy of the tree."""

    @staticmethod
    def new(subnet: IPv4Network) -> "Rehearsed":
        """A copy of the tree; nothing runs yet."""
        stack = Rehearsed(new_name(), LABS, subnet)
        stack.root = LABS / f"clone-{stack.name}"
        stack.copy_tree()
        config = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]
        stack.settings_file.write_text(yaml.safe_dump({"config": config}))
        (stack.lab_folder / cloud_lab.SUBNET).write_text(f"{subnet}\n")
        return stack

    def rehearse(self) -> "subprocess.CompletedProcess[str]":
        """`make rehearse`, for this stack."""
        return self.seedbed("rehearse", self.name, timeout=REHEARSE_SECONDS)

    def environment(self) -> dict[str, str]:
        """The shell after `eval "$(seedbed env STACK --rehearsal)"`."""
        return self.shell(self.seedbed("env", self.name, "--rehearsal").stdout)

    def pulumi(
        self, *arguments: str, check: bool = True, timeout: float = REHEARSE_SECONDS, **extra: str
    ) -> "subprocess.CompletedProcess[str]":
        """`pulumi …` with the rehearsal's settings."""
        environment = self.environment() | extra
        if arguments[0] in ("preview", "up", "refresh", "destroy"):
            arguments = (*arguments, "--config-file", environment["SEEDBED_CONFIG_FILE"])
        command = ["pulumi", *arguments, "--stack", self.name, "--non-interactive"]
        return self._run(command, environment, check, timeout)

    def outputs(self) -> dict[str, Any]:
        """The stack's, without the secret ones."""
        return dict(json.loads(self.pulumi("stack", "output", "--json").stdout))

    def cloud(self) -> "service.Endpoint":
        """The API of the lab's cloud."""
        endpoint = service.load(self.lab_folder)
        assert endpoint is not None
        return endpoint


@dataclass(frozen=True)
class Prod:
    """The stack, what `rehearse` said, and a kubeconfig of the first day."""

    stack: Rehearsed
    console: str
    outputs: dict[str, Any]
    environment: dict[str, str]
    kubeconfig: Path

    @property
    def url(self) -> str:
        """Of the API, at the load balancer."""
        return str(self.outputs["apiUrl"])

    @property
    def balancer(self) -> str:
        """The load balancer's address."""
        return self.url.removeprefix("https://").removesuffix(":6443")

    @property
    def api(self) -> Api:
        """By way of the load balancer."""
        return Api.of(self.stack.identity, self.url)

    def public(self, machine: str) -> str:
        """A droplet's public address."""
        return str(self.outputs["nodes"][machine]["publicAddress"])

    def private(self, machine: str) -> str:
        """A droplet's address in the VPC."""
        return str(self.outputs["nodes"][machine]["address"])

    def ask(self, path: str) -> dict[str, Any]:
        """What the cloud's API answers."""
        endpoint = self.stack.cloud()
        request = urllib.request.Request(endpoint.url + path, headers={"Authorization": f"Bearer {endpoint.token}"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            return dict(json.loads(reply.read()))

    def kubectl(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """`kubectl` on this machine, by way of the load balancer."""
        return subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), "--request-timeout=10s", *arguments],
            env=self.environment, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def ssh(self, host: str, command: str, **options: Any) -> str:
        """What a command on a droplet prints."""
        return self.stack.lab.ssh(host, command, **options).stdout
