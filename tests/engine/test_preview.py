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
from stacks.identity import generate
from tests.engine.harness import Outcome
from tests.engine.repository import Repository
from tools.toolchain import CLONE

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "SEEDBED_UPDATE_GOLDEN"
STEPS = ("wait", "base", "docker", "k3s")


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
        (folder / "identity.json").write_text(generate().to_json())
        (folder / "k3s.sha256").write_text("0" * 64 + "\n")
    else:
        init.initialise(request.param, engine.env, repository.root)
    yield repository
    repository.machines.close()


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
        config = yaml.safe_load((CLONE / f"Pulumi.{stack}.yaml").read_text())["config"]
        wanted = {f"{machine}-1-{step}" for machine in config["seedbed:machines"] for step in STEPS}
        golden = yaml.safe_load((GOLDEN / f"{stack}.yaml").read_text())
        assert {name for name, shown in golden.items() if shown["type"] == "command:remote:Command"} == wanted


def normalised(outcome: Outcome) -> dict[str, Any]:
    """Name of each resource, or name and type where two share one, to what a preview says of it.

    What every identity has its own of is masked; of a script, what it is told is kept, its body and its digest left out.
    """
    shown: dict[str, Any] = {}
    for step in sorted(outcome.steps, key=lambda step: step.urn):
        name = step.name if step.name not in shown else f"{step.name} ({step.type})"
        inputs = step.new.get("inputs") or {}
        shown[name] = {
            "op": step.op,
            "type": step.type,
            "parent": (step.new.get("parent") or "").rpartition("::")[2],
            "after": sorted(urn.rpartition("::")[2] for urn in step.new.get("dependencies") or []),
            "timeouts": step.new.get("customTimeouts"),
            "inputs": {key: _masked(value) for key, value in sorted(inputs.items())},
            "outputs": {k: _masked(v) for k, v in sorted((step.new.get("outputs") or {}).items()) if k not in inputs},
        }
        shown[name] = {key: value for key, value in shown[name].items() if value}
    return shown


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(part) for key, part in sorted(value.items())}
    if not isinstance(value, str):
        return value
    if value.startswith("set -Eeuo pipefail\n"):
        return [line for line in value.partition("\nsource <(")[0].splitlines()[1:] if not line.startswith("DIGEST=")]
    value = re.sub(r"ssh-ed25519 \S+", "ssh-ed25519 <of the identity>", value)
    return re.sub(r"(bash -s \w+) [0-9a-f]{12}$", r"\1 <digest>", value)
