import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab import LabError
from lab.git import tree

SEALED = "apps/web/overlays/dev/sealed.yaml"
ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(folder: Path, *words: str) -> str:
    argv = ["git", *words]
    done = subprocess.run(argv, cwd=folder, env=ENV, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def put(folder: Path, **files: str | None) -> None:
    """Write files below `k8s`, their names with `__` for a slash and `_` for a dot; None removes."""
    for name, text in files.items():
        path = folder / "k8s" / name.replace("__", "/").replace("_", ".")
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def seal(folder: Path) -> None:
    """As a real one: random, leaves alone what is sealed already, and puts a file of its own beside."""
    for file in folder.rglob("sealed.yaml"):
        if file.read_text().startswith("open"):
            file.write_text(f"sealed {file.read_text()} {secrets.token_hex(8)}")
    certificate = folder / "sealing" / "dev.pem"
    if not certificate.exists():
        certificate.parent.mkdir(exist_ok=True)
        certificate.write_text("certificate")


@dataclass
class World:
    """A clone, a lab, and somebody who pushes."""

    clone: Path
    lab: Path
    pusher: Path
    seal: Callable[[Path], None] = field(default=seal)
    renew: Callable[[Path], None] = field(default=lambda _: None)

    def prepare(self) -> tree.Prepared:
        return tree.prepare(self.clone, self.lab, self.seal, self.renew)

    def rotate(self, key: str) -> None:
        """From now on everything that is sealed is brought to this key; what a file says comes before the key."""

        def renew(folder: Path) -> None:
            for file in folder.rglob("sealed.yaml"):
                said, _, by = file.read_text().partition(" by ")
                if by.split()[:1] != [key]:
                    file.write_text(f"{said} by {key} {secrets.token_hex(8)}")

        self.renew = renew

    @property
    def repository(self) -> Path:
        return self.lab / "git" / "seedbed.git"

    def shown(self, name: str) -> str:
        """A file of the tree that the program reads, which is the one that `main` has."""
        assert git(self.lab / "gitops", "rev-parse", "HEAD") == git(self.repository, "rev-parse", "main")
        assert git(self.lab / "gitops", "status", "--porcelain") == ""
        return (self.lab / "gitops" / "k8s" / name).read_text()

    def names(self) -> list[str]:
        return git(self.repository, "ls-tree", "-r", "--name-only", "main").splitlines()

    def push(self, **files: str | None) -> str:
        """Somebody else's commit; gives it."""
        if not self.pusher.exists():
            git(self.lab, "clone", "--quiet", str(self.repository), str(self.pusher))
        git(self.pusher, "pull", "--quiet")
        put(self.pusher, **files)
        git(self.pusher, "add", "--all")
        git(self.pusher, "commit", "--quiet", "--message", "pushed")
        git(self.pusher, "push", "--quiet", "origin", "HEAD:main")
        return git(self.pusher, "rev-parse", "HEAD")


@pytest.fixture
def world(tmp_path: Path) -> World:
    clone = tmp_path / "clone"
    put(clone, root_yaml="1\n2\n3\n4\n5\n6\n7\n8\n", apps__web__overlays__dev__sealed_yaml="open", gone_yaml="gone")
    (clone / ".gitignore").write_text("*.log\n")
    git(clone, "init", "--quiet")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "first")
    return World(clone, tmp_path / "lab", tmp_path / "pusher")


def test_the_first_time_makes_the_repository_and_the_tree_sealed(world: World) -> None:
    done = world.prepare()
    assert done.new
    assert git(world.repository, "rev-parse", "main") == done.commit
    assert git(world.repository, "rev-parse", "--is-bare-repository") == "true"
    assert world.names() == [f"k8s/{SEALED}", "k8s/gone.yaml", "k8s/root.yaml", "k8s/sealing/dev.pem"]
    assert world.shown(SEALED).startswith("sealed open")


def test_nothing_changed_is_no_commit(world: World) -> None:
    first = world.prepare()
    assert world.prepare() == tree.Prepared(first.commit, new=False)


def test_a_commit_says_who_made_it_and_from_what(world: World) -> None:
    world.prepare()
    head = git(world.clone, "rev-parse", "HEAD")
    assert git(world.repository, "log", "-1", "--format=%an <%ae>%n%B", "main").splitlines() == [
        "seedbed lab <lab@seedbed.internal>",
        f"Take k8s of commit {head[:12]}",
        "",
        f"Source-Commit: {head}",
        "Source-Clean: yes",
    ]
    put(world.clone, new_yaml="new")
    world.prepare()
    said = git(world.repository, "log", "-1", "--format=%B", "main")
    assert said.startswith(f"Take k8s of commit {head[:12]}, with uncommitted changes\n")
    assert said.endswith("Source-Clean: no")


def test_uncommitted_files_are_taken_and_ignored_ones_are_not(world: World) -> None:
    put(world.clone, new_yaml="new", a_log="noise", root_yaml="other")
    world.prepare()
    assert "k8s/new.yaml" in world.names()
    assert "k8s/a.log" not in world.names()
    assert world.shown("root.yaml") == "other"


def test_files_that_a_global_setting_of_the_user_ignores_are_taken(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ignore").write_text("*.yaml\n")
    (tmp_path / "config").write_text(f"[core]\nexcludesFile = {tmp_path / 'ignore'}\n[user]\nname = me\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "me")
    put(world.clone, new_yaml="new")
    world.prepare()
    assert "k8s/new.yaml" in world.names()
    assert git(world.repository, "log", "--format=%an %cn", "main").splitlines() == ["seedbed lab seedbed lab"] * 2


def test_hooks_of_the_users_templates_do_not_run(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hook = tmp_path / "template" / "hooks" / "post-checkout"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\nexit 1\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(tmp_path / "template"))
    world.prepare()
    shutil.copytree(tmp_path / "template" / "hooks", world.repository / "hooks")
    put(world.clone, new_yaml="new")
    world.prepare()
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_is_no_repository_is_taken_whole_even_inside_of_one(world: World) -> None:
    inner = world.clone / "inner.log"  # ignored, and so nothing of it is a file to the repository around it
    shutil.copytree(world.clone / "k8s", inner / "k8s")
    done = tree.prepare(inner, world.lab, seal)
    assert "k8s/root.yaml" in world.names()
    assert (
        git(world.repository, "log", "-1", "--format=%s", done.commit)
        == "Take k8s of a folder that is no git repository"
    )


def test_a_clone_without_the_tree_is_refused(world: World) -> None:
    shutil.rmtree(world.clone / "k8s")
    with pytest.raises(LabError, match="has no files in k8s/"):
        world.prepare()


def test_what_was_sealed_stays_until_its_source_changes(world: World) -> None:
    world.prepare()
    before = world.shown(SEALED)
    put(world.clone, root_yaml="other")
    world.prepare()
    assert world.shown(SEALED) == before
    put(world.clone, apps__web__overlays__dev__sealed_yaml="open again")
    world.prepare()
    assert world.shown(SEALED).startswith("sealed open again")


def test_sealing_anew_is_a_commit_of_its_own(world: World) -> None:
    first = world.prepare()
    world.seal = lambda folder: (folder / SEALED).write_text("sealed for another key") and None
    assert world.prepare().new
    assert world.shown(SEALED) == "sealed for another key"
    assert git(world.repository, "rev-parse", "main^") == first.commit


def test_what_the_clone_removes_goes_and_with_a_folder_what_sealing_put_there(world: World) -> None:
    put(world.clone, apps__job__overlays__dev__kustomization_yaml="x")

    def seal_beside(folder: Path) -> None:
        for file in folder.rglob("kustomization.yaml"):
            file.with_name("extra.yaml").write_text("made")

    world.seal = seal_beside
    world.prepare()
    assert "k8s/apps/job/overlays/dev/extra.yaml" in world.names()
    shutil.rmtree(world.clone / "k8s" / "apps" / "job")
    put(world.clone, gone_yaml=None)
    world.prepare()
    assert world.names() == [f"k8s/{SEALED}", "k8s/root.yaml"]
    assert not (world.lab / "gitops" / "k8s" / "apps" / "job").exists()


def test_a_file_in_the_place_of_a_folder_and_the_other_way_round(world: World) -> None:
    put(world.clone, one__a_yaml="a", two="b")
    world.prepare()
    shutil.rmtree(world.clone / "k8s" / "one")
    put(world.clone, two=None)
    put(world.clone, one="a", two__b_yaml="b")
    world.prepare()
    assert world.shown("one") == "a"
    assert world.shown("two/b.yaml") == "b"


def test_a_link_stays_a_link_and_a_program_stays_one(world: World) -> None:
    (world.clone / "k8s" / "link").symlink_to("root.yaml")
    (world.clone / "k8s" / "gone.yaml").chmod(0o700)
    world.prepare()
    modes = {line.split()[3]: line.split()[0] for line in git(world.repository, "ls-tree", "-r", "main").splitlines()}
    assert modes["k8s/link"] == "120000"
    assert modes["k8s/gone.yaml"] == "100755"
    assert modes["k8s/root.yaml"] == "100644"


def test_what_somebody_pushed_stays_and_comes_into_the_tree(world: World) -> None:
    world.prepare()
    pushed = world.push(apps__web__overlays__dev__sealed_yaml="theirs", added_yaml="added")
    assert world.prepare() == tree.Prepared(pushed, new=False)
    assert world.shown(SEALED) == "theirs"
    assert world.shown("added.yaml") == "added"


def test_changes_of_both_come_together(world: World) -> None:
    world.prepare()
    pushed = world.push(root_yaml="pushed\n2\n3\n4\n5\n6\n7\n8\n")
    put(world.clone, root_yaml="1\n2\n3\n4\n5\n6\n7\nclone\n", new_yaml="new", gone_yaml=None)
    world.prepare()
    assert world.shown("root.yaml") == "pushed\n2\n3\n4\n5\n6\n7\nclone\n"
    assert world.shown("new.yaml") == "new"
    assert "k8s/gone.yaml" not in world.names()
    git(world.repository, "merge-base", "--is-ancestor", pushed, "main")
    assert not world.prepare().new
    put(world.clone, root_yaml="1\n2\n3\n4\n5\n6\n7\nagain\n")
    world.prepare()
    assert world.shown("root.yaml") == "pushed\n2\n3\n4\n5\n6\n7\nagain\n"


def test_a_conflict_names_the_files_changes_nothing_and_has_a_way_out(world: World) -> None:
    world.prepare()
    pushed = world.push(root_yaml="theirs", gone_yaml="theirs")
    put(world.clone, root_yaml="ours", gone_yaml=None, new_yaml="new")
    references = git(world.repository, "for-each-ref")
    with pytest.raises(
        LabError, match=r"change the same lines of:\n  k8s/gone.yaml\n  k8s/root.yaml\nTake what was"
    ) as told:
        world.prepare()
    assert f"git -C {world.repository} show main:k8s/root.yaml" in str(told.value)
    assert git(world.repository, "for-each-ref") == references
    assert not (world.lab / "gitops.draft").exists()
    put(world.clone, root_yaml="theirs", gone_yaml="theirs")
    world.prepare()
    assert world.shown("root.yaml") == "theirs"
    assert world.shown("new.yaml") == "new"
    git(world.repository, "merge-base", "--is-ancestor", pushed, "main")


def test_a_conflict_ends_when_what_was_pushed_is_undone(world: World) -> None:
    world.prepare()
    world.push(gone_yaml="theirs")
    put(world.clone, gone_yaml="ours")
    with pytest.raises(LabError, match=r"k8s/gone\.yaml"):
        world.prepare()
    world.push(gone_yaml="gone")
    world.prepare()
    assert world.shown("gone.yaml") == "ours"


def test_a_new_key_comes_to_what_the_clone_has_and_to_what_was_pushed_and_only_once(world: World) -> None:
    world.prepare()
    world.push(new__sealed_yaml="theirs")
    world.rotate("two")
    assert world.prepare().new
    assert world.shown(SEALED).startswith("sealed open")
    assert " by two " in world.shown(SEALED)
    assert world.shown("new/sealed.yaml").startswith("theirs by two ")
    assert not world.prepare().new
    assert not (world.clone / "k8s/new").exists()


def test_a_new_key_without_a_push_is_one_commit(world: World) -> None:
    first = world.prepare()
    world.rotate("two")
    second = world.prepare()
    assert " by two " in world.shown(SEALED)
    assert git(world.repository, "rev-parse", f"{second.commit}^@") == first.commit
    assert not world.prepare().new


def test_a_value_of_somebody_elses_is_in_nobodys_way_when_the_key_changes(world: World) -> None:
    world.prepare()
    world.push(apps__web__overlays__dev__sealed_yaml="theirs")
    for key in ("two", "three"):
        world.rotate(key)
        world.prepare()
        assert world.shown(SEALED).startswith(f"theirs by {key} ")
    assert not world.prepare().new


def test_the_clone_can_change_what_was_sealed_again(world: World) -> None:
    world.prepare()
    world.push(added_yaml="added", new__sealed_yaml="theirs")
    world.rotate("two")
    world.prepare()
    put(world.clone, apps__web__overlays__dev__sealed_yaml="open again")
    world.prepare()
    assert world.shown(SEALED).startswith("sealed open again")
    assert world.shown("added.yaml") == "added"


def test_a_push_in_the_same_moment_is_not_lost(world: World) -> None:
    world.prepare()
    put(world.clone, new_yaml="new")

    def seal_slowly(folder: Path) -> None:
        world.push(added_yaml="added")

    world.seal = seal_slowly
    with pytest.raises(LabError, match=r"somebody pushed to main .* just now: run this again"):
        world.prepare()
    world.seal = seal
    world.prepare()
    assert world.shown("added.yaml") == "added"
    assert world.shown("new.yaml") == "new"


def test_a_history_that_was_replaced_is_told(world: World) -> None:
    world.prepare()
    world.push(added_yaml="added")
    git(world.pusher, "checkout", "--quiet", "--orphan", "other")
    git(world.pusher, "commit", "--quiet", "--message", "anew")
    git(world.pusher, "push", "--quiet", "--force", "origin", "other:main")
    with pytest.raises(LabError, match=r"cannot be merged with the clone: .*unrelated histories"):
        world.prepare()


def test_a_seal_that_fails_changes_nothing(world: World) -> None:
    first = world.prepare()
    put(world.clone, new_yaml="new")

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise ValueError("no key")

    world.seal = fail
    with pytest.raises(ValueError, match="no key"):
        world.prepare()
    assert git(world.repository, "rev-parse", "main") == first.commit
    assert not (world.lab / "gitops" / "k8s" / "new.yaml").exists()
    assert not (world.lab / "gitops.draft").exists()


def test_what_was_changed_or_lost_in_the_work_tree_is_put_right(world: World) -> None:
    world.prepare()
    (world.lab / "gitops" / "k8s" / "root.yaml").write_text("by hand")
    (world.lab / "gitops" / "k8s" / "stray.yaml").write_text("by hand")
    (world.lab / "gitops.draft").mkdir()  # a preparation that was killed
    world.prepare()
    assert world.shown("root.yaml").startswith("1\n2")
    shutil.rmtree(world.lab / "gitops")
    world.prepare()
    assert world.shown("root.yaml").startswith("1\n2")
    (world.lab / "gitops" / ".git").unlink()
    world.prepare()
    assert world.shown("root.yaml").startswith("1\n2")


def test_a_repository_that_lost_a_reference_is_told_with_the_way_out(world: World) -> None:
    world.prepare()
    git(world.repository, "update-ref", "-d", "refs/seedbed/clone")
    with pytest.raises(LabError, match=r"has no refs/seedbed/clone: save what was pushed"):
        world.prepare()
