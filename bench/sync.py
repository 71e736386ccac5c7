"""From a push to git to the cluster: when ArgoCD looks by itself, and when `seedbed sync` has it look."""

import os
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench import report
from bench.measure import BenchError, Usage, median
from bench.measure import run as measured
from bench.world import World
from lab.git import service, tree
from seedbed.kube import Api, RefusedError, section
from stacks.config import from_file

SYNCED_ROUNDS = 5
POLLED_ROUNDS = 3
LOOK_SECONDS = 0.2
TIMEOUT_SECONDS = 400

ENVIRONMENT = "dev"
SETTINGS = Path("k8s/apps/podinfo/base/kustomization.yaml")
COLOR = "PODINFO_UI_COLOR"


@dataclass(frozen=True)
class Push:
    """Seconds from the end of `git push` until the cluster had the change, until the application answered with it, and
    until `seedbed sync` had ended, where it was called."""

    applied: float
    shown: float
    told: float | None = None


def run(world: World) -> Path:
    """Measure, and write results/sync.md."""
    before = report.load()
    clone = _Clone(world)
    least, jitter = interval(yaml.safe_load((clone.folder / "k8s/base/argocd/argocd-cm.yaml").read_text())["data"])
    with world.progress.phase("pushes with seedbed sync"):
        synced = [_pushed(world, clone, sync=True) for _ in range(SYNCED_ROUNDS)]
    polled = []
    with world.progress.phase("pushes that wait for ArgoCD's poll"):
        for _ in range(POLLED_ROUNDS):
            # All looked at git when the last one ended: the next push comes at any moment of the interval.
            time.sleep(secrets.randbelow(least + jitter))
            polled.append(_pushed(world, clone, sync=False))
    return report.write("sync", "From git push to the cluster", before, _body(world, synced, polled, least, jitter))


def interval(settings: Mapping[str, Any]) -> tuple[int, int]:
    """How often ArgoCD asks git, of its ConfigMap argocd-cm: seconds, and up to how many more."""
    least, jitter = (
        re.fullmatch(r"(\d+)s", str(settings[f"timeout.reconciliation{name}"])) for name in ("", ".jitter")
    )
    if least is None or jitter is None:
        raise BenchError("timeout.reconciliation and its jitter are not in seconds in k8s/base/argocd/argocd-cm.yaml")
    return int(least[1]), int(jitter[1])


class _Clone:
    """A clone of the lab's repository, worked as docs/reference/lab-repository.md says."""

    def __init__(self, world: World) -> None:
        stack = world.stack
        people = {
            f"GIT_{who}_{what}": "bench@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        self._environment = os.environ | people | {"GIT_SSH_COMMAND": service.ssh_command(stack.lab_folder)}
        self.folder = stack.root / ".bench" / "clone"
        address = stack.subnet[2]
        self.git("clone", "--quiet", f"ssh://git@{address}/{tree.REPOSITORY}", str(self.folder), folder=stack.root)

    def git(self, *words: str, folder: Path | None = None) -> None:
        done = subprocess.run(
            ["git", *words], cwd=folder or self.folder, env=self._environment,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BenchError(f"git {words[0]} ended with {done.returncode}:\n{done.stderr}")

    def push_color(self, color: str) -> None:
        file = self.folder / SETTINGS
        text, found = re.subn(rf"{COLOR}=\S+", f"{COLOR}={color}", file.read_text())
        if not found:
            raise BenchError(f"{SETTINGS} does not set {COLOR}")
        file.write_text(text)
        self.git("commit", "--quiet", "--all", "--message", f"Show {color}")
        self.git("push", "--quiet")


def _pushed(world: World, clone: _Clone, *, sync: bool) -> Push:
    """One change of a setting of podinfo's, which brings a new ConfigMap and with it new pods."""
    stack = world.stack
    api = Api.of(stack.identity, str(from_file(stack.name, stack.root).api_url))
    color = f"#{secrets.token_hex(3)}"
    clone.push_color(color)
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        asked = pool.submit(_seedbed_sync, world) if sync else None
        applied = _until(began, lambda: _is_applied(api, color))
        shown = _until(began, lambda: _is_shown(api, color))
        return Push(applied, shown, asked.result().seconds if asked else None)


def _seedbed_sync(world: World) -> Usage:
    python = str(world.stack.root / ".venv" / "bin" / "python")
    command = [python, "-m", "seedbed", "sync", world.stack.name]
    return measured(command, world.stack.root, world.environment, TIMEOUT_SECONDS)


def _until(began: float, there: Callable[[], bool]) -> float:
    """Seconds since `began` when it is there. Raises BenchError where it is not in time."""
    while not there():
        if time.monotonic() - began > TIMEOUT_SECONDS:
            raise BenchError(f"what was pushed is not on the cluster after {TIMEOUT_SECONDS} s")
        time.sleep(LOOK_SECONDS)
    return time.monotonic() - began


def _is_applied(api: Api, color: str) -> bool:
    found = api.items(f"/api/v1/namespaces/{ENVIRONMENT}/configmaps")
    return any(section(item, "data").get(COLOR) == color for item in found)


def _is_shown(api: Api, color: str) -> bool:
    try:
        return api.get(f"/api/v1/namespaces/{ENVIRONMENT}/services/podinfo:http/proxy/").get("color") == color
    except RefusedError:  # no pod is ready
        return False


def _body(world: World, synced: Sequence[Push], polled: Sequence[Push], least: int, jitter: int) -> str:
    rows = [_row("with `seedbed sync`", synced), _row("by ArgoCD's poll", polled)]
    return (
        report.table(("median (from - to) after the push", "on the cluster", "answered", "`seedbed sync` ended"), rows)
        + f"\n{len(synced)} pushes with `seedbed sync` right after each, {len(polled)} without. Each changes a setting of podinfo: a new "
        "ConfigMap, which is when the change counts as on the cluster, and with it new pods; it counts as answered when "
        "podinfo's Service answers with it. Seconds are from the end of `git push` over SSH, and the cluster is looked at "
        f"every {LOOK_SECONDS:g} s. `seedbed sync` ends when all Applications are Synced, whether or not the new pods answer yet. "
        f"ArgoCD asks git every {least} s and up to {jitter} s more (k8s/base/argocd/argocd-cm.yaml); the pushes that wait "
        f"for it come at random moments of that interval.\n\n{world.about()}\n"
    )


def _row(name: str, pushes: Sequence[Push]) -> tuple[str, ...]:
    told = [push.told for push in pushes if push.told is not None]
    columns = ([push.applied for push in pushes], [push.shown for push in pushes], told)
    return (
        name,
        *(f"{median(column):.1f} s ({min(column):.1f} - {max(column):.1f})" if column else "" for column in columns),
    )
