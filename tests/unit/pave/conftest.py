"""The home of the user that logs in to a machine, with the scripts where they are copied to."""

from pathlib import Path

import pytest

from components.remote.script import REMOTE_FILE, bundle


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that what a test runs begins in."""
    home = tmp_path / "home"
    home.mkdir()
    (home / REMOTE_FILE).write_text(bundle())
    monkeypatch.chdir(home)
    return home
