"""Which image a host begins with, and when another one has to be made. What is in them is tested with real hosts."""

import re
from pathlib import Path

import pytest

from components.pave import steps
from lab import LabError, apt, image
from lab.image import VARIABLE, Image
from tools.progress import Progress


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was made: names of images and the packages of the prepared ones; nothing is installed."""
    found: list[str] = []

    def bare(root: Path, *_: object) -> None:
        root.mkdir()
        found.append("bare")

    def prepared(root: Path, base: Path, packages: tuple[str, ...], _: object) -> None:
        assert base.is_dir()
        root.mkdir()
        found.append(" ".join(packages))

    monkeypatch.setenv("SEEDBED_CACHE", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(apt, "mirrors", lambda: apt.Mirrors("http://mirror.test/debian", None))
    monkeypatch.setattr(apt, "settings", lambda: "")
    monkeypatch.setattr(image, "EXTRA_CAS", tmp_path / "none")
    monkeypatch.setattr(image, "_make", bare)
    monkeypatch.setattr(image, "_prepare", prepared)
    return found


def test_a_host_begins_bare_unless_the_environment_says_otherwise(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = image.ensure(Progress())
    assert made == ["bare"]
    monkeypatch.setenv(VARIABLE, "prepared")
    prepared = image.ensure(Progress())
    assert prepared != bare
    assert image.ensure(Progress(), Image.BARE) == bare
    monkeypatch.setenv(VARIABLE, "")
    assert image.ensure(Progress()) == bare
    assert len(made) == 2


def test_an_image_that_does_not_exist_is_named_with_those_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "golden")
    with pytest.raises(LabError, match="SEEDBED_LAB_IMAGE=golden: no such image; there are bare, prepared"):
        image.chosen()


def test_another_list_of_packages_is_another_prepared_image_on_the_same_base(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = image.ensure(Progress(), Image.PREPARED)
    assert image.ensure(Progress(), Image.PREPARED) == first
    monkeypatch.setattr(steps, "PACKAGES", ("curl", "jq"))
    assert image.ensure(Progress(), Image.PREPARED) != first
    assert made[0] == "bare"
    assert made[2] == "curl jq docker.io"
    assert len(made) == 3


def test_the_prepared_image_has_all_that_the_steps_of_the_paving_install() -> None:
    text = "".join(path.read_text() for path in steps.SCRIPTS.glob("*.sh"))
    asked = re.findall(r"^ +install_packages (.+)$", text, re.MULTILINE)
    assert len(asked) > 1
    named = {word for words in asked for word in words.split()}
    assert named - {"$PACKAGES"} | set(steps.PACKAGES) == set(image.paved_packages())
