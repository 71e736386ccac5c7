"""What CopyToRemote puts where, and when it copies again.

Sources: Registry, command.remote.CopyToRemote (`source`, `remotePath`); pulumi/pulumi-command
`remote/copyController.go`, `remote/copy.go`.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from pulumi import AssetArchive, FileArchive, FileAsset, RemoteAsset, ResourceOptions, StringAsset
from pulumi_command import remote

from tests.engine.conformance.harness import Result, Server, Stack

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources in `from`, targets in `to`."""
    folder = tmp_path_factory.mktemp("copies")
    tree = folder / "from" / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "top.txt").write_text("top")
    (tree / "below" / "deep.txt").write_text("deep")
    (folder / "from" / "file.sh").write_text("#!/bin/sh\n")
    (folder / "from" / "file.sh").chmod(0o755)
    (folder / "from" / "packed.tar.gz").write_bytes(bytes(range(256)) * 1000)
    for existing in ("directory", "into-directory", "slash-existing", "plain-existing"):
        (folder / "to" / existing).mkdir(parents=True)
    (folder / "to" / "slash-existing" / "kept").write_text("kept")
    (folder / "to" / "overwritten").write_text("a longer text than what comes")
    return folder


@pytest.fixture(scope="module")
def result(shared_stack: Stack, host: Server, folder: Path) -> Result:
    """One `up` of all kinds of copies."""
    sources = {
        "text": StringAsset("text äöü"),
        "overwritten": FileAsset(str(folder / "from" / "file.sh")),
        "file": FileAsset(str(folder / "from" / "file.sh")),
        "into-directory": FileAsset(str(folder / "from" / "file.sh")),
        "plain-new": FileArchive(str(folder / "from" / "tree")),
        "plain-existing": FileArchive(str(folder / "from" / "tree")),
        "slash-new": FileArchive(str(folder / "from" / "tree") + "/"),
        "slash-existing": FileArchive(str(folder / "from" / "tree") + "/"),
        "packed": FileArchive(str(folder / "from" / "packed.tar.gz")),
    }

    def program() -> None:
        for name, source in sources.items():
            target = str(folder / "to" / name)
            remote.CopyToRemote(name, source=source, remote_path=target, connection=host.connection())

    return shared_stack.up(program)


def test_a_file_or_a_text_becomes_the_remote_path_or_goes_into_an_existing_directory(
    result: Result, folder: Path
) -> None:
    """Registry: `remotePath`. An existing file is overwritten; the mode is the host's default."""
    to = folder / "to"
    assert (to / "text").read_text() == "text äöü"
    assert (to / "file").read_text() == (to / "overwritten").read_text() == "#!/bin/sh\n"
    assert (to / "file").stat().st_mode & 0o111 == 0
    assert (to / "into-directory" / "file.sh").read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("plain-new", "plain-new/tree"),
        ("plain-existing", "plain-existing/tree"),
        ("slash-new", "slash-new"),
        ("slash-existing", "slash-existing"),
    ],
)
def test_a_directory_is_copied_itself_and_with_a_slash_at_its_end_only_what_is_in_it(
    result: Result, folder: Path, name: str, root: str
) -> None:
    """The table in remote/copyController.go, sftpCopy; nothing that was there is removed."""
    copied = folder / "to" / root
    assert (copied / "top.txt").read_text() == "top"
    assert (copied / "below" / "deep.txt").read_text() == "deep"
    assert (folder / "to" / "slash-existing" / "kept").exists()


def test_an_archive_file_is_not_unpacked(result: Result, folder: Path) -> None:
    """Registry: "archives like .tgz will not be unpacked"."""
    assert (folder / "to" / "packed").read_bytes() == (folder / "from" / "packed.tar.gz").read_bytes()


def test_a_copy_is_repeated_for_other_content_or_another_path_and_left_in_place_at_the_end(
    stack: Stack, host: Server, tmp_path: Path
) -> None:
    """remote/copyController.go, Update: hash or path; there is no Delete."""
    (tmp_path / "source").write_text("one")

    def program(names: dict[str, str], limit: int = 1, trigger: str = "a") -> Callable[[], None]:
        def declare() -> None:
            for name, text in names.items():
                remote.CopyToRemote(
                    name,
                    source=FileAsset(str(tmp_path / "source")) if text == "source" else StringAsset(text),
                    remote_path=str(tmp_path / name),
                    connection=host.connection(dial_error_limit=limit),
                    triggers=[trigger],
                )

        return declare

    stack.up(program({"file": "source", "text": "one", "still": "still"}))
    for name in ("file", "text", "still"):
        (tmp_path / name).unlink()
    (tmp_path / "source").write_text("two")
    changed = program({"file": "source", "text": "two", "still": "still"}, limit=2)
    assert stack.up(changed).changed == ["file", "still", "text"]
    assert (tmp_path / "file").read_text() == (tmp_path / "text").read_text() == "two"
    assert not (tmp_path / "still").exists(), "another connection alone copies nothing"
    replaced = stack.preview(program({"text": "two"}, limit=2, trigger="b"))
    assert "create-replacement" in replaced.operations_of("text")
    stack.destroy()
    assert (tmp_path / "file").read_text() == "two"


def test_a_frozen_copy_of_a_relative_file_is_made_again_only_where_it_is_replaced(
    stack: Stack, host: Server, tmp_path: Path
) -> None:
    """Engine: `ignoreChanges` gives the old asset, a path, and a replacement reads today's file behind it. Nothing
    that depends on the copy is touched. A refresh keeps the path. Relative paths are the project's."""
    source, target = stack.folder / "file", tmp_path / "to"
    source.write_text("one")

    def program() -> None:
        copy = remote.CopyToRemote(
            "host-copy",
            source=FileAsset("file"),
            remote_path=str(target),
            connection=host.connection(),
            opts=ResourceOptions(ignore_changes=["connection", "remotePath", "source"]),
        )
        remote.Command("after", create="true", connection=host.connection(), opts=ResourceOptions(depends_on=[copy]))

    stack.up(program)
    source.write_text("two")
    stack.refresh()
    assert stack.up(program).changed == []
    assert target.read_text() == "one"
    assert stack.up(program, "--replace", "**::host-c*").changed == ["host-copy"]
    assert target.read_text() == "two"
    stack.refresh()
    assert stack.up(program).changed == []


def test_sources_that_cannot_be_copied_are_refused_in_the_preview(stack: Stack, host: Server) -> None:
    """remote/copyController.go, Check."""

    def refused(source: RemoteAsset | AssetArchive) -> None:
        remote.CopyToRemote("c", source=source, remote_path="/nowhere", connection=host.connection())

    result = stack.preview(lambda: refused(RemoteAsset(f"file://{__file__}")), succeeds=False)
    assert "asset must be a path-based file asset" in result.text("c")
    result = stack.preview(lambda: refused(AssetArchive({"a": StringAsset("b")})), succeeds=False)
    assert "archive must be a path to a file or directory" in result.text("c")


def test_copies_that_cannot_be_made_say_why(stack: Stack, host: Server, tmp_path: Path) -> None:
    """Registry: "it's an error when additional elements don't exist"; a directory cannot replace a file."""
    (tmp_path / "file").touch()
    (tmp_path / "tree").mkdir()

    def program() -> None:
        for name, source, path in (
            ("no-parent", FileAsset(str(tmp_path / "file")), tmp_path / "missing" / "file"),
            ("onto-file", FileArchive(str(tmp_path / "tree")), tmp_path / "file"),
            ("text-onto-directory", StringAsset("text"), tmp_path / "tree"),
        ):
            remote.CopyToRemote(name, source=source, remote_path=str(path), connection=host.connection())

    result = stack.up(program, "--continue-on-error", succeeds=False)
    assert f"remote path {tmp_path / 'missing' / 'file'}" in result.text("no-parent")
    assert str(tmp_path / "file") in result.text("onto-file")
    assert f"{tmp_path / 'tree'}" in result.text("text-onto-directory")
