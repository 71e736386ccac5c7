"""The workflow that the how-to page gives away: it can review, and nothing in it can change a stack."""

import json
import os
import re
import subprocess
from pathlib import Path
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


def done(script: str, folder: Path, commands: dict[str, str], **variables: str) -> int:
    """Runs a step's script as GitHub's runner does, with these commands in the place of all others of their names."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name, text in commands.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", **variables}
    # Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#defaultsrunshell
    return subprocess.run(["bash", "-e", "-c", script], cwd=folder, env=environment, timeout=20, check=False).returncode


GH = """case "$*" in
  "run download "*) cp uploaded.md report.md ;;
  *"--method PATCH"*/comments/17*) cp body.md comment.md ;;
  *) echo 17 ;;
esac"""
"""A forge with a comment of the last commit, and perhaps an artifact of this one."""


NOT_REVIEWED = "The stack `prod` could not be reviewed at c0ffee: [what happened](https://run)."


@pytest.mark.parametrize(
    ("code", "uploaded", "said"),
    [
        *((code, True, ["## The report", "", "[The bundle](https://run) is kept for 14 days."]) for code in ("0", "2", "3")),
        ("4", True, ["## The report", "", "There is no bundle: [what happened](https://run)."]),
        ("2", False, [NOT_REVIEWED, "", ""]),
        *((code, True, [NOT_REVIEWED, "", ""]) for code in ("1", "", "130")),
    ],
)  # fmt: skip
def test_the_comment_is_of_this_commit_however_the_review_ended(workflow, tmp_path, code, uploaded, said):
    comment, verdict = (step["run"] for step in workflow["jobs"]["report"]["steps"])
    if uploaded:
        (tmp_path / "uploaded.md").write_text("## The report\n")
    variables = {"CODE": code, "MARK": "<!-- mark -->", "HEAD_SHA": "c0ffee", "RUN": "https://run", "NUMBER": "7"}
    ours = {"GITHUB_RUN_ID": "1", "GITHUB_REPOSITORY": "a/b"}
    assert done(comment, tmp_path, {"gh": GH}, **variables, **ours) == 0
    assert (tmp_path / "comment.md").read_text().splitlines() == ["<!-- mark -->", *said]
    assert (done(verdict, tmp_path, {}, CODE=code) == 0) is (code in ("0", "2", "3"))


def test_a_review_that_failed_is_reported_and_only_one_that_ended_is_uploaded(workflow):
    review, report = workflow["jobs"]["review"], workflow["jobs"]["report"]
    # Without a word of the run's state the runner adds `success()`.
    assert report["if"] == "${{ !cancelled() && needs.review.result != 'skipped' }}"
    [upload] = [step for step in review["steps"] if "upload-artifact" in step.get("uses", "")]
    codes = re.fullmatch(r"contains\(fromJSON\('(.*)'\), steps\.review\.outputs\.code\)", upload["if"])
    assert codes is not None
    assert json.loads(codes[1]) == [str(code) for code in sorted(CODES.values())]


@pytest.mark.parametrize("code", [0, 2, 3, 4, 1])
def test_the_review_tells_its_code_and_fails_where_there_is_no_environment_for_it(workflow, tmp_path, code):
    [script] = [step["run"] for step in workflow["jobs"]["review"]["steps"] if step.get("id") == "review"]
    for make, told in (("echo export STACK=prod", f"code={code}\n"), ("echo export STACK=prod; exit 2", "")):
        folder = tmp_path / (told.strip() or "none")
        folder.mkdir()
        (folder / "output").touch()
        out = {"GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "summary")}
        seedbed = f'[ "$STACK" = prod ] && exit {code}'
        assert (done(script, folder, {"make": make, "seedbed": seedbed}, **out) == 0) is bool(told)
        assert (folder / "output").read_text() == told


def test_what_it_is_started_by_is_what_a_plan_is_bound_to(workflow):
    from seedbed.sources import PROGRAM

    paths = {path.removesuffix("/**") for path in workflow["on"]["pull_request"]["paths"]}
    assert paths == {*PROGRAM, "Pulumi.prod.yaml"} - {"lab/plugins"}
