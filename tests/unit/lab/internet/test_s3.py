import socket
from pathlib import Path

import pytest

from lab import LabError
from lab.internet import s3

SERVER = s3.S3("http://127.0.0.1:17070", "KEY", "hidden", "seedbed-dev")
PARAMETERS = "endpoint=http://127.0.0.1:17070&region=us-east-1&s3ForcePathStyle=true&disableSSL=true"


@pytest.mark.parametrize(
    ("prefix", "url"),
    [
        ("", f"s3://seedbed-dev?{PARAMETERS}"),
        ("state", f"s3://seedbed-dev/state?{PARAMETERS}"),
        ("/a/b/", f"s3://seedbed-dev/a/b?{PARAMETERS}"),
    ],
)
def test_the_backend_url_has_only_parameters_that_every_supported_cli_takes(prefix: str, url: str) -> None:
    assert SERVER.backend_url(prefix) == url


def test_the_secret_key_is_not_in_what_is_printed() -> None:
    assert "hidden" not in repr(SERVER) + SERVER.backend_url()


def test_a_lab_without_a_state_server_has_none(tmp_path: Path) -> None:
    assert s3.load(tmp_path) is None
    assert s3.status(tmp_path) is None
    assert not s3.stop(tmp_path)


def test_a_damaged_file_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "s3.json").write_text('{"port": 1}')
    with pytest.raises(LabError, match=r"s3\.json is damaged: take the lab down"):
        s3.load(tmp_path)


def test_a_new_lab_takes_a_free_port_and_an_empty_bucket_of_its_own(tmp_path: Path) -> None:
    first = s3._create(tmp_path / "a", "a", None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first.port))
        taken.listen()
        (tmp_path / "a" / "s3.json").unlink()
        second = s3._create(tmp_path / "a", "a", None)
    assert second.port != first.port
    assert second.secret_key != first.secret_key
    assert list((tmp_path / "a" / "s3").iterdir()) == [tmp_path / "a" / "s3" / "seedbed-a"]


def test_a_state_server_that_was_lost_leaves_neither_bucket_nor_keys(tmp_path: Path) -> None:
    s3._create(tmp_path, "a", None)
    (tmp_path / "s3" / "seedbed-a" / "state").write_text("{}")
    (tmp_path / "identity.json").write_text("{}")
    s3.lose(tmp_path)
    assert s3.load(tmp_path) is None
    assert list(tmp_path.iterdir()) == [tmp_path / "identity.json"]
