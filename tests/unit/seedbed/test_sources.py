import subprocess

import pytest

from seedbed import UserError, sources


@pytest.fixture
def clone(tmp_path):
    (tmp_path / "stacks").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "__main__.py").write_text("program\n")
    (tmp_path / "stacks" / "one.py").write_text("one\n")
    (tmp_path / "docs" / "page.md").write_text("page\n")
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(root, *arguments):
    nobody = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    argv = ["git", *nobody, *arguments]
    return subprocess.run(argv, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def commit(root):
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "test")
    return git(root, "rev-parse", "HEAD")


def differences(then, root):
    return sources.differences(then, sources.read(root), root)


def test_a_clean_clone_is_its_commit(clone):
    found = sources.read(clone)
    assert found.commit == git(clone, "rev-parse", "HEAD")
    assert found.dirty == ()
    assert set(found.files) == {"__main__.py", "stacks/one.py"}
    assert differences(found, clone) == []


def test_what_is_not_committed_is_listed_and_in_the_digest(clone):
    then = sources.read(clone)
    (clone / "stacks" / "one.py").write_text("another\n")
    (clone / "stacks" / "new file.py").write_text("new\n")
    (clone / "__main__.py").unlink()
    (clone / "docs" / "page.md").write_text("another page\n")
    now = sources.read(clone)
    assert now.dirty == ("__main__.py", "docs/page.md", "stacks/new file.py", "stacks/one.py")
    assert differences(then, clone) == ["sources: __main__.py, stacks/new file.py, stacks/one.py changed"]
    # A second change of a file that was changed already is one, too.
    (clone / "stacks" / "one.py").write_text("a third\n")
    assert differences(now, clone) == ["sources: stacks/one.py changed"]


def test_what_is_no_part_of_the_program_is_not_bound(clone):
    then = sources.read(clone)
    (clone / "docs" / "page.md").write_text("another page\n")
    (clone / "stacks" / "__pycache__").mkdir()
    (clone / "stacks" / "__pycache__" / "one.pyc").write_text("compiled")
    assert differences(then, clone) == []


def test_a_link_is_what_it_leads_to_by_name(clone):
    (clone / "stacks" / "link").symlink_to("one.py")
    then = sources.read(clone)
    (clone / "stacks" / "link").unlink()
    (clone / "stacks" / "link").symlink_to("two.py")
    assert differences(then, clone) == ["sources: stacks/link changed"]


def test_a_link_is_also_what_is_there(clone, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "one.py").write_text("one\n")
    (outside / "folder").mkdir()
    (outside / "folder" / "two.py").write_text("two\n")
    for name, target in (("file", "one.py"), ("folder", "folder"), ("gone", "gone")):
        (clone / "stacks" / name).symlink_to(outside / target)
    (clone / "stacks" / "round").symlink_to("round")
    (outside / "folder" / "up").symlink_to("..")
    then = sources.read(clone)
    (outside / "folder" / "__pycache__").mkdir()
    (outside / "folder" / "__pycache__" / "two.pyc").write_text("compiled")
    assert differences(then, clone) == []
    (outside / "one.py").write_text("another\n")
    assert differences(then, clone) == ["sources: stacks/file changed"]
    (outside / "folder" / "two.py").write_text("another\n")
    (outside / "gone").write_text("there\n")
    assert differences(then, clone) == ["sources: stacks/file, stacks/folder, stacks/gone changed"]


def test_how_far_a_commit_is_from_the_one_that_was_reviewed_is_said(clone):
    first = sources.read(clone)
    commit(clone)
    (clone / "stacks" / "one.py").write_text("another\n")
    last = commit(clone)
    way = f"commit: {first.short} → {last[:12]}, 2 commits later"
    assert differences(first, clone) == [way, "sources: stacks/one.py changed"]
    later = sources.read(clone)
    git(clone, "checkout", "--quiet", "HEAD~1")
    assert differences(first, clone) == [
        f"commit: {first.short} → {sources.read(clone).short}, 1 commit later; the program's files are the same"
    ]
    assert ", 1 commit earlier" in differences(later, clone)[0]
    commit(clone)
    assert "on another branch" in differences(later, clone)[0]
    strange = first.model_copy(update={"commit": "f" * 40})
    assert "which this clone does not have" in differences(strange, clone)[0]


def test_a_copy_in_a_folder_that_git_passes_over_is_not_bound_to_nothing(clone):
    copy = clone / "stacks" / "__pycache__" / "copy"
    (copy / "stacks").mkdir(parents=True)
    (copy / "stacks" / "one.py").write_text("one\n")
    with pytest.raises(UserError, match="it lies in a folder that is ignored"):
        sources.read(copy)


def test_outside_of_a_clone_there_is_nothing_to_bind_to(tmp_path):
    with pytest.raises(UserError, match="a plan is bound to a commit of this clone, and `git rev-parse` fails"):
        sources.read(tmp_path)


def test_a_file_that_cannot_be_read_is_named(clone, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.read_bytes", refused)
    with pytest.raises(UserError, match=r"__main__\.py cannot be read, and a plan is bound to it: Permission denied"):
        sources.read(clone)
