"""The whole preview of each stack of the repository, as a reviewer may read it: `golden/<stack>.yaml`.

After a change on purpose: `SEEDBED_UPDATE_GOLDEN=1 pytest tests/engine/test_preview.py`, and read the difference.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from seedbed import passphrase
from seedbed.commands import init
from stacks.config import from_file
from stacks.identity import Identity, generate
from stacks.resealing import fill
from tests.engine.harness import Outcome
from tests.engine.repository import Repository
from tools.toolchain import CLONE

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "SEEDBED_UPDATE_GOLDEN"
STEPS = ("wait", "base", "docker", "k3s")
ASSET = "4dabf18193072939515e22adb298388d"
"""The key that marks a file or a folder among inputs; they are shown by their path. Source: pulumi sdk, resource.SigKey."""


@pytest.fixture
def stack(request, tmp_path, toolchain):
    """The repository's own stack of this name, with an identity, and with no machine anywhere."""
    repository = Repository(tmp_path, toolchain, request.param)
    shutil.copy2(CLONE / repository.settings_file.name, repository.settings_file)
    engine = repository.engine
    if request.param == "dev":
        # The passphrase of .env.example belongs to the salt that the file has.
        engine.env[passphrase.VARIABLE] = passphrase.public_passphrase(CLONE) or ""
        folder = repository.root / ".lab" / "dev"
        folder.mkdir(parents=True)
        identity = generate()
        (folder / "identity.json").write_text(identity.to_json())
        (folder / "k3s.sha256").write_text("0" * 64 + "\n")
        (folder / "git_known_hosts").write_text(f"git.seedbed.internal {identity.host_key('git').public}\n")
        shutil.copytree(repository.root / "k8s", folder / "gitops" / "k8s")
        sealed(folder / "gitops" / "k8s", ["dev"], identity)
    else:
        init.initialise(request.param, engine.env, repository.root)
        identity = Identity.from_json(engine.run("config", "get", "seedbed:identity").stdout, "the test")
        sealed(repository.root / "k8s", ["staging", "prod"], identity)
    yield repository
    repository.machines.close()


def sealed(tree: Path, environments: list[str], identity: Identity) -> None:
    """Seals what the tree leaves to be sealed, as a person does before the first `up`."""
    new = identity.sealing_keys[-1].crt
    for file, text in fill(
        tree, environments, identity.sealing_keys, new, before=tree, value=lambda: b"a value of the test"
    ).items():
        file.write_text(text)


@pytest.mark.parametrize("stack", ["dev", "prod"], indirect=True)
def test_the_whole_preview_is_what_the_golden_file_says(stack):
    written = stack.settings_file.read_text()
    found = yaml.safe_dump(normalised(stack.engine.preview()), sort_keys=False, width=120, allow_unicode=True)
    assert stack.settings_file.read_text() == written
    golden = GOLDEN / f"{stack.engine.stack}.yaml"
    if os.environ.get(UPDATE):
        golden.write_text(found)
    assert found == golden.read_text(), f"if the change is meant: {UPDATE}=1 and read the difference"


def test_the_golden_files_hold_every_step_of_every_machine_that_the_stacks_name():
    for stack in ("dev", "prod"):
        settings = from_file(stack, CLONE, lab_is_made=False)
        cloud = settings.digitalocean
        with_volumes = {volume.machine for volume in cloud.volumes.values()} if cloud else set()
        wanted = {f"{machine}-1-{step}" for machine in settings.machines for step in STEPS}
        wanted |= {f"{machine}-1-volumes" for machine in with_volumes}
        golden = yaml.safe_load((GOLDEN / f"{stack}.yaml").read_text())
        steps = {name for name, shown in golden.items() if shown["type"] == "command:remote:Command"}
        assert {name for name in steps if not name.endswith("<event>")} == wanted
        assert len(steps) == len(wanted) + 2


def normalised(outcome: Outcome) -> dict[str, Any]:
    """Name of each resource, or name and type where two share one, to what a preview says of it.

    What every identity has its own of is masked; of a script, what it is told is kept, its body and its digest left out.
    """
    shown: dict[str, Any] = {}
    for step in sorted(outcome.steps, key=lambda step: step.urn):
        name = _named(step.name) if _named(step.name) not in shown else f"{_named(step.name)} ({step.type})"
        inputs = step.new.get("inputs") or {}
        shown[name] = {
            "op": step.op,
            "type": step.type,
            "parent": (step.new.get("parent") or "").rpartition("::")[2],
            "after": sorted(_named(urn.rpartition("::")[2]) for urn in step.new.get("dependencies") or []),
            "protect": step.new.get("protect"),
            "deletedWith": (step.new.get("deletedWith") or "").rpartition("::")[2],
            "timeouts": step.new.get("customTimeouts"),
            "inputs": {key: _masked(value) for key, value in sorted(inputs.items())},
            "outputs": {k: _masked(v) for k, v in sorted((step.new.get("outputs") or {}).items()) if k not in inputs},
        }
        shown[name] = {key: value for key, value in shown[name].items() if value}
    return shown


def _named(name: str) -> str:
    """Without what follows from an identity: a key's digest, and that of the event that a step runs for."""
    name = re.sub(r"^sealed-secrets-key-[0-9a-f]{12}$", "sealed-secrets-key-<digest>", name)
    return re.sub(r"^(seed|synced|\S+-scripts)-[0-9a-f]{8}$", r"\1-<event>", name)


def _masked(value: Any) -> Any:
    if isinstance(value, dict) and ASSET in value:
        return value["path"]
    if isinstance(value, dict):
        return {key: _masked(part) for key, part in sorted(value.items())}
    if not isinstance(value, str):
        return value
    if value.startswith("set -Eeuo pipefail\n"):
        told = value.partition("\nSCRIPTS=")[0].splitlines()[2:]
        return [re.sub(r"^(CERTIFICATE|KEYS|MANIFESTS)=.*", r"\1=…", line) for line in told]
    value = re.sub(r"ssh-ed25519 \S+", "ssh-ed25519 <of the identity>", value)
    value = re.sub(r"^[0-9a-f]{16}-(\S+-\d+)$", r"<digest of the CA>-\1", value)
    return _named(re.sub(r"(bash -s [\w-]+) [0-9a-f]{12}$", r"\1 <digest>", value))
