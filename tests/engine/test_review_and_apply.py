"""`seedbed review` and `seedbed apply` on the real engine: what was reviewed is applied, and nothing is where anything changed."""

import hashlib
import json
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from seedbed import bundle as bundles
from seedbed.passphrase import Crypter
from stacks.identity import Identity
from tests.clones import git
from tests.engine.reviewed import STACK, Deployed, Reviewed, a_rule_for_the_world
from tests.lab import secret_search
from tools.toolchain import CLONE

SECONDS = 180
NOTHING, SAFE, NEEDS_EYES = 0, 2, 3

WRAPPER = """#!/bin/sh
{before}
exec '{pulumi}' "$@"
"""
"""Stands before the CLI, which it then becomes."""


@dataclass
class Clone:
    """A clone of the repository with a stack that has one agent more in its settings than in its state, and its bundle."""

    reviewed: Reviewed
    bundle: Path
    review: "subprocess.CompletedProcess[str]"

    @property
    def root(self) -> Path:
        return self.reviewed.root

    @property
    def state_file(self) -> Path:
        return self.reviewed.state / ".pulumi" / "stacks" / "seedbed" / f"{STACK}.json"

    def seedbed(self, *arguments: str, without: str = "") -> "subprocess.CompletedProcess[str]":
        """Runs a command; without the variables of the environment whose names begin so."""
        argv = [str(self.root / ".venv" / "bin" / "python"), "-m", "seedbed", *arguments]
        inherited = self.reviewed.engine.env
        env = {name: value for name, value in inherited.items() if not (without and name.startswith(without))}
        return subprocess.run(
            argv, cwd=self.root, env=env, capture_output=True, text=True, timeout=SECONDS, check=False
        )  # fmt: skip

    def apply(self, other: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return self.seedbed("apply", str(other or self.bundle))

    def before_the_cli(self, script: str) -> None:
        """Lets every `pulumi` be preceded by a script."""
        pulumi = self.root / ".tools" / "bin" / "pulumi"
        real = (CLONE / ".tools" / "bin" / "pulumi").resolve()
        pulumi.unlink()
        pulumi.write_text(WRAPPER.format(before=script, pulumi=real))
        pulumi.chmod(0o755)

    def machines(self) -> set[str]:
        resources = json.loads(self.state_file.read_text())["checkpoint"]["latest"]["resources"]
        return {found["urn"].rpartition("::")[2] for found in resources if found["type"] == "seedbed:pave:Node"}

    def files_of_the_state(self) -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in self.reviewed.state.rglob("*") if file.is_file()}


def members(packed: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(packed) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repacked(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return path


def less_to_do(plan: bytes) -> bytes:
    """The plan without what it would do to one resource."""
    planned = json.loads(plan)
    planned["resourcePlans"].pop(next(urn for urn in planned["resourcePlans"] if urn.endswith("::agent-c-1-k3s")))
    return json.dumps(planned).encode()


def touch_a_resource(state: Path) -> None:
    """As somebody's `up` might, in a way that the engine does not notice when it holds the program against a plan."""
    stored = json.loads(state.read_text())
    for resource in stored["checkpoint"]["latest"]["resources"]:
        if resource["urn"].endswith("::agent-b-1-k3s"):
            resource["modified"] = "2026-01-01T00:00:00Z"
    state.write_text(json.dumps(stored))


def one_agent_more(settings: dict[str, Any]) -> None:
    settings["seedbed:pools"]["agents"]["machines"]["agent-c"] = {}


@pytest.fixture(scope="module")
def asked(prod: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    reviewed = prod.copy(tmp_path_factory.mktemp("asked") / "clone")
    tools = reviewed.root / ".tools"
    (tools / "pulumi-home").mkdir(parents=True)
    shutil.copytree(CLONE / ".tools" / "bin", tools / "bin", symlinks=True)
    # The engine passes over what is behind a link.
    shutil.copytree(CLONE / ".tools" / "pulumi-home" / "plugins", tools / "pulumi-home" / "plugins", symlinks=True)
    if not (reviewed.root / "requirements").exists():
        shutil.copytree(CLONE / "requirements", reviewed.root / "requirements")
    reviewed.change(one_agent_more)
    made = Clone(reviewed, Path(), subprocess.CompletedProcess([], -1))
    before = made.files_of_the_state()
    made.review = made.seedbed("review", STACK, "--report", "report.md")
    assert made.review.returncode == SAFE, made.review.stderr
    assert made.files_of_the_state() == before, "a review wrote to the state's store"
    (made.bundle,) = (reviewed.root / ".review").glob("*.zip")
    return made


@pytest.fixture
def clone(asked: Clone, tmp_path: Path) -> Iterator[Clone]:
    """The clone after the review; what a test does to it is undone."""
    state, cli = asked.reviewed.state, asked.root / ".tools" / "bin" / "pulumi"
    head = git(asked.root, "rev-parse", "HEAD")
    shutil.copytree(state, tmp_path / "state")
    shutil.copy2(cli, tmp_path / "pulumi", follow_symlinks=False)
    try:
        yield asked
    finally:
        shutil.rmtree(state)
        shutil.copytree(tmp_path / "state", state)
        cli.unlink()
        shutil.copy2(tmp_path / "pulumi", cli, follow_symlinks=False)
        git(asked.root, "reset", "--quiet", "--hard", head)


def test_a_review_prints_its_report_and_writes_it_into_the_bundle(asked: Clone) -> None:
    report = members(asked.bundle)[bundles.REPORT].decode()
    assert "**in** `agent-c-1`" in report
    assert asked.review.stdout == report == (asked.root / "report.md").read_text()
    assert f"seedbed apply .review/{asked.bundle.name}" in asked.review.stderr


def test_no_part_of_a_secret_is_in_a_bundle_or_in_what_a_review_says(asked: Clone) -> None:
    document = yaml.safe_load(asked.reviewed.settings_file.read_text())
    environment = asked.reviewed.engine.env
    opened = Crypter.open(document["encryptionsalt"], environment["PULUMI_CONFIG_PASSPHRASE"])
    identity = Identity.from_json(opened.decrypt(document["config"]["seedbed:identity"]["secure"]), "the test")
    tokens = {
        name: text for name, text in environment.items() if name.endswith(("PASSPHRASE", "TOKEN", "SECRET_ACCESS_KEY"))
    }
    assert len(tokens) >= 3, sorted(tokens)
    secrets = secret_search.patterns(identity, [*asked.machines(), "agent-c-1"], **tokens)
    texts = {name: content.decode() for name, content in members(asked.bundle).items()}
    texts |= {"stdout": asked.review.stdout, "stderr": asked.review.stderr}
    assert {name: found for name, text in texts.items() if (found := secret_search.in_text(text, secrets))} == {}
    # The search finds what the state has in clear for whoever opens it.
    assert secret_search.in_text(identity.to_json(), secrets) >= {"operator key", "server token"}


@pytest.mark.parametrize("change", [None, "ssd"], ids=["no-change", "label"])
def test_a_review_that_finds_nothing_to_do_leaves_nothing_to_apply(clone: Clone, change: str | None) -> None:
    def labelled(settings: dict[str, Any]) -> None:
        del settings["seedbed:pools"]["agents"]["machines"]["agent-c"]
        if change is not None:
            settings["seedbed:pools"]["agents"]["labels"]["example.org/disk"] = change

    clone.reviewed.change(labelled)
    bundle = clone.root / ".review" / "nothing" / "bundle.zip"
    # As on a forge's runner, which has no token of the cloud.
    review = clone.seedbed("review", STACK, "--output", str(bundle), without="DIGITALOCEAN_")
    assert review.returncode == NOTHING, review.stderr
    assert ("example.org/disk" in review.stdout) is (change is not None)
    before = clone.files_of_the_state()
    applied = clone.seedbed("apply", str(bundle))
    assert (applied.returncode, applied.stderr) == (0, "")
    assert "there is nothing to apply" in applied.stdout
    assert clone.files_of_the_state() == before


def test_what_was_reviewed_is_applied_and_cannot_be_applied_again(clone: Clone) -> None:
    before = clone.machines()
    applied = clone.apply()
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert clone.machines() == {*before, "agent-c-1"}
    lines = [line.partition("] ")[2].strip() for line in applied.stdout.splitlines()]
    assert "agent-c-1 comes" in lines
    assert any(line.startswith("agent-c-1 is in after") and "k3s" in line for line in lines), applied.stdout
    again = clone.apply()
    assert again.returncode == 1
    assert "state: agent-c-1 is new" in again.stderr


def test_a_firewall_that_is_opened_to_the_world_is_applied_as_it_was_read(clone: Clone, prod: Deployed) -> None:
    a_rule_for_the_world(clone.root)
    clone.reviewed.change(lambda settings: settings["seedbed:pools"]["agents"]["machines"].pop("agent-c"))
    bundle = clone.root / ".review" / "world" / "bundle.zip"
    review = clone.seedbed("review", STACK, "--output", str(bundle))
    assert review.returncode == NEEDS_EYES, review.stderr
    assert "to **the whole internet**" in review.stdout
    assert "0.0.0.0/0" not in inbound(prod)
    applied = clone.seedbed("apply", str(bundle))
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "0.0.0.0/0" in inbound(prod)


def inbound(prod: Deployed) -> set[str]:
    """Who reaches the machines at the port at which one logs in."""
    [firewall] = [
        one for one in prod.cloud.request("GET", "/v2/firewalls")["firewalls"] if one["name"] == f"seedbed-{STACK}"
    ]
    rules = [rule for rule in firewall["inbound_rules"] if rule["ports"] == str(prod.port)]
    return {address for rule in rules for address in rule["sources"].get("addresses", [])}


def test_a_plan_of_another_state_is_not_applied(clone: Clone) -> None:
    touch_a_resource(clone.state_file)
    before = clone.files_of_the_state()
    applied = clone.apply()
    assert applied.returncode == 1, applied.stdout
    assert "state: agent-b-1-k3s is changed since the review" in applied.stderr
    assert "seedbed review prod" in applied.stderr
    assert clone.files_of_the_state() == before


@pytest.mark.parametrize(
    ("also", "said"),
    [
        (False, "was changed after the review: plan.json is not what was sealed. It is not applied"),
        (True, "was changed after the review: manifest.json is not what was sealed. It is not applied"),
    ],
    ids=["plan", "plan-and-manifest"],
)
def test_a_bundle_whose_plan_somebody_changed_is_not_applied(
    clone: Clone, tmp_path: Path, also: bool, said: str
) -> None:
    content = members(clone.bundle)
    digest = hashlib.sha256(content[bundles.PLAN]).hexdigest()
    content[bundles.PLAN] = less_to_do(content[bundles.PLAN])
    if also:
        assert content[bundles.MANIFEST].count(digest.encode()) == 1
        other = hashlib.sha256(content[bundles.PLAN]).hexdigest()
        content[bundles.MANIFEST] = content[bundles.MANIFEST].replace(digest.encode(), other.encode())
    before = clone.files_of_the_state()
    applied = clone.apply(repacked(tmp_path / "changed.zip", content))
    assert applied.returncode == 1, applied.stdout
    assert said in applied.stderr
    assert clone.files_of_the_state() == before


@pytest.mark.parametrize(
    ("name", "taken", "said"),
    [
        ("staging", bundles.MEMBERS, "is a plan of stack staging, which this clone has no file of"),
        (STACK, bundles.MEMBERS, "was sealed with another identity than stack prod has"),
        (STACK, (bundles.MANIFEST,), "was changed after the review: manifest.json is not what was sealed"),
        (STACK, (bundles.MANIFEST, bundles.SEAL), "was sealed with another identity than stack prod has"),
        (STACK, (bundles.PLAN,), "was changed after the review: plan.json is not what was sealed"),
    ],
    ids=["another-name", "another-identity", "its-manifest", "its-manifest-and-seal", "its-plan"],
)
def test_a_plan_of_another_stack_is_not_applied(
    clone: Clone, tmp_path: Path, name: str, taken: tuple[str, ...], said: str
) -> None:
    ours = members(clone.bundle)
    sealed = bundles.Manifest.model_validate_json(ours[bundles.MANIFEST])
    other, report = tmp_path / "other.zip", ours[bundles.REPORT].decode()
    manifest = sealed.model_copy(update={"stack": name, "created": "2026-01-01T00:00:00+00:00"})
    # The key is what the other identity comes to; all else is as good as it can be.
    bundles.write(other, manifest, less_to_do(ours[bundles.PLAN]), report, b"another stack's identity")
    theirs = members(other)
    before = clone.files_of_the_state()
    applied = clone.apply(repacked(tmp_path / "mixed.zip", {**ours, **{member: theirs[member] for member in taken}}))
    assert applied.returncode == 1, applied.stdout
    assert said in applied.stderr
    assert clone.files_of_the_state() == before


def test_all_that_differs_is_said_at_once_and_nothing_is_touched(clone: Clone) -> None:
    clone.reviewed.change(lambda settings: settings["seedbed:k3s"].update(disable=["traefik"]))
    (clone.root / "stacks" / "model.py").write_text(
        "# not what was reviewed\n" + (clone.root / "stacks" / "model.py").read_text()
    )
    clone.before_the_cli('[ "$1" != version ] || { echo v3.999.0; exit; }')
    before = clone.files_of_the_state()
    applied = clone.apply()
    assert applied.returncode == 1, applied.stdout
    for line in (
        ", 1 commit later",
        "sources: stacks/model.py changed",
        "pulumi v3.",
        "→ v3.999.0",
        "settings: seedbed:k3s.disable",
    ):
        assert line in applied.stderr
    assert clone.files_of_the_state() == before


def test_a_state_that_changes_after_the_first_look_is_seen_under_the_lock(clone: Clone, tmp_path: Path) -> None:
    changed = tmp_path / "changed.json"
    shutil.copy2(clone.state_file, changed)
    touch_a_resource(changed)
    clone.before_the_cli(f"[ \"$1\" != up ] || cp '{changed}' '{clone.state_file}'")
    applied = clone.apply()
    assert applied.returncode == 1, applied.stdout
    assert "somebody changed the stack just now, so nothing was touched: agent-b-1-k3s is changed" in applied.stderr
    assert clone.state_file.read_bytes() == changed.read_bytes()
    assert not list((clone.reviewed.state / ".pulumi" / "locks").rglob("*.json")), "the lock is left"


def test_of_two_who_apply_at_once_the_second_is_told_who_holds_the_lock(clone: Clone) -> None:
    lock = clone.reviewed.state / ".pulumi" / "locks" / "organization" / "seedbed" / STACK / "somebody.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(
        json.dumps({"pid": 1, "username": "somebody", "hostname": "elsewhere", "timestamp": "2026-01-01T00:00:00Z"})
    )
    stored = clone.state_file.read_bytes()
    applied = clone.apply()
    assert applied.returncode == 1, applied.stdout
    assert "somebody@elsewhere" in applied.stdout
    assert "another `pulumi up` holds the lock of this stack" in applied.stderr
    assert "seedbed review prod" in applied.stderr
    assert (clone.state_file.read_bytes(), lock.exists()) == (stored, True)
