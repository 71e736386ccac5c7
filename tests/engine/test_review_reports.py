"""The report of each change that a reviewer sees most, of a real preview: `golden/review/<change>.md`.

After a change on purpose: `SEEDBED_UPDATE_GOLDEN=1 pytest tests/engine/test_review_reports.py`, and read the difference as a
tired reviewer would.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seedbed.review import Facts, Verdict, assess
from tests.engine.reviewed import STACK, Reviewed, a_rule_for_the_world

GOLDEN = Path(__file__).parent / "golden" / "review"
UPDATE = "SEEDBED_UPDATE_GOLDEN"
FACTS = Facts(stack=STACK, commit="5eedbed" * 5, dirty=(), source=f"Pulumi.{STACK}.yaml")
LONGEST_LINES = 10

Settings = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A change of the settings or of the program, and what the review comes to."""

    verdict: Verdict
    settings: Callable[[Settings], None] = lambda settings: None
    program: Callable[[Path], None] = lambda root: None


def machines(settings: Settings, pool: str) -> dict[str, Any]:
    found: dict[str, Any] = settings["seedbed:pools"][pool]["machines"]
    return found


def one_agent_more(settings: Settings) -> None:
    machines(settings, "agents")["agent-c"] = {}


def one_server_replaced(settings: Settings) -> None:
    machines(settings, "servers")["server-b"] = {"generation": 2}
    settings["seedbed:retire"] = ["server-b-1"]


def operators_from_everywhere(settings: Settings) -> None:
    settings["seedbed:digitalocean"]["operators"]["home"] = "0.0.0.0/0"


def one_volume_less(settings: Settings) -> None:
    del settings["seedbed:digitalocean"]["volumes"]["data-b"]


def one_agent_less_with_its_volume(settings: Settings) -> None:
    one_volume_less(settings)
    del machines(settings, "agents")["agent-b"]
    settings["seedbed:retire"] = ["agent-b-1"]


def a_newer_k3s(settings: Settings) -> None:
    settings["seedbed:k3s"] |= {"version": "v1.34.3+k3s1", "sha256": {"amd64": "0" * 64, "arm64": "1" * 64}}


def one_agent_replaced_for_another_label(settings: Settings) -> None:
    another_label(settings)
    machines(settings, "agents")["agent-a"] = {"generation": 2}
    settings["seedbed:retire"] = ["agent-a-1"]


def snapshots_kept_shorter(settings: Settings) -> None:
    settings["seedbed:digitalocean"]["snapshots"]["keepDays"] = 7


def a_cloud_elsewhere(settings: Settings) -> None:
    settings["digitalocean:apiEndpoint"] = "https://elsewhere.example.org"


def another_label(settings: Settings) -> None:
    settings["seedbed:pools"]["agents"]["labels"]["example.org/disk"] = "ssd"


CASES = {
    "no-change": Case(Verdict.NOTHING),
    "agent-more": Case(Verdict.SAFE, one_agent_more),
    "agent-with-volume-replaced": Case(Verdict.NEEDS_EYES, one_agent_replaced_for_another_label),
    "server-replaced": Case(Verdict.NEEDS_EYES, one_server_replaced),
    "firewall-refused": Case(Verdict.REFUSED, operators_from_everywhere),
    "firewall-opened": Case(Verdict.NEEDS_EYES, program=a_rule_for_the_world),
    "volume-removed": Case(Verdict.REFUSED, one_volume_less),
    "volume-removed-with-its-machine": Case(Verdict.REFUSED, one_agent_less_with_its_volume),
    "k3s-version": Case(Verdict.NOTHING, a_newer_k3s),
    "snapshots-kept-shorter": Case(Verdict.NEEDS_EYES, snapshots_kept_shorter),
    "cloud-elsewhere": Case(Verdict.REFUSED, a_cloud_elsewhere),
    "label": Case(Verdict.NOTHING, another_label),
}


@pytest.mark.parametrize("name", CASES)
def test_the_report_of_a_change_is_what_the_golden_file_says(name: str, reviewed: Reviewed) -> None:
    case = CASES[name]
    case.program(reviewed.root)
    reviewed.change(case.settings)
    outcome = reviewed.engine.preview("--show-replacement-steps", check=False)
    report = assess(json.loads(outcome.stdout), FACTS)
    # Droplets are reached at another port here, which the system chose.
    found = report.markdown.replace(f"tcp {reviewed.port}", "tcp 22")
    golden = GOLDEN / f"{name}.md"
    if os.environ.get(UPDATE):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(found)
    assert found == golden.read_text(), f"if the change is meant: {UPDATE}=1 and read the difference"
    assert report.verdict is case.verdict
    assert (outcome.code != 0) is (case.verdict is Verdict.REFUSED)
    lines = [line for line in found.splitlines() if line]
    assert len(lines) <= LONGEST_LINES, found


def test_there_is_a_golden_report_for_each_of_the_changes_and_no_other() -> None:
    assert {file.stem for file in GOLDEN.glob("*")} == set(CASES)
