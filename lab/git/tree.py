"""The tree that drives the cluster: the clone's `k8s/`, sealed for this lab, as commits in the lab's repository.

The repository has one branch, `main`, to which anybody may push. Two hidden references remember the clone: `clone` as it
was copied last, and `published`, that with what sealing makes of it. What changed from the one copy to the next goes
onto `published`, and `published` is merged into `main`. So a file stays as it was pushed until the clone changes it, and
what is sealed stays as it is until its source changes: sealing twice never gives the same. Only a new sealing key changes
what is on `main`, whoever brought it there.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lab import LabError
from lab.git import program, service
from lab.git.program import Git
from lab.internet import process
from lab.internet.names import GIT

TREE = "k8s"
BRANCH = "main"
REPOSITORY = "seedbed.git"
URL = f"ssh://git@{GIT}/{REPOSITORY}"
"""Where the lab's hosts find it."""

WORK_TREE = "gitops"

_DRAFT = "gitops.draft"
_MAIN = f"refs/heads/{BRANCH}"
_CLONE = f"{program.HIDDEN}/clone"
_PUBLISHED = f"{program.HIDDEN}/published"
_RENEWED = "Seal again for the newest key"
_REFERENCES = (_MAIN, _CLONE, _PUBLISHED)

Seal = Callable[[Path], None]
"""Makes the tree (the folder `k8s`) fit for the lab. It must leave alone what it made before and is still right."""

Renew = Callable[[Path], None]
"""Brings what is sealed in the tree to the newest key; it must leave alone what has it."""


@dataclass(frozen=True)
class Prepared:
    """The commit that `main` is at, and whether it is new."""

    commit: str
    new: bool


def prepare(clone: Path, lab_dir: Path, seal: Seal, renew: Renew = lambda _: None) -> Prepared:
    """Bring the clone's `k8s/` to `main` of the lab's repository, and the lab's work tree to that commit.

    The files are those that git does not ignore, committed or not; all of them where the clone is no repository. The
    repository `git/seedbed.git` and the work tree `gitops` are made in the lab's folder where they are missing; what
    somebody changed in that work tree is undone. Without a change there is no commit.

    Raises:
        LabError: the clone has no such folder; it and somebody who pushed changed the same lines (with the files and
            the way out), or somebody pushed just now. Then nothing was changed. What `seal` and `renew` raise passes through.
    """
    root = lab_dir / service.ROOT
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with process.lock(root):
        repository = _repository(root)
        before = _references(repository)
        message = _message(clone)
        with _draft(repository, lab_dir / _DRAFT) as draft:
            copied = _copy(draft, clone, before[_CLONE], message)
            published = _publish(draft, before, copied, seal, message)
            main = _merge(draft, before[_MAIN], published)
            main, published = _renew(draft, main, published, renew)
        after = {_MAIN: main, _CLONE: copied, _PUBLISHED: published}
        _update(repository, before, after)
        _show(repository, lab_dir / WORK_TREE, main)
    return Prepared(main, main != before[_MAIN])


def _repository(root: Path) -> Git:
    """The bare repository, made with one empty commit that everything comes after."""
    folder = root / REPOSITORY
    if not folder.exists():
        draft = root / f".{REPOSITORY}"
        shutil.rmtree(draft, ignore_errors=True)
        Git(root).run("init", "--quiet", "--bare", "--template=", f"--initial-branch={BRANCH}", draft.name)
        new = Git(draft)
        tree = new.run("mktree")
        first = new.run("commit-tree", tree, "-m", "Begin with nothing")
        for name in _REFERENCES:
            new.run("update-ref", name, first)
        draft.rename(folder)
    return Git(folder)


def _references(repository: Git) -> dict[str, str]:
    listed = repository.run("for-each-ref", "--format=%(refname) %(objectname)", *_REFERENCES).splitlines()
    found = dict(line.split() for line in listed)
    if missing := [name for name in _REFERENCES if name not in found]:
        raise LabError(
            f"{repository.folder} has no {', '.join(missing)}: save what was pushed there, if anything, remove that folder,"
            " and `make up` makes it anew from the clone"
        )
    return found


def _message(clone: Path) -> str:
    """Where the tree comes from, as a commit's message."""
    if not _is_repository(clone):
        return f"Take {TREE} of a folder that is no git repository"
    git = Git(clone)
    head = git.attempt("rev-parse", "--verify", "--quiet", "HEAD").stdout.strip()
    clean = not git.run("status", "--porcelain", "--untracked-files=all", "--", TREE)
    what = f"commit {head[:12]}" if head else "a repository without commits"
    return "\n".join(
        [
            f"Take {TREE} of {what}" + ("" if clean else ", with uncommitted changes"),
            "",
            f"Source-Commit: {head or 'none'}",
            f"Source-Clean: {'yes' if clean else 'no'}",
        ]
    )


def _is_repository(clone: Path) -> bool:
    """Whether the folder is the top of a work tree; one that only lies inside another's is not."""
    done = Git(clone).attempt("rev-parse", "--show-toplevel")
    return done.returncode == 0 and Path(done.stdout.removesuffix("\n")).resolve() == clone.resolve()


def _files(clone: Path) -> list[str]:
    """The files of the tree that are to be copied, relative to the clone."""
    if _is_repository(clone):
        listed = Git(clone).lines("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", TREE)
    else:
        listed = [str(path.relative_to(clone)) for path in (clone / TREE).rglob("*")]
    found = [name for name in listed if (clone / name).is_symlink() or (clone / name).is_file()]
    if not found:
        raise LabError(f"{clone} has no files in {TREE}/: there is nothing that could drive the cluster")
    return found


@contextmanager
def _draft(repository: Git, folder: Path) -> Iterator[Git]:
    """A work tree to work in, which nobody else looks at."""
    _remove(repository, folder)
    repository.run("worktree", "add", "--quiet", "--detach", "--no-checkout", str(folder.absolute()), BRANCH)
    try:
        yield Git(folder)
    finally:
        _remove(repository, folder)


def _remove(repository: Git, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    repository.run("worktree", "prune")


def _checkout(work: Git, commit: str) -> None:
    work.run("checkout", "--quiet", "--force", "--detach", commit)
    work.run("clean", "--quiet", "-ffdx")


def _commit(work: Git, parent: str, message: str) -> str:
    """A commit of all that is in the work tree; the parent itself where that is the same."""
    work.run("add", "--all", "--force", ".")
    tree = work.run("write-tree")
    if tree == work.run("rev-parse", f"{parent}^{{tree}}"):
        return parent
    return work.run("commit-tree", tree, "-p", parent, "-F", "-", stdin=message + "\n")


def _copy(draft: Git, clone: Path, parent: str, message: str) -> str:
    """The clone's tree, and nothing else, as a commit after the one that was copied last."""
    _checkout(draft, parent)
    shutil.rmtree(draft.folder / TREE, ignore_errors=True)
    for name in _files(clone):
        target = draft.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clone / name, target, follow_symlinks=False)
    return _commit(draft, parent, message)


def _publish(draft: Git, before: dict[str, str], copied: str, seal: Seal, message: str) -> str:
    """What changed in the clone, onto what was published last, and sealed.

    With a folder that the clone has no more goes what sealing put there.
    """
    _checkout(draft, before[_PUBLISHED])
    entries = draft.lines("diff", "--name-status", "--no-renames", "-z", before[_CLONE], copied)
    changes = dict(zip(entries[1::2], entries[::2], strict=True))
    for name, status in changes.items():
        if status == "D":
            (draft.folder / name).unlink(missing_ok=True)
    for folder in _folders(draft, before[_CLONE]) - _folders(draft, copied):
        shutil.rmtree(draft.folder / folder, ignore_errors=True)
    _take(draft, copied, [name for name, status in changes.items() if status != "D"])
    seal(draft.folder / TREE)
    return _commit(draft, before[_PUBLISHED], message)


def _take(draft: Git, commit: str, names: Sequence[str]) -> None:
    """Bring some files of a commit into the work tree."""
    if names:
        listed = "".join(f"{name}\0" for name in names)
        draft.run("checkout", "--quiet", commit, "--pathspec-from-file=-", "--pathspec-file-nul", stdin=listed)


def _folders(work: Git, commit: str) -> set[PurePosixPath]:
    names = map(PurePosixPath, work.lines("ls-tree", "-r", "-z", "--name-only", commit))
    return {folder for name in names for folder in name.parents}


def _merge(draft: Git, main: str, published: str) -> str:
    """What was pushed to `main`, with what is published."""
    base = draft.attempt("merge-base", main, published).stdout.strip()
    if base == main:
        return published
    if base == published:
        return main
    _checkout(draft, main)
    done = draft.attempt(
        "merge", "--quiet", "--no-ff", "-m", "Merge what the clone has with what was pushed", published
    )
    if done.returncode == 0:
        return draft.run("rev-parse", "HEAD")
    repository = draft.folder.parent / service.ROOT / REPOSITORY
    files = draft.lines("diff", "--name-only", "--diff-filter=U", "-z")
    if not files:
        raise LabError(
            f"{BRANCH} of {repository} cannot be merged with the clone: {(done.stderr or done.stdout).strip()}"
        )
    raise LabError(_conflict(repository, files))


def _renew(draft: Git, main: str, published: str, renew: Renew) -> tuple[str, str]:
    """`main` and `published` with what a new key changes on `main`.

    Files that both have alike stay alike, or the clone's next change to one would conflict with its new values.
    """
    _checkout(draft, main)
    renew(draft.folder / TREE)
    renewed = _commit(draft, main, _RENEWED)
    if renewed == main:
        return main, published
    if main == published:
        return renewed, renewed
    different = _changed(draft, published, main)
    _checkout(draft, published)
    _take(draft, renewed, sorted(_changed(draft, main, renewed) - different))
    after = _commit(draft, published, _RENEWED)
    if after == published:
        return renewed, published
    # A merge by hand: what `main` has is right, and includes what is published now.
    return draft.run("commit-tree", f"{renewed}^{{tree}}", "-p", renewed, "-p", after, "-m", _RENEWED), after


def _changed(work: Git, before: str, after: str) -> set[str]:
    return set(work.lines("diff", "--name-only", "--no-renames", "-z", before, after))


def _conflict(repository: Path, files: Sequence[str]) -> str:
    return "\n".join(
        [
            f"the clone and what was pushed to {BRANCH} of {repository} change the same lines of:",
            *(f"  {name}" for name in files),
            "Take what was pushed into the clone's files,",
            *(f"  git -C {repository} show {BRANCH}:{name}" for name in files),
            "or push a commit that undoes it there; then run this again.",
        ]
    )


def _update(repository: Git, before: dict[str, str], after: dict[str, str]) -> None:
    """Move all references at once, unless somebody moved one meanwhile."""
    lines = [f"update {name} {after[name]} {before[name]}\n" for name in _REFERENCES]
    done = repository.attempt("update-ref", "--stdin", stdin="".join(lines))
    if done.returncode != 0:
        if _references(repository) != before:
            raise LabError(f"somebody pushed to {BRANCH} of {repository.folder} just now: run this again")
        raise LabError(f"{repository.folder}: {done.stderr.strip()}")


def _show(repository: Git, folder: Path, commit: str) -> None:
    """Bring the work tree to the commit; make it where it is missing or belongs to another repository."""
    done = Git(folder).attempt("rev-parse", "--git-common-dir") if folder.is_dir() else None
    common = (folder / done.stdout.removesuffix("\n")).resolve() if done and done.returncode == 0 else None
    if common != repository.folder.resolve():
        _remove(repository, folder)
        repository.run("worktree", "add", "--quiet", "--detach", str(folder.absolute()), commit)
    _checkout(Git(folder), commit)
