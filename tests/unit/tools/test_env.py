import os
import subprocess
from pathlib import Path

import pytest

from tools.env import Backend, exports, read_env_file, render
from tools.toolchain import Source, Toolchain

BACKEND = Backend("s3://bucket/x?endpoint=http://127.0.0.1:7070&region=us-east-1", "key", "it's secret")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / ".env.example").write_text("# public\nPULUMI_CONFIG_PASSPHRASE=public\n")
    return tmp_path


def chain(clone: Path, drop_ins: list[str] | None = None) -> Toolchain:
    return Toolchain(clone / "pulumi", "3.232.0", Source.BUILT, clone / "home", drop_ins or [])


def test_a_shell_takes_the_exports_whatever_stands_in_them(clone: Path):
    variables = exports(clone, "dev", chain(clone), BACKEND, {"PATH": os.defpath})

    shell = subprocess.run(
        ["/bin/sh", "-c", f'{render(variables)}\nprintf "%s|%s" "$AWS_SECRET_ACCESS_KEY" "$PULUMI_BACKEND_URL"'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert shell.stdout == f"{BACKEND.secret_key}|{BACKEND.url}"
    assert shell.stderr == ""


def test_path_starts_with_the_clones_own_tools_and_does_not_grow(clone: Path):
    first = exports(clone, "dev", chain(clone), None, {"PATH": "/usr/bin:/bin"})["PATH"]

    assert first == f"{clone}/.tools/bin:{clone}/.venv/bin:/usr/bin:/bin"
    assert exports(clone, "dev", chain(clone), None, {"PATH": first})["PATH"] == first


def test_the_dev_stacks_passphrase_is_the_public_one_unless_there_is_another(clone: Path):
    def passphrase(environ: dict[str, str], stack: str = "dev") -> str | None:
        return exports(clone, stack, chain(clone), None, environ).get("PULUMI_CONFIG_PASSPHRASE")

    assert passphrase({}) == "public"
    assert passphrase({"PULUMI_CONFIG_PASSPHRASE": "mine"}) is None
    assert passphrase({"PULUMI_CONFIG_PASSPHRASE_FILE": "/file"}) is None
    assert passphrase({}, "prod") is None
    (clone / ".env").write_text("export PULUMI_CONFIG_PASSPHRASE='of my own'\n")
    assert passphrase({}) == "of my own"


def test_plugins_are_never_downloaded_or_taken_from_path_where_drop_ins_are_used(clone: Path):
    with_drop_ins = exports(clone, "dev", chain(clone, ["language-python"]), None, {})
    without = exports(clone, "dev", chain(clone), None, {})

    assert with_drop_ins["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"
    assert with_drop_ins["PULUMI_IGNORE_AMBIENT_PLUGINS"] == "true"
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in without


def test_another_accounts_session_does_not_mix_with_the_labs_keys(clone: Path):
    variables = exports(clone, "dev", chain(clone), BACKEND, {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": ""})

    assert variables["AWS_PROFILE"] == ""
    assert "AWS_SESSION_TOKEN" not in variables


def test_without_a_backend_the_states_variables_are_left_alone(clone: Path):
    variables = exports(clone, "prod", chain(clone), None, {"AWS_PROFILE": "work"})

    assert not {name for name in variables if name.startswith("AWS_")}
    assert "PULUMI_BACKEND_URL" not in variables
    assert variables["PULUMI_STACK"] == "prod"


def test_the_secret_key_is_not_in_what_a_backend_prints():
    assert "it's secret" not in repr(BACKEND)


def test_an_env_file_is_read_as_a_shell_would(tmp_path: Path):
    file = tmp_path / ".env"
    file.write_text("# a comment\n\nA=1\nexport B='two words' # why\nC=\nnot a line\nD=\"x=y\"\n")

    assert read_env_file(file) == {"A": "1", "B": "two words", "C": "", "D": "x=y"}
