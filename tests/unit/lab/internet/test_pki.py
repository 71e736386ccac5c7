import ipaddress
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from lab import LabError
from lab.internet.names import UPSTREAM_HOSTS, all_names
from lab.internet.pki import BACKDATED, Authority, ensure_authority, write_private

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_ca_is_made_once_and_its_key_is_for_the_owner_only(tmp_path: Path) -> None:
    lab = tmp_path / "dev"
    first = ensure_authority(lab)
    assert ensure_authority(lab).pem == first.pem == (lab / "ca.crt").read_text()
    assert stat.S_IMODE((lab / "ca.key").stat().st_mode) == 0o600
    assert "seedbed lab dev" in first.certificate.subject.rfc4514_string()


def test_each_lab_has_a_ca_of_its_own(tmp_path: Path) -> None:
    assert ensure_authority(tmp_path / "a").pem != ensure_authority(tmp_path / "b").pem


def test_a_half_made_ca_is_made_anew(tmp_path: Path) -> None:
    old = ensure_authority(tmp_path)
    (tmp_path / "ca.crt").unlink()
    assert ensure_authority(tmp_path).pem != old.pem


@pytest.mark.parametrize("damage", ["ca.crt", "ca.key"])
def test_a_damaged_ca_is_an_error_with_the_way_out(tmp_path: Path, damage: str) -> None:
    ensure_authority(tmp_path)
    (tmp_path / damage).write_text("rubbish")
    with pytest.raises(LabError, match=r"damaged.*make it anew"):
        ensure_authority(tmp_path)


def test_a_key_of_another_ca_is_an_error(tmp_path: Path) -> None:
    ensure_authority(tmp_path / "a")
    ensure_authority(tmp_path / "b")
    (tmp_path / "a" / "ca.key").write_bytes((tmp_path / "b" / "ca.key").read_bytes())
    with pytest.raises(LabError, match="do not belong together"):
        ensure_authority(tmp_path / "a")


def test_a_server_certificate_holds_every_name_for_a_year_from_an_hour_ago(authority: Authority) -> None:
    pem, _ = authority.issue(all_names(), ["10.77.0.2"], NOW)
    certificate = x509.load_pem_x509_certificate(pem)
    certificate.verify_directly_issued_by(authority.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) >= UPSTREAM_HOSTS
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.77.0.2")]
    assert certificate.not_valid_before_utc == NOW - BACKDATED
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=365)


def test_a_private_file_replaces_one_that_others_could_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]
