"""Which hierarchies hosts are put in, and how groups are made in them."""

from pathlib import Path

import pytest

from lab import LabError, cgroups

LINE = "31 23 0:27 / {path} rw,relatime - {kind} {kind} {options}\n"


def mountinfo(*mounts: tuple[str, str, str]) -> str:
    return "".join(
        LINE.format(path=f"/sys/fs/cgroup{path}", kind=kind, options=options) for path, kind, options in mounts
    )


def test_version_2_alone_is_one_hierarchy() -> None:
    found = cgroups.hierarchies(mountinfo(("", "cgroup2", "rw,nsdelegate")))
    assert found == [cgroups.Hierarchy(Path("/sys/fs/cgroup"), "cgroup2", "")]


def test_version_1_hierarchies_keep_the_controllers_that_they_share() -> None:
    found = cgroups.hierarchies(
        mountinfo(
            ("", "tmpfs", "rw"),
            ("/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
            ("/systemd", "cgroup", "rw,xattr,name=systemd"),
            ("/unified", "cgroup2", "rw"),
        )
    )
    assert [(h.path.name, h.kind, h.options) for h in found] == [
        ("cpu,cpuacct", "cgroup", "cpu,cpuacct"),
        ("systemd", "cgroup", "none,name=systemd"),
        ("unified", "cgroup2", ""),
    ]


def test_hugetlb_is_kept_from_hosts() -> None:
    found = cgroups.hierarchies(mountinfo(("/hugetlb", "cgroup", "rw,hugetlb"), ("/pids", "cgroup", "rw,pids")))
    assert [h.options for h in found] == ["pids"]


def test_a_machine_without_cgroups_is_told_so() -> None:
    with pytest.raises(LabError, match="no cgroup hierarchy is mounted"):
        cgroups.hierarchies(mountinfo(("/elsewhere", "tmpfs", "rw")))


def test_version_2_controllers_are_handed_down_to_a_hosts_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes one controller a write, and only those that it has."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [cgroups.Hierarchy(tmp_path, "cgroup2", "")])
    host = tmp_path / "seedbed" / "dev" / "a-1"
    host.mkdir(parents=True)
    for level in (tmp_path, tmp_path / "seedbed", tmp_path / "seedbed" / "dev"):
        (level / "cgroup.controllers").write_text("cpuset cpu memory hugetlb\n")
    for name in ("memory.max", "cpu.max"):
        (host / name).write_text("")
    written: list[tuple[str, str]] = []
    real = Path.write_text

    def record(path: Path, text: str) -> int:
        written.append((str(path.relative_to(tmp_path)), text))
        return real(path, text)

    monkeypatch.setattr(Path, "write_text", record)
    assert cgroups.prepare("dev", "a-1", 1 << 30, 1.5) == [host / "cgroup.procs"]
    for level in ("", "seedbed/", "seedbed/dev/"):
        handed = [text for path, text in written if path == f"{level}cgroup.subtree_control"]
        assert handed == ["+cpuset", "+cpu", "+memory"]
    assert (host / "memory.max").read_text() == str(1 << 30)
    assert (host / "cpu.max").read_text() == "150000 100000"
