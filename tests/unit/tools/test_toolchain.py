"""Which source is taken, and what is put where; the tools themselves are scripts that only say their version."""

from pathlib import Path

import pytest

from tools import ToolError, cache, dropins, toolchain
from tools.download import UnreachableError, WrongDigestError
from tools.progress import Progress
from tools.toolchain import Source

BIN = Path(".tools") / "bin"
COMMAND = Path(".tools/pulumi-home/plugins/resource-command-v1.2.1/pulumi-resource-command")


def executable(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def pulumi(folder: Path, version: str, host: bool = True) -> Path:
    if host:
        executable(folder / "pulumi-language-python", "")
    install = (
        "mkdir -p $PULUMI_HOME/plugins/resource-$4-v$5; touch $PULUMI_HOME/plugins/resource-$4-v$5/pulumi-resource-$4"
    )
    return executable(folder / "pulumi", f"case $1 in version) echo v{version};; plugin) {install};; esac")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone on a machine that has no pulumi and reaches no release, but can build."""
    folder = tmp_path / "clone"
    (folder / "requirements").mkdir(parents=True)
    pins = {"command": "1.2.1", "digitalocean": "4.84.1", "kubernetes": "4.34.2"}
    (folder / "requirements" / "program.in").write_text("".join(f"pulumi-{name}=={pins[name]}\n" for name in pins))
    (folder / "Pulumi.yaml").write_text('requiredPulumiVersion: ">=3.232.0 <3.245.0 || >=3.257.0 <4.0.0"\n')
    executable(folder / ".venv" / "bin" / "python", "")
    monkeypatch.setenv("SEEDBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    built = executable(tmp_path / "built" / "tool", "echo v3.232.0")
    monkeypatch.setattr(toolchain, "build", lambda *_, **__: built)
    monkeypatch.setattr(toolchain, "reachable", lambda _: False)

    def unreachable(_: Progress) -> Path:
        raise UnreachableError("cannot be reached")

    monkeypatch.setattr(toolchain.release, "folder", unreachable)
    return folder


def test_without_another_source_the_cli_is_built_and_drop_ins_stand_beside_it(clone: Path):
    found = toolchain.ensure(Progress(), clone)

    assert found.source is Source.BUILT
    assert found.version == "3.232.0"
    assert found.pulumi == clone / BIN / "pulumi"
    assert found.home == clone / ".tools" / "pulumi-home"
    assert found.home.stat().st_mode & 0o777 == 0o700
    assert found.drop_ins == ["language-python", "resource-command", "resource-digitalocean", "resource-kubernetes"]
    assert not found.pulumi.is_symlink()
    host = (clone / BIN / "pulumi-language-python").read_text()
    assert f"exec {clone}/.venv/bin/python -u -P {clone}/lab/plugins/language/host.py" in host
    assert "lab.plugins.command" in (clone / COMMAND).read_text()


def test_what_stands_in_is_named_when_it_is_put_there(clone: Path, capsys):
    toolchain.ensure(Progress(), clone)
    assert (
        "not the official ones: language-python, resource-command, resource-digitalocean, resource-kubernetes"
        in capsys.readouterr().err
    )

    toolchain.ensure(Progress(), clone)
    assert "not the official ones" not in capsys.readouterr().err


def test_an_official_cli_on_path_comes_first_and_gets_the_official_plugin(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(toolchain, "reachable", lambda _: True)
    mine = pulumi(tmp_path / "path", "3.260.1")

    found = toolchain.ensure(Progress(), clone)

    assert (found.source, found.pulumi, found.version) == (Source.PATH, mine, "3.260.1")
    assert found.drop_ins == []
    assert not dropins.is_provider_drop_in(clone, "command")
    assert (clone / COMMAND).exists()


def test_a_drop_in_stands_in_for_a_plugin_that_an_official_cli_cannot_download(clone: Path, tmp_path: Path):
    pulumi(tmp_path / "path", "3.260.1")

    assert toolchain.ensure(Progress(), clone).drop_ins == [
        "resource-command",
        "resource-digitalocean",
        "resource-kubernetes",
    ]
    assert dropins.is_provider_drop_in(clone, "command")


@pytest.mark.parametrize("version", ["3.100.0", "3.250.0", "4.1.0"])
def test_a_cli_on_path_outside_the_range_is_passed_over(clone: Path, tmp_path: Path, version: str, capsys):
    pulumi(tmp_path / "path", version)

    assert toolchain.ensure(Progress(), clone).source is Source.BUILT
    assert f"is {version}, outside >=3.232.0" in capsys.readouterr().err


def test_a_cli_on_path_without_a_language_host_is_passed_over(clone: Path, tmp_path: Path):
    pulumi(tmp_path / "path", "3.260.1", host=False)

    assert toolchain.ensure(Progress(), clone).source is Source.BUILT


def test_a_cli_that_a_clone_put_on_path_is_not_taken_for_an_official_one(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pulumi(tmp_path / "other" / ".tools" / "bin", "3.232.0")
    monkeypatch.setenv("PATH", f"{clone / BIN}:{tmp_path / 'other/.tools/bin'}:/usr/bin:/bin")
    first = toolchain.ensure(Progress(), clone)

    assert toolchain.ensure(Progress(), clone) == first
    assert first.source is Source.BUILT


def test_a_release_comes_before_a_build_with_all_its_files_side_by_side(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    released = tmp_path / "released"
    pulumi(released, toolchain.RELEASE)
    monkeypatch.setattr(toolchain.release, "folder", lambda _: released)
    monkeypatch.setattr(toolchain, "reachable", lambda _: True)

    found = toolchain.ensure(Progress(), clone)

    assert (found.source, found.drop_ins) == (Source.RELEASE, [])
    assert sorted(file.name for file in (clone / BIN).iterdir()) == ["pulumi", "pulumi-language-python"]
    assert (clone / BIN / "pulumi-language-python").read_text() == "#!/bin/sh\n\n"


def test_a_release_that_cannot_be_had_is_not_tried_again_the_same_day(clone: Path, monkeypatch: pytest.MonkeyPatch):
    toolchain.ensure(Progress(), clone)
    monkeypatch.setattr(toolchain.release, "folder", lambda _: pytest.fail("was tried again"))
    toolchain.ensure(Progress(), clone)

    monkeypatch.setattr(toolchain, "TRY_AGAIN_SECONDS", 0)
    monkeypatch.setattr(toolchain.release, "folder", lambda _: (_ for _ in ()).throw(ToolError("tried")))
    with pytest.raises(ToolError, match="tried"):
        toolchain.ensure(Progress(), clone)


def test_a_release_with_a_wrong_digest_is_an_error_and_no_reason_to_build(clone: Path, monkeypatch: pytest.MonkeyPatch):
    def wrong(_: Progress) -> Path:
        raise WrongDigestError("another file")

    monkeypatch.setattr(toolchain.release, "folder", wrong)

    with pytest.raises(WrongDigestError):
        toolchain.ensure(Progress(), clone)


def test_when_an_official_cli_appears_what_was_built_and_dropped_in_goes(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    toolchain.ensure(Progress(), clone)
    toolchain.versitygw(Progress(), clone)
    pulumi(tmp_path / "path", "3.260.1")
    monkeypatch.setattr(toolchain, "reachable", lambda _: True)
    for plugin in ("command-v1.2.1", "kubernetes-v4.34.2"):
        (cache.root() / f"unreachable-resource-{plugin}").unlink(missing_ok=True)

    found = toolchain.ensure(Progress(), clone)

    assert found.drop_ins == []
    assert [file.name for file in (clone / BIN).iterdir()] == ["versitygw"]
    assert not dropins.is_provider_drop_in(clone, "command")


def test_a_new_build_replaces_the_old_one(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    toolchain.ensure(Progress(), clone)
    newer = executable(tmp_path / "newer" / "tool", "echo v3.232.0 # newer")
    monkeypatch.setattr(toolchain, "build", lambda *_, **__: newer)

    toolchain.ensure(Progress(), clone)

    assert "newer" in (clone / BIN / "pulumi").read_text()


def test_a_clone_without_its_environment_is_told_what_to_do(clone: Path):
    (clone / ".venv" / "bin" / "python").unlink()

    with pytest.raises(ToolError, match=r"\.venv/bin/python is missing: run `make` in"):
        toolchain.ensure(Progress(), clone)
