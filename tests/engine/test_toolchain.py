"""The toolchain as it is on this machine."""

import os
import subprocess

from tests.engine.harness import Engine
from tools import dropins
from tools import toolchain as tools_toolchain
from tools.progress import Progress
from tools.toolchain import CLONE, Toolchain
from tools.versions import required, satisfies


def test_the_cli_says_a_version_that_the_project_accepts(toolchain: Toolchain):
    said = subprocess.run(
        [str(toolchain.pulumi), "version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": os.defpath, "HOME": "/nonexistent", "PULUMI_SKIP_UPDATE_CHECK": "true"},
    ).stdout.strip()

    assert said == f"v{toolchain.version}"
    assert satisfies(toolchain.version, required(CLONE))


def test_a_second_call_finds_everything_in_its_place(toolchain: Toolchain, capsys):
    progress = Progress()

    assert tools_toolchain.ensure(progress) == toolchain
    assert "build" not in capsys.readouterr().err


def test_the_engine_finds_its_plugins_without_a_warning_or_a_download(engine: Engine):
    engine.program("import pulumi_command as command\ncommand.local.Command('hello', create='echo hello')\n")

    outcome = engine.preview()

    assert outcome.ops == {"trial-dev": "create", "hello": "create"}
    assert outcome.messages == []


def test_a_plugin_that_is_not_there_is_named_at_once(engine: Engine):
    engine.program(
        "import pulumi\n"
        "pulumi.CustomResource('nowhere:index:Thing', 'x', {}, pulumi.ResourceOptions(version='1.2.3'))\n"
    )

    outcome = engine.preview(check=False)

    assert outcome.code != 0
    assert "nowhere" in outcome.text
    assert "1.2.3" in outcome.text


def test_a_cli_outside_the_range_refuses_the_project(engine: Engine):
    engine.program("", {"requiredPulumiVersion": ">=99.0.0"})

    outcome = engine.preview(check=False)

    assert outcome.code != 0
    assert ">=99.0.0" in outcome.text


def test_the_projects_range_leaves_out_the_releases_that_break_other_s3_servers(engine: Engine, toolchain: Toolchain):
    engine.program("", {"requiredPulumiVersion": required(CLONE)})

    assert engine.preview().code == 0
    for broken in ("3.245.0", "3.250.1", "3.256.0"):
        assert not satisfies(broken, required(CLONE))


def test_drop_ins_are_used_only_beside_a_cli_that_was_built(toolchain: Toolchain):
    built = toolchain.source == "built from its Go module"

    assert ("language-python" in toolchain.drop_ins) == built
    for name in dropins.PROVIDERS:
        assert dropins.is_provider_drop_in(CLONE, name) == (f"resource-{name}" in toolchain.drop_ins)
