"""Which of this machine's apt sources are Debian's own."""

from pathlib import Path

import pytest

from lab import LabError, apt

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.test/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.test/debian-security
Suites: trixie-security
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: http://off.test/debian
Suites: trixie
Components: main
"""


def test_both_archives_are_found_in_the_new_format() -> None:
    assert apt.choose(apt.parse_deb822(DEB822)) == apt.Mirrors(
        "http://mirror.test/debian", "http://mirror.test/debian-security"
    )


def test_both_archives_are_found_in_the_old_format() -> None:
    text = """
# deb http://off.test/debian bookworm main
deb [ arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] http://a.test/x bookworm main # why
deb-src http://b.test/debian bookworm main
deb http://c.test/debian-security/ bookworm-security main
"""
    assert apt.choose(apt.parse_one_line(text)) == apt.Mirrors("http://a.test/x", "http://c.test/debian-security/")


@pytest.mark.parametrize(
    "line",
    [
        "deb https://docker.test/linux/debian bookworm stable",
        "deb [signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.test/debian bookworm main",
        "deb https://vendor.test/ bookworm main",
        "deb http://other.test/ubuntu noble main",
        "deb http://pg.test/debian bookworm-pgdg main",
    ],
)
def test_another_partys_source_is_not_taken_for_debian(line: str) -> None:
    assert apt.choose(apt.parse_one_line(line)) is None


def test_a_mirror_that_a_file_names_is_followed(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# nearest first\nhttp://near.test/debian priority:1\nhttp://far.test/debian\n")
    (source,) = apt.parse_one_line(f"deb mirror+file:{tmp_path}/list bookworm main")
    assert source.uri == "http://near.test/debian"


def test_hosts_get_bookworm_whatever_this_machine_is() -> None:
    text = apt.Mirrors("http://a.test/debian", "http://s.test/debian-security").sources()
    assert "URIs: http://a.test/debian\nSuites: bookworm bookworm-updates\n" in text
    assert "URIs: http://s.test/debian-security\nSuites: bookworm-security\n" in text


def test_only_what_says_how_a_mirror_is_reached_is_carried_over() -> None:
    dump = [
        'Acquire "";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::http::Proxy "http://proxy.test:3128";',
        'Acquire::Languages "none";',
        'Acquire::https::Proxy "";',
        'DPkg::Post-Invoke:: "rm -rf /x";',
    ]
    assert apt.carried(dump) == (
        'Acquire::Check-Valid-Until "false";\nAcquire::http::Proxy "http://proxy.test:3128";\n'
    )


def test_a_machine_without_a_debian_archive_is_told_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "ETC_APT", tmp_path)
    monkeypatch.delenv("SEEDBED_DEBIAN_MIRROR", raising=False)
    with pytest.raises(LabError, match="SEEDBED_DEBIAN_MIRROR"):
        apt.mirrors()
    monkeypatch.setenv("SEEDBED_DEBIAN_MIRROR", "http://mine.test/debian")
    assert apt.mirrors().archive == "http://mine.test/debian"
