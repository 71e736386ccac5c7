"""Loop devices are found by the files behind them, as the kernel tells of them."""

import os
from pathlib import Path

import pytest

from lab import LabError, disks


@pytest.fixture
def block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of /sys/block."""
    folder = tmp_path / "block"
    folder.mkdir()
    monkeypatch.setattr(disks, "BLOCK", folder)
    return folder


def put(block: Path, number: int, image: Path | None, *, ending: bool = False, deleted: bool = False) -> None:
    device = block / f"loop{number}"
    device.mkdir()
    (device / "dev").write_text(f"7:{number}\n")
    if image is not None:
        (device / "loop").mkdir()
        (device / "loop/backing_file").write_text(f"{image}{' (deleted)' if deleted else ''}\n")
        (device / "loop/autoclear").write_text(f"{int(ending)}\n")


def test_a_device_is_found_by_its_file_unless_it_is_on_its_way_out(block: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.img"
    put(block, 0, None)
    put(block, 1, image, ending=True)
    put(block, 2, tmp_path / "b.img")
    put(block, 3, image)
    found = disks.of(image)
    assert found == disks.Loop("loop3", 7, 3, image, ending=False)
    assert disks.of(tmp_path / "c.img") is None


def test_a_device_is_the_labs_even_when_its_file_is_gone(block: Path, tmp_path: Path) -> None:
    put(block, 1, tmp_path / "a.img", deleted=True)
    assert [loop.image for loop in disks.loops()] == [tmp_path / "a.img"]


def test_a_file_that_is_gone_is_not_attached(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"a\.img is gone: remove the lab"):
        disks.attach(tmp_path / "a.img")


def test_a_disk_that_stays_in_use_is_said_with_its_device(
    block: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(block, 4, tmp_path / "a.img", ending=True)
    monkeypatch.setattr(disks, "END_SECONDS", 0.0)
    with pytest.raises(LabError, match=r"a\.img is still used as /dev/loop4"):
        disks.wait_detached(tmp_path / "a.img")


def test_a_disk_grows_and_never_shrinks(block: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.img"
    image.touch()
    for size, now in ((2 << 20, 2 << 20), (1 << 20, 2 << 20)):
        disks.grow(image, size)
        assert image.stat().st_size == now


def test_a_host_boots_with_its_disks_by_the_names_of_volumes(tmp_path: Path) -> None:
    loop = disks.Loop("loop3", 7, 3, tmp_path / "a.img", ending=False)
    assert disks.boot_lines([("seedbed-prod-data-a", loop)]) == "loop3 7 3 scsi-0DO_Volume_seedbed-prod-data-a\n"


def test_mounts_of_a_device_are_found_with_blanks_in_their_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = "30 29 7:3 / /mnt/a\\040b rw - ext4 /dev/loop3 rw\n31 29 7:4 / /mnt/c rw - ext4 /dev/loop4 rw\n"
    monkeypatch.setattr(Path, "read_text", lambda _: lines)
    loop = disks.Loop("loop3", 7, 3, tmp_path, ending=False)
    assert disks._mountpoints(os.getpid(), loop) == ["/mnt/a b"]
