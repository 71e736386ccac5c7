"""The program's own files, as git and the disk have them: what a plan was made from."""

import hashlib
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from seedbed import UserError

PROGRAM = ("__main__.py", "Pulumi.yaml", "stacks", "components", "k8s", "requirements", "lab/plugins")
"""What a preview is made from beside the settings: files, and folders with all that is in them. Nothing else of the
repository is imported by the program or read by it."""

BESIDE = {".git", "__pycache__"}
"""What a folder behind a link may have that a preview itself writes."""

GIT_SECONDS = 30
SHORT_COMMIT = 12
NAMED = 5


class Sources(BaseModel):
    """`commit` is HEAD; `dirty` are the paths of the clone that differ from it; `files` has a short digest of each of the
    program's files as it is on the disk, `digest` binds them all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str
    dirty: tuple[str, ...]
    digest: str
    files: dict[str, str]

    @property
    def short(self) -> str:
        """The commit as a person reads it."""
        return self.commit[:SHORT_COMMIT]


def read(root: Path) -> Sources:
    """The sources of the clone `root`. Raises UserError where it is none, or git does not look at it."""
    commit = _git(root, "rev-parse", "--verify", "HEAD^{commit}").strip()
    # NUL ends each path; of a renaming the old path follows, which is none that is there.
    # Source: https://git-scm.com/docs/git-status#_porcelain_format_version_1
    changed = _git(root, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all")
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PROGRAM)
    if not listed:
        raise UserError(
            f"git passes over {root} (it lies in a folder that is ignored), so a plan cannot be bound to its files"
        )
    return of_files(root, commit, [line[3:] for line in _split(changed)], _split(listed))


def of_files(root: Path, commit: str, dirty: Iterable[str], paths: Iterable[str]) -> Sources:
    """The same, of these paths below `root`; one that is not there counts as one that is missing."""
    whole = {path: _digest(root / path) for path in sorted(set(paths))}
    found = {path: digest for path, digest in whole.items() if digest}
    text = "".join(f"{digest}  {path}\n" for path, digest in found.items())
    return Sources(
        commit=commit,
        dirty=tuple(sorted(dirty)),
        digest=hashlib.sha256(text.encode()).hexdigest(),
        files={path: digest[:16] for path, digest in found.items()},
    )


def differences(then: Sources, now: Sources, root: Path) -> list[str]:
    """A line for the commit and one for the program's files, where they are other ones."""
    lines = []
    if then.commit != now.commit:
        same = "; the program's files are the same" if then.digest == now.digest else ""
        lines.append(f"commit: {then.short} → {now.short}, {_way(root, then.commit, now.commit)}{same}")
    if then.digest != now.digest:
        paths = sorted(
            path for path in {*then.files, *now.files} if then.files.get(path) != now.files.get(path)
        )  # fmt: skip
        listed = ", ".join(paths[:NAMED]) + (f" and {len(paths) - NAMED} more" if len(paths) > NAMED else "")
        lines.append(f"sources: {listed or 'a file'} changed")
    return lines


def _way(root: Path, then: str, now: str) -> str:
    """How far apart two commits are."""
    try:
        behind, ahead = map(int, _git(root, "rev-list", "--left-right", "--count", f"{then}...{now}").split())
    except UserError:
        return "which this clone does not have"
    count = [
        f"{number} commit{'s' if number != 1 else ''} {way}" for number, way in ((ahead, "later"), (behind, "earlier"))
    ]
    if ahead and behind:
        return "on another branch"
    return count[0] if ahead else count[1]


def _digest(path: Path) -> str:
    """Of a file's content; of a link, of its text and of what it leads to, which may be outside of all that is bound. "" where
    there is nothing. Raises UserError where it cannot be read."""
    try:
        if path.is_symlink():
            text = os.fsencode(path.readlink())
            return hashlib.sha256(b"link to %s\n%s" % (text, _behind(path).encode())).hexdigest()
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""
    except OSError as error:
        raise UserError(f"{path} cannot be read, and a plan is bound to it: {error.strerror or error}") from None


def _behind(link: Path) -> str:
    """The digests of what a link leads to: a file, or all files of a folder, whose own links to folders are not followed."""
    files = sorted(link.rglob("*")) if link.is_dir() else [link]
    return "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(link).as_posix()}\n"
        for file in files
        if file.is_file() and not BESIDE & set(file.relative_to(link).parts)
    )


def _split(text: str) -> Sequence[str]:
    return [part for part in text.split("\0") if part]


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=GIT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise UserError("there is no `git` on PATH, and a plan is bound to a commit") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"`git {arguments[0]}` is not done after {GIT_SECONDS} s") from None
    if done.returncode != 0:
        raise UserError(
            f"a plan is bound to a commit of this clone, and `git {arguments[0]}` fails: {done.stderr.strip()}"
        )
    return done.stdout
