"""A cluster on hosts that are there already, in which machines are replaced as a person does it: by lines in the stack's file."""

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from lab.image import VARIABLE, Image
from lab.stack_lab import StackLab
from seedbed.commands.review import CODES
from stacks.config import from_file
from tests.clones import committed
from tests.lab.conftest import new_spec
from tests.lab.paving import Ground
from tests.lab.stacks import Stack
from tools.progress import Progress

Change = Callable[[dict[str, Any]], None]


class Cluster(Ground):
    """`generations` of the machines as the stack's file has them now; new machines are at addresses that nobody had."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self._given = 40

    @staticmethod
    @contextmanager
    def made(change: Change) -> Iterator["Cluster"]:
        """A stack that `change` has given its machines, on a lab that is up, before any `up` of the stack."""
        stack = Stack.make(new_spec().subnet, change)
        try:
            stack.seedbed("lab", "--stack", stack.name, "up", timeout=400)
            cluster = Cluster(stack)
            cluster.pulumi("stack", "init")
            yield cluster
        finally:
            stack.remove()

    def address(self) -> str:
        """One that no host has had."""
        self._given += 1
        return str(self.stack.subnet[self._given])

    def machines(self) -> dict[str, dict[str, Any]]:
        """What the stack's file says of each machine."""
        found: dict[str, dict[str, Any]] = {}
        self.stack.change(lambda config: found.update(config["seedbed:machines"]))
        return found

    def add(self, name: str, **settings: Any) -> str:
        """One machine more, with a host; its full name."""
        self.stack.change(
            lambda config: config["seedbed:machines"].update({name: {"address": self.address(), **settings}})
        )
        self.make_host(name)
        return self.full_name(name)

    def bump(self, name: str, *, host: bool = True) -> tuple[str, str]:
        """The next generation of a machine, at an address of its own; the full names of the old one and the new one.

        Without `host` there is nothing at that address.
        """
        old = self.full_name(name)

        def change(config: dict[str, Any]) -> None:
            machine = config["seedbed:machines"][name]
            machine["generation"] = machine.get("generation", 1) + 1
            machine["address"] = self.address()

        self.stack.change(change)
        if host:
            self.make_host(name)
        return old, self.full_name(name)

    def make_host(self, name: str) -> None:
        """The host of one machine; all others are left as they are, without power or with it."""
        stack = self.stack
        lab = StackLab(stack.name, stack.lab_folder, from_file(stack.name, stack.root))
        [host] = [host for host in lab.hosts(stack.identity) if host.name == self.full_name(name)]
        with mock.patch.dict(os.environ, {VARIABLE: Image.PREPARED}):
            self.lab.add_host(host, Progress())

    def drop(self, name: str) -> str:
        """A machine out of the stack's file; its full name."""
        old = self.full_name(name)
        self.stack.change(lambda config: config["seedbed:machines"].pop(name))
        return old

    def retire(self, *full_names: str) -> None:
        """What may leave, and nothing else."""
        self.stack.change(lambda config: config.update({"seedbed:retire": list(full_names)}))

    def full_name(self, name: str) -> str:
        """With its generation."""
        return f"{name}-{self.machines()[name].get('generation', 1)}"

    def applies(self, *in_the_report: str) -> str:
        """`seedbed apply` of a `seedbed review` of what the stack's file says now; the output of the former, which ends well.

        Each of `in_the_report` has to be in what the review says, which a person has to have read.
        """
        committed(self.stack.root)
        bundle = self.stack.root / ".review" / "test.zip"
        review = self._seedbed("review", self.stack.name, "--output", str(bundle))
        assert review.returncode == CODES["needs eyes"], review.stdout + review.stderr
        assert [text for text in in_the_report if text not in review.stdout] == [], review.stdout
        apply = self._seedbed("apply", str(bundle))
        assert apply.returncode == 0, apply.stdout + apply.stderr
        return apply.stdout

    def _seedbed(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.stack.root / ".venv" / "bin" / "seedbed"), *arguments],
            cwd=self.stack.root, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip

    def delete_host(self, full_name: str) -> None:
        """As whoever owns the machine does it when the machine has left."""
        self.lab.remove_host(full_name)

    def nodes(self) -> dict[str, bool]:
        """Whether it is Ready, of each node that the cluster knows."""
        found = json.loads(self.kubectl("get", "nodes", "--output", "json"))["items"]
        return {
            node["metadata"]["name"]: {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"
            for node in found
        }

    def kubectl(self, *arguments: str, stdin: str = "", server: str | None = None, check: bool = True) -> str:
        """`k3s kubectl` on a server, by its full name, or on the first of the stack's file; its standard output."""
        if server is None:
            server = next(self.full_name(name) for name, m in sorted(self.machines().items()) if m["role"] == "server")
        done = self.lab.ssh(server, f"k3s kubectl {shlex.join(arguments)}", stdin=stdin, check=check, timeout=90)
        return done.stdout
