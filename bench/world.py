"""The stack that is measured: the dev stack on a lab of its own, in a copy of the tree, made once for several benchmarks."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from bench.measure import Usage, run
from lab.image import Image
from stacks.config import from_file
from tests.lab.conftest import new_spec
from tests.lab.stacks import Stack
from tools.dropins import PROVIDERS
from tools.progress import Progress

UP_SECONDS = 900


@dataclass
class World:
    """A stack that is up. Its environment is asked for once: asking takes as long as a preview."""

    stack: Stack
    progress: Progress

    @cached_property
    def environment(self) -> dict[str, str]:
        """Of a shell in which plain `pulumi` works on the stack."""
        return self.stack.environment()

    def pulumi(
        self,
        *arguments: str,
        folder: Path | None = None,
        stack: str | None = None,
        timeout: float = UP_SECONDS,
        kind_of: Callable[[str], str | None] | None = None,
        stdin: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> Usage:
        """`pulumi …`, measured, on the stack that is up, another one of its project, or the project in `folder`.

        `variables` are added to the environment.
        """
        argv = ["pulumi", *arguments, "--non-interactive"]
        named = {"PULUMI_STACK": stack or (folder.name if folder else self.stack.name)}
        environment = self.environment | dict(variables or {}) | named
        return run(argv, folder or self.stack.root, environment, timeout, kind_of, stdin)

    def destroy(self) -> None:
        """Give the cluster up, as docs/how-to/destroy-a-stack.md says; the settings and the hosts stay."""
        before = self.stack.settings_file.read_text()
        settings = from_file(self.stack.name, self.stack.root)
        everyone = [settings.full_name(name) for name in settings.machines]
        self.stack.change(lambda config: config.update({"seedbed:retire": everyone}))
        try:
            self.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
        finally:
            self.stack.settings_file.write_text(before)

    def about(self) -> str:
        """Which engine and which k3s were measured."""
        version = run(["pulumi", "version"], self.stack.root, self.environment, 30).output.strip()
        drop_ins = dropped_in(Path(self.environment["PULUMI_HOME"], "plugins"))
        k3s = self.stack.lab.ssh(self.stack.lab.host_names()[-1], "k3s --version").stdout.splitlines()[0]
        kind = f"the drop-in language host, and {drop_ins} plugins" if drop_ins else "the official plugins"
        return f"Pulumi CLI {version} with {kind}; `{k3s}`; state in versitygw on loopback."

    def project(self, name: str, program: str, config: dict[str, Any]) -> Path:
        """A project beside the measured one, on the same backend, with a stack of its own; its folder."""
        folder = self.stack.root / ".bench" / name
        folder.mkdir(parents=True)
        (folder / ".venv").symlink_to(self.stack.root / ".venv")
        (folder / "__main__.py").write_text(program)
        settings = yaml.safe_load((self.stack.root / "Pulumi.yaml").read_text())
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": name, "runtime": settings["runtime"]}))
        (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": config}))
        self.pulumi("stack", "init", name, folder=folder)
        return folder


@contextmanager
def world(progress: Progress, *, seed: bool) -> Iterator[World]:
    """The stack, up, with a seed or without; taken away at the end, whatever happened."""
    stack = Stack.make(new_spec().subnet, seed=seed, image=Image.BARE)
    try:
        with progress.phase(f"the stack that is measured, {'with its' if seed else 'without a'} seed"):
            stack.seedbed("up", stack.name, timeout=UP_SECONDS)
        yield World(stack, progress)
    finally:
        with progress.phase("lab down"):
            stack.remove()


def dropped_in(plugins: Path) -> str:
    """The providers in this folder of a PULUMI_HOME that are drop-ins, as words; empty where there are none."""
    names = [
        name for name in PROVIDERS if any(_is_drop_in(file) for file in plugins.glob(f"resource-{name}-*/pulumi-*"))
    ]
    *first, last = [f"`{name}`" for name in names] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _is_drop_in(file: Path) -> bool:
    return "seedbed" in file.read_text(errors="replace")[:200]


def timings(output: str) -> list[tuple[float, str]]:
    """The table `Where the time went` that `seedbed up` ends with, as (seconds, phase); indented where it is a step."""
    lines = iter(output.splitlines())
    for line in lines:
        if line.startswith("Where the time went"):
            break
    found = []
    for line in lines:
        words = line.split(maxsplit=2)
        if len(words) < 3 or words[1] != "s":
            break
        indent = "  " if line.partition(" s ")[2].startswith("   ") else ""
        found.append((float(words[0]), indent + words[2]))
    return found
