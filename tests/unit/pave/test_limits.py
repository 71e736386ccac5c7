"""How a step ends whose time is over."""

import subprocess

from components.remote.script import LIBRARY, Step, command, source, stdin


def test_a_step_whose_time_is_over_says_so_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("components.remote.script.LOCK_FILE", str(tmp_path / "lock"))
    body = "main() { say hanging; sleep 600; }"
    step = Step(
        name="base",
        text=f"set -Eeuo pipefail\nNODE=agent-a-1 STEP=base\n{source(LIBRARY)}\n{body}\nmain; exit 0\n",
        digest="0",
    )
    run = subprocess.run(
        ["sh", "-c", command(step, user="root", timeout_seconds=1)],
        input=stdin(step), capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert run.returncode == 124
    # Between them bash may note that the command that hung was terminated.
    assert run.stderr.splitlines()[0] == "agent-a-1 base: hanging"
    assert run.stderr.splitlines()[-2:] == [
        "agent-a-1 base: FAILED: not done within the time that the step may take",
        "agent-a-1 base: next: read the lines above; mend what is slow or raise seedbed:timeouts.step, then run `pulumi up` again",
    ]
