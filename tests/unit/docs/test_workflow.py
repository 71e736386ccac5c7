"""The workflow that the how-to page gives away: it can review, and nothing in it can change a stack."""

import re
from typing import Any

import pytest
import yaml

from seedbed.commands.review import CODES
from stacks.config import ROOT

FILE = ROOT / "docs" / "how-to" / "review.workflow.yaml"
CHANGES = {
    "up",
    "apply",
    "destroy",
    "refresh",
    "import",
    "cancel",
    "state",
    "roll",
    "rotate",
    "init",
    "ssh",
    "kubeconfig",
}
"""Verbs of `pulumi` and of `seedbed` that change something, or open a door."""


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load(FILE.read_text())
    # YAML 1.1 reads `on` as a truth.
    document["on"] = document.pop(True)
    return document


def scripts(workflow: dict[Any, Any]) -> list[str]:
    return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


def test_no_command_of_it_can_change_the_stack(workflow):
    called = re.findall(r"\b(pulumi|seedbed|make)\s+([\w-]+)", "\n".join(scripts(workflow)))
    assert set(called) == {("make", "ready"), ("make", "-s"), ("seedbed", "review")}
    assert "make -s env STACK=prod" in "".join(scripts(workflow))
    assert not CHANGES & {verb for _, verb in called}


def test_no_job_has_what_could_change_the_cloud_or_write_the_state(workflow):
    text = FILE.read_text()
    assert set(re.findall(r"secrets\.(\w+)", text)) == {
        "STATE_READER_ID",
        "STATE_READER_SECRET",
        "PULUMI_CONFIG_PASSPHRASE",
    }
    assert not re.search("DIGITALOCEAN|SPACES|KUBECONFIG|SSH_", text)


def test_the_code_of_a_pull_request_meets_no_right_to_write(workflow):
    assert set(workflow["on"]) == {"pull_request"}, "pull_request_target would run with everything"
    assert workflow["permissions"] == {}
    review, report = workflow["jobs"]["review"], workflow["jobs"]["report"]
    assert review["permissions"] == {"contents": "read"}
    assert review["environment"] == "review"
    assert "head.repo.full_name == github.repository" in review["if"]
    assert report["permissions"] == {"actions": "read", "pull-requests": "write"}
    assert "environment" not in report
    assert not any("checkout" in step.get("uses", "") for step in report["steps"])
    assert "secrets." not in yaml.safe_dump(report)


def test_nothing_that_a_pull_request_says_becomes_a_part_of_a_script(workflow):
    assert not [script for script in scripts(workflow) if "${{" in script]


def test_actions_are_those_of_one_commit(workflow):
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action) for action in used), used


def test_every_exit_code_of_a_review_has_its_line(workflow):
    verdict = workflow["jobs"]["report"]["steps"][-1]["run"]
    assert {int(code) for code in re.findall(r"^ *(\d)\)", verdict, re.MULTILINE)} == set(CODES.values())
    refused = verdict[verdict.index("4)") :]
    assert refused.count("exit 1") == 2, "refused and not reviewed fail"


def test_what_it_is_started_by_is_what_a_plan_is_bound_to(workflow):
    from seedbed.sources import PROGRAM

    paths = {path.removesuffix("/**") for path in workflow["on"]["pull_request"]["paths"]}
    assert paths == {*PROGRAM, "Pulumi.prod.yaml"} - {"lab/plugins"}
