"""Copies of the tree as clones: what reviews is of a commit."""

import subprocess
from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    """What a git command prints, run as nobody in particular."""
    nobody = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    argv = ["git", *nobody, *arguments]
    return subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=120, check=True).stdout.strip()


def committed(root: Path) -> str:
    """Commits all that is in the folder, which is a clone from the first time on; returns the commit."""
    if not (root / ".git").exists():
        git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "test")
    return git(root, "rev-parse", "HEAD")
