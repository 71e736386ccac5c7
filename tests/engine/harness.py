"""A throw-away project on the real engine, with results that a test can ask."""

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tools.toolchain import CLONE, Toolchain

TIMEOUT_SECONDS = 180
WITHOUT_STACK = ("install", "plugin", "version")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Step:
    """What the engine does to one resource; `old` and `new` are its states as `pulumi --json` shows them."""

    op: str
    urn: str
    old: dict[str, Any] = field(repr=False)
    new: dict[str, Any] = field(repr=False)
    detailed_diff: dict[str, Any] | None = None
    diff_reasons: list[str] = field(default_factory=list)
    replace_reasons: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The resource's logical name."""
        return self.urn.rpartition("::")[2]

    @property
    def type(self) -> str:
        """The resource's type without its parents'."""
        return self.urn.split("::")[2].rpartition("$")[2]


@dataclass(frozen=True)
class Outcome:
    """How a command of the CLI ended."""

    code: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    steps: list[Step] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)

    @property
    def ops(self) -> dict[str, str]:
        """Logical name to operation, of all that does not stay the same, in the engine's order."""
        return {step.name: step.op for step in self.steps if step.op != "same"}

    @property
    def text(self) -> str:
        """All that a person would read: diagnostics where the output is JSON, both streams where not."""
        return "\n".join(self.messages) + "\n" + self.stderr if self.messages else self.stdout + self.stderr

    def step(self, name: str) -> Step:
        """The one step of the resource with this logical name."""
        (found,) = [step for step in self.steps if step.name == name]
        return found


class Engine:
    """One project with one stack on a file backend, all below `folder`, and a PULUMI_HOME of its own.

    The environment is made from nothing: no PULUMI_* or AWS_* variable of the caller is seen. `env` may be changed
    by a test. The stack is made by the first command that needs it.
    """

    def __init__(self, folder: Path, toolchain: Toolchain, stack: str = "dev") -> None:
        self.folder = folder / "project"
        self.stack = stack
        self.toolchain = toolchain
        self.passphrase = secrets.token_urlsafe(16)
        self.home = folder / "pulumi-home"
        self._has_stack = False
        for path in (self.folder, self.home / "plugins", folder / "state", folder / "user"):
            path.mkdir(parents=True)
        self._share_plugins()
        self.env = {
            "PATH": f"{toolchain.pulumi.parent}:{CLONE / '.venv' / 'bin'}:{SYSTEM_PATH}",
            "HOME": str(folder / "user"),
            "LANG": "C.UTF-8",
            "PULUMI_HOME": str(self.home),
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": self.passphrase,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DIY_BACKEND_NO_LEGACY_WARNING": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def program(self, text: str, project: dict[str, Any] | None = None) -> None:
        """Make `text` the program, in a project `trial`; `project` adds to its Pulumi.yaml."""
        (self.folder / "__main__.py").write_text(text)
        settings = {"name": "trial", "runtime": "python", **(project or {})}
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump(settings))

    def repository_program(self) -> None:
        """Make the repository's own program, unchanged, the program."""
        for name in ("__main__.py", "stacks", "components", ".venv"):
            (self.folder / name).symlink_to(CLONE / name)
        (self.folder / "Pulumi.yaml").write_text((CLONE / "Pulumi.yaml").read_text())

    def config(self, values: dict[str, Any]) -> None:
        """Set configuration, whole values as they stand in a stack's yaml; a key without `:` is the project's."""
        self._ensure_stack()
        file = self.folder / f"Pulumi.{self.stack}.yaml"
        content = (yaml.safe_load(file.read_text()) if file.exists() else None) or {}
        project = yaml.safe_load((self.folder / "Pulumi.yaml").read_text())["name"]
        named = {key if ":" in key else f"{project}:{key}": value for key, value in values.items()}
        content["config"] = {**content.get("config", {}), **named}
        file.write_text(yaml.safe_dump(content))

    def secret(self, key: str, value: str) -> None:
        """Set one encrypted configuration value."""
        self.run("config", "set", "--secret", key, stdin=value)

    def add_plugin(self, kind: str, name: str, version: str, executable: str) -> None:
        """Install a plugin for this engine alone; `executable` is the text of its script."""
        file = self.home / "plugins" / f"{kind}-{name}-v{version}" / f"pulumi-{kind}-{name}"
        file.parent.mkdir()
        file.write_text(executable)
        file.chmod(0o755)

    def adopt(self, other: "Engine") -> None:
        """Take over the stack that `other` made, whose project and state have been copied here."""
        own = ("HOME", "PULUMI_HOME", "PULUMI_BACKEND_URL")
        self.passphrase, self._has_stack = other.passphrase, True
        self.env = {**other.env, **{name: self.env[name] for name in own}}

    def preview(self, *arguments: str, check: bool = True) -> Outcome:
        """`pulumi preview --json`."""
        return self.run("preview", "--json", "--show-sames", *arguments, check=check)

    def up(self, *arguments: str, check: bool = True) -> Outcome:
        """`pulumi up --json --yes`, without a preview before it unless a plan is applied."""
        skip = [] if "--plan" in arguments else ["--skip-preview"]
        return self.run("up", "--json", "--yes", *skip, *arguments, check=check)

    def destroy(self, *arguments: str, check: bool = True) -> Outcome:
        """`pulumi destroy --json --yes`."""
        return self.run("destroy", "--json", "--yes", "--skip-preview", *arguments, check=check)

    def stack_export(self, show_secrets: bool = False) -> dict[str, Any]:
        """The deployment in the state: `resources`, `pending_operations`, …"""
        arguments = ["--show-secrets"] if show_secrets else []
        deployment: dict[str, Any] = json.loads(self.run("stack", "export", *arguments).stdout)["deployment"]
        return deployment

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in clear."""
        answer: dict[str, Any] = json.loads(self.run("stack", "output", "--json", "--show-secrets").stdout)
        return answer

    def run(
        self,
        *arguments: str,
        check: bool = True,
        stdin: str = "",
        timeout: float = TIMEOUT_SECONDS,
    ) -> Outcome:
        """Any command of the CLI. With `check`, an exit code other than 0 fails the test with all that was said."""
        self._ensure_stack()
        outcome = self._run(list(arguments), stdin, timeout)
        if check and outcome.code != 0:
            raise AssertionError(f"pulumi {' '.join(arguments)} ended with {outcome.code}:\n{outcome.text}")
        return outcome

    def popen(self, *arguments: str) -> "subprocess.Popen[str]":
        """The same command, left running, in a process group of its own; the caller ends it."""
        self._ensure_stack()
        return subprocess.Popen(
            self._argv(list(arguments)),
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _argv(self, arguments: list[str]) -> list[str]:
        stack = [] if arguments[0] in WITHOUT_STACK else ["--stack", self.stack]
        return [str(self.toolchain.pulumi), *arguments, *stack, "--non-interactive"]

    def _ensure_stack(self) -> None:
        if self._has_stack:
            return
        self._has_stack = True
        argv = [str(self.toolchain.pulumi), "stack", "init", self.stack, "--no-select", "--non-interactive"]
        made = subprocess.run(
            argv, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        if made.returncode != 0:
            raise AssertionError(f"pulumi stack init failed:\n{made.stdout}{made.stderr}")

    def _run(self, arguments: list[str], stdin: str, timeout: float) -> Outcome:
        done = subprocess.run(
            self._argv(arguments),
            cwd=self.folder,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if "--json" not in arguments or arguments[0] not in ("preview", "up", "destroy"):
            return Outcome(done.returncode, done.stdout, done.stderr)
        objects = list(_objects(done.stdout))
        digests = [found for found in objects if "sequence" not in found]
        events = [found for found in objects if "sequence" in found]
        return Outcome(
            done.returncode,
            done.stdout,
            done.stderr,
            steps=_event_steps(events) if events else [step for digest in digests for step in _steps(digest)],
            messages=_messages(digests, events),
            changes=_changes(digests, events),
        )

    def _share_plugins(self) -> None:
        """The toolchain's plugins: folders that are real ones, because the engine passes over linked ones."""
        for folder in (self.toolchain.home / "plugins").glob("*-v*"):
            if not folder.is_dir():
                continue
            mine = self.home / "plugins" / folder.name
            mine.mkdir()
            for file in folder.iterdir():
                (mine / file.name).symlink_to(file)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that stand one after the other in `text`."""
    decoder = json.JSONDecoder()
    position = 0
    while (start := text.find("{", position)) >= 0:
        value, position = decoder.raw_decode(text, start)
        yield value


def _steps(digest: dict[str, Any]) -> list[Step]:
    return [
        Step(
            op=step["op"],
            urn=step["urn"],
            old=step.get("oldState") or {},
            new=step.get("newState") or {},
            detailed_diff=step.get("detailedDiff"),
            diff_reasons=step.get("diffReasons") or [],
            replace_reasons=step.get("replaceReasons") or [],
        )
        for step in digest.get("steps", [])
    ]


def _event_steps(events: list[dict[str, Any]]) -> list[Step]:
    """The steps that were carried out, in the order in which they ended."""
    ended = [event["resOutputsEvent"]["metadata"] for event in events if "resOutputsEvent" in event]
    return [
        Step(
            op=step["op"],
            urn=step["urn"],
            old=step.get("old") or {},
            new=step.get("new") or {},
            detailed_diff=step.get("detailedDiff"),
            diff_reasons=step.get("diffs") or [],
            replace_reasons=step.get("keys") or [],
        )
        for step in ended
    ]


def _messages(digests: list[dict[str, Any]], events: list[dict[str, Any]]) -> list[str]:
    shown = [note for digest in digests for note in digest.get("diagnostics", [])]
    shown += [event["diagnosticEvent"] for event in events if "diagnosticEvent" in event]
    shown += [event["stdoutEvent"] for event in events if "stdoutEvent" in event]
    return [note.get("prefix", "") + note["message"].rstrip("\n") for note in shown if note.get("severity") != "debug"]


def _changes(digests: list[dict[str, Any]], events: list[dict[str, Any]]) -> dict[str, int]:
    for event in events:
        if "summaryEvent" in event:
            return dict(event["summaryEvent"]["resourceChanges"])
    return dict(digests[-1].get("changeSummary") or {}) if digests else {}


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for `condition`; fail the test with `what` when it does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
