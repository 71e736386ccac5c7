"""A step as a resource: one remote command that runs once and stays what it was; and the copy of what it runs."""

import os
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_command import remote

from components.metal.host import Host
from components.remote.script import REMOTE_FILE, Step, bundle, command, stdin

# What a step was first run with is what it stays: a changed key, address or text never runs it again (design rule 7).
# All of it, by one word: the state has a list of names with each step.
FROZEN = ("*",)

ROOT = Path(__file__).parents[2]
BUNDLE = Path(".tools", "scripts.sh")
"""Where the scripts are as one file, below the project's folder."""

PER_DIAL_SECONDS = 15
STEP_DIAL_SECONDS = 60
COPY_SECONDS = 30
MARGIN_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Bounds in seconds: `connect` for a machine to answer and to finish its first boot, `step` for each later step."""

    connect: int
    step: int


def run(
    name: str,
    step: Step,
    host: Host,
    *,
    parent: pulumi.Resource,
    seconds: int,
    after: tuple[pulumi.Resource, ...] = (),
    secrets: pulumi.Input[str] | None = None,
    dial_seconds: int = STEP_DIAL_SECONDS,
) -> remote.Command:
    """Run `step` on `host` when `after` is there, with `secrets` behind it on standard input.

    It may take `seconds`, and the machine `dial_seconds` to let in.
    """
    if secrets is None:
        text: pulumi.Input[str] = stdin(step)
    else:
        text = pulumi.Output.secret(secrets).apply(lambda secrets: stdin(step, secrets))
    return remote.Command(
        name,
        connection=host.connection(dial_error_limit=dial_attempts(dial_seconds), per_dial_timeout=PER_DIAL_SECONDS),
        create=command(step, user=host.user, timeout_seconds=seconds),
        # Without it an update would run `create` again.
        update="true",
        stdin=text,
        add_previous_output_in_env=False,
        logging=remote.Logging.STDERR,
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(after),
            ignore_changes=list(FROZEN),
            additional_secret_outputs=["stdout", "stderr"],
            custom_timeouts=pulumi.CustomTimeouts(create=f"{dial_seconds + seconds + MARGIN_SECONDS}s"),
        ),
    )


def copy_scripts(
    name: str,
    host: Host,
    *,
    parent: pulumi.Resource,
    after: tuple[pulumi.Resource, ...] = (),
    dial_seconds: int = STEP_DIAL_SECONDS,
) -> remote.CopyToRemote:
    """Copies the scripts to `host`, once; copied again they are overwritten.

    The state keeps their path and digest. A machine's own copy is named like it, with `-scripts` behind: a step that does not
    find its scripts says to copy those once more.
    """
    return remote.CopyToRemote(
        name,
        connection=host.connection(dial_error_limit=dial_attempts(dial_seconds), per_dial_timeout=PER_DIAL_SECONDS),
        # A file, because a refresh loses the path of a folder (an archive), and `ignore_changes` then brings back one without:
        # pulumi 3.232.0, sdk/go/common/resource/plugin/provider_plugin.go, restoreElidedAssetContents.
        source=pulumi.FileAsset(_bundle_file()),
        remote_path=REMOTE_FILE,
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(after),
            ignore_changes=list(FROZEN),
            custom_timeouts=pulumi.CustomTimeouts(create=f"{dial_seconds + COPY_SECONDS + MARGIN_SECONDS}s"),
        ),
    )


def _bundle_file() -> str:
    """Writes the scripts as one file; its path from the project's folder, where the engine and the plugin run."""
    file, text = ROOT / BUNDLE, bundle()
    if not file.exists() or file.read_text() != text:
        file.parent.mkdir(exist_ok=True)
        # Beside it and renamed: another stack's `up` may be reading.
        new = file.with_name(f"{file.name}.{os.getpid()}")
        new.write_text(text)
        new.replace(file)
    return str(BUNDLE)


def dial_attempts(seconds: float) -> int:
    """How many dials the provider must be allowed so that a machine that refuses them is tried for `seconds`.

    It waits 0.1 s after the first and half as long again after each further one, 5 s at most.
    Source: pulumi-command v1.2.1, provider/pkg/provider/remote/connection.go and pulumi's sdk util/retry.
    """
    attempts, delay = 1, 0.1
    while seconds > 0:
        seconds -= delay
        delay = min(delay * 1.5, 5.0)
        attempts += 1
    return attempts
