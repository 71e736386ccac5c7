"""The lab's object storage, on this machine's loopback: what a client of Spaces sends, against the real server."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab import LabError
from lab.cloud import spaces
from lab.cloud.spaces import Spaces
from lab.internet import gateway
from tools import toolchain
from tools.progress import Progress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RULES = {
    "Rules": [
        {
            "ID": "etcd",
            "Status": "Enabled",
            "Filter": {"Prefix": "etcd/"},
            "Expiration": {"Days": 30},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        }
    ]
}


@pytest.fixture(scope="module")
def versitygw() -> Path:
    return toolchain.versitygw(Progress())


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, versitygw: Path) -> Iterator[Spaces]:
    folder = tmp_path_factory.mktemp("lab")
    yield spaces.ensure(folder, "t1", None, "127.0.0.1", versitygw)
    spaces.stop(folder)


@pytest.fixture
def lab_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    spaces.stop(tmp_path)


def client(storage: Spaces, key: tuple[str, str] | None = None) -> "S3Client":
    access_key, secret_key = key or (storage.access_key, storage.secret_key)
    return boto3.client(
        "s3",
        endpoint_url=storage.endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1, "mode": "standard"}),
    )


def user(storage: Spaces, *grants: tuple[str, str]) -> tuple[str, str]:
    """A new key with these grants."""
    key = (gateway.access_key(), gateway.secret_key())
    spaces.add_user(storage, *key)
    for bucket, permission in grants:
        spaces.grant(storage, bucket, key[0], permission)
    return key


def refused(code: str) -> "pytest.RaisesExc[ClientError]":
    return pytest.raises(ClientError, match=code)


def test_a_bucket_as_the_provider_makes_it_is_private_and_says_so(storage: Spaces) -> None:
    s3 = client(storage)
    s3.create_bucket(Bucket="private-1", ACL="private")
    s3.put_bucket_acl(Bucket="private-1", ACL="private")
    (grant,) = s3.get_bucket_acl(Bucket="private-1")["Grants"]
    assert (grant["Grantee"]["ID"], grant["Permission"]) == (storage.access_key, "FULL_CONTROL")
    assert s3.get_bucket_location(Bucket="private-1")["LocationConstraint"] is None


def test_a_versioned_bucket_keeps_what_was_overwritten(storage: Spaces) -> None:
    s3 = client(storage)
    s3.create_bucket(Bucket="versioned-1")
    assert "Status" not in s3.get_bucket_versioning(Bucket="versioned-1")
    s3.put_bucket_versioning(Bucket="versioned-1", VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket="versioned-1")["Status"] == "Enabled"
    for body in (b"old", b"new"):
        s3.put_object(Bucket="versioned-1", Key="a/b", Body=body)
    versions = s3.list_object_versions(Bucket="versioned-1")["Versions"]
    bodies = {
        s3.get_object(Bucket="versioned-1", Key="a/b", VersionId=version["VersionId"])["Body"].read()
        for version in versions
    }
    assert bodies == {b"old", b"new"}


def test_lifecycle_rules_are_kept_shown_and_removed(storage: Spaces) -> None:
    s3 = client(storage)
    s3.create_bucket(Bucket="rules-1")
    with refused("NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket="rules-1")
    s3.put_bucket_lifecycle_configuration(Bucket="rules-1", LifecycleConfiguration=RULES)
    assert s3.get_bucket_lifecycle_configuration(Bucket="rules-1")["Rules"] == RULES["Rules"]
    s3.delete_bucket_lifecycle(Bucket="rules-1")
    with refused("NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket="rules-1")


def test_lifecycle_rules_go_with_their_bucket(storage: Spaces) -> None:
    s3 = client(storage)
    s3.create_bucket(Bucket="rules-2")
    s3.put_bucket_lifecycle_configuration(Bucket="rules-2", LifecycleConfiguration=RULES)
    s3.delete_bucket(Bucket="rules-2")
    with refused("NoSuchBucket"):
        s3.get_bucket_lifecycle_configuration(Bucket="rules-2")
    s3.create_bucket(Bucket="rules-2")
    with refused("NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket="rules-2")


def test_lifecycle_rules_that_do_nothing_are_refused(storage: Spaces) -> None:
    s3 = client(storage)
    s3.create_bucket(Bucket="rules-3")
    with refused("MalformedXML"):
        s3.put_bucket_lifecycle_configuration(
            Bucket="rules-3", LifecycleConfiguration={"Rules": [{"Status": "Enabled", "Filter": {"Prefix": ""}}]}
        )


def test_lifecycle_rules_are_for_keys_that_may_do_everything(storage: Spaces) -> None:
    s3 = client(storage)
    s3.create_bucket(Bucket="rules-4")
    with refused("SignatureDoesNotMatch"):
        client(storage, (storage.access_key, "wrong")).get_bucket_lifecycle_configuration(Bucket="rules-4")
    with refused("AccessDenied"):
        client(storage, user(storage, ("rules-4", "readwrite"))).put_bucket_lifecycle_configuration(
            Bucket="rules-4", LifecycleConfiguration=RULES
        )
    full = client(storage, user(storage, ("", "fullaccess")))
    full.put_bucket_lifecycle_configuration(Bucket="rules-4", LifecycleConfiguration=RULES)


def test_a_key_may_do_in_its_bucket_what_it_was_granted_and_nothing_elsewhere(storage: Spaces) -> None:
    s3 = client(storage)
    for bucket in ("mine-1", "other-1"):
        s3.create_bucket(Bucket=bucket, ACL="private")
    s3.put_object(Bucket="mine-1", Key="k", Body=b"v")
    reader, writer = (client(storage, user(storage, ("mine-1", right))) for right in ("read", "readwrite"))
    assert reader.get_object(Bucket="mine-1", Key="k")["Body"].read() == b"v"
    with refused("AccessDenied"):
        reader.put_object(Bucket="mine-1", Key="k", Body=b"")
    writer.put_object(Bucket="mine-1", Key="l", Body=b"w")
    assert [entry["Key"] for entry in writer.list_objects_v2(Bucket="mine-1")["Contents"]] == ["k", "l"]
    writer.delete_object(Bucket="mine-1", Key="l")
    for other in (reader, writer):
        with refused("AccessDenied"):
            other.list_objects_v2(Bucket="other-1")
        with refused("AccessDenied"):
            other.create_bucket(Bucket="new-1")
        with refused("AccessDenied"):
            other.delete_bucket(Bucket="mine-1")


def test_a_key_with_full_access_makes_buckets_that_others_with_it_see(storage: Spaces) -> None:
    one, other = (client(storage, user(storage, ("", "fullaccess"))) for _ in range(2))
    one.create_bucket(Bucket="full-1", ACL="private")
    other.put_object(Bucket="full-1", Key="k", Body=b"v")
    assert "full-1" in [bucket["Name"] for bucket in client(storage).list_buckets()["Buckets"]]


def test_a_grant_is_for_the_name_of_a_bucket_that_may_come_later_or_again(storage: Spaces) -> None:
    s3 = client(storage)
    writer = client(storage, user(storage, ("later-1", "readwrite")))
    for _ in range(2):
        s3.create_bucket(Bucket="later-1", ACL="private")
        writer.put_object(Bucket="later-1", Key="k", Body=b"v")
        writer.delete_object(Bucket="later-1", Key="k")
        s3.delete_bucket(Bucket="later-1")


def test_a_key_that_is_removed_lets_nobody_in_and_leaves_the_others_as_they_are(storage: Spaces) -> None:
    client(storage).create_bucket(Bucket="left-1", ACL="private")
    gone, stays = (user(storage, ("left-1", "readwrite")) for _ in range(2))
    for _ in range(2):
        spaces.remove_user(storage, gone[0])
    with refused("InvalidAccessKeyId"):
        client(storage, gone).list_objects_v2(Bucket="left-1")
    client(storage, stays).put_object(Bucket="left-1", Key="k", Body=b"v")
    spaces.grant(storage, "left-1", stays[0], "read")
    with refused("AccessDenied"):
        client(storage, stays).put_object(Bucket="left-1", Key="k", Body=b"w")


def test_a_key_that_is_added_again_has_the_new_secret_and_its_old_grants(storage: Spaces) -> None:
    client(storage).create_bucket(Bucket="again-1", ACL="private")
    access_key, old = user(storage, ("again-1", "read"))
    spaces.add_user(storage, access_key, "a" + old)
    with refused("SignatureDoesNotMatch"):
        client(storage, (access_key, old)).list_objects_v2(Bucket="again-1")
    client(storage, (access_key, "a" + old)).list_objects_v2(Bucket="again-1")


def test_a_permission_or_key_that_there_is_not_is_refused(storage: Spaces) -> None:
    access_key, _ = user(storage)
    with pytest.raises(LabError, match="is not a permission"):
        spaces.grant(storage, "b", access_key, "write")
    with pytest.raises(LabError, match="no key NOBODY"):
        spaces.grant(storage, "b", "NOBODY", "read")


def test_grants_that_are_set_anew_are_all_that_there_are(storage: Spaces) -> None:
    s3 = client(storage)
    for bucket in ("anew-1", "anew-2"):
        s3.create_bucket(Bucket=bucket, ACL="private")
    key = user(storage, ("", "fullaccess"))
    spaces.set_grants(storage, key[0], [("anew-1", "readwrite"), ("anew-2", "read")])
    limited = client(storage, key)
    limited.put_object(Bucket="anew-1", Key="k", Body=b"v")
    limited.list_objects_v2(Bucket="anew-2")
    spaces.set_grants(storage, key[0], [("anew-2", "read")])
    for refusal in (lambda: limited.list_objects_v2(Bucket="anew-1"), lambda: limited.create_bucket(Bucket="anew-3")):
        with refused("AccessDenied"):
            refusal()
    limited.list_objects_v2(Bucket="anew-2")


def test_a_large_object_comes_back_as_it_went(storage: Spaces) -> None:
    s3, body = client(storage), bytes(range(256)) * (1 << 15)
    s3.create_bucket(Bucket="large-1")
    s3.put_object(Bucket="large-1", Key="a b%2F/ü", Body=body)
    assert s3.get_object(Bucket="large-1", Key="a b%2F/ü")["Body"].read() == body
    assert s3.get_object(Bucket="large-1", Key="a b%2F/ü", Range="bytes=1-3")["Body"].read() == body[1:4]
    with refused("AccessDenied"):
        client(storage, user(storage)).put_object(Bucket="large-1", Key="k", Body=body)


def test_keys_grants_and_data_outlive_a_restart(lab_dir: Path, versitygw: Path) -> None:
    first = spaces.ensure(lab_dir, "t2", None, "127.0.0.1", versitygw)
    pid = spaces.status(lab_dir)
    client(first).create_bucket(Bucket="kept-1", ACL="private")
    client(first).put_bucket_lifecycle_configuration(Bucket="kept-1", LifecycleConfiguration=RULES)
    writer = user(first, ("kept-1", "readwrite"))
    client(first, writer).put_object(Bucket="kept-1", Key="k", Body=b"v")
    assert spaces.ensure(lab_dir, "t2", None, "127.0.0.1", versitygw) == first
    assert spaces.status(lab_dir) == pid
    assert spaces.stop(lab_dir)
    assert spaces.status(lab_dir) is None
    again = spaces.ensure(lab_dir, "t2", None, "127.0.0.1", versitygw)
    assert again == first == spaces.load(lab_dir)
    assert client(again, writer).get_object(Bucket="kept-1", Key="k")["Body"].read() == b"v"
    assert client(again).get_bucket_lifecycle_configuration(Bucket="kept-1")["Rules"] == RULES["Rules"]


def test_its_secrets_are_in_no_command_line_log_or_file_that_others_read(lab_dir: Path, versitygw: Path) -> None:
    storage = spaces.ensure(lab_dir, "t3", None, "127.0.0.1", versitygw)
    _, secret = user(storage)
    running = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in _pids(lab_dir)]
    logs = [path.read_bytes() for path in (lab_dir / "services").glob("spaces*")]
    for key in (storage.secret_key, secret):
        assert key.encode() not in b"".join(running + logs)
    assert storage.secret_key not in repr(storage)
    assert storage.folder.stat().st_mode & 0o077 == 0
    assert (storage.folder / "spaces.json").stat().st_mode & 0o777 == 0o600


def test_it_works_where_files_take_no_attributes(
    lab_dir: Path, versitygw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "takes_attributes", lambda _: False)
    storage = spaces.ensure(lab_dir, "t4", None, "127.0.0.1", versitygw)
    s3 = client(storage)
    s3.create_bucket(Bucket="sidecar-1", ACL="private")
    s3.put_bucket_versioning(Bucket="sidecar-1", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"old", b"new"):
        s3.put_object(Bucket="sidecar-1", Key="k", Body=body)
    assert len(s3.list_object_versions(Bucket="sidecar-1")["Versions"]) == 2
    client(storage, user(storage, ("sidecar-1", "read"))).list_objects_v2(Bucket="sidecar-1")


def test_what_is_lost_leaves_nothing_and_a_storage_that_never_was_has_nothing_to_stop(
    lab_dir: Path, versitygw: Path
) -> None:
    assert not spaces.stop(lab_dir)
    storage = spaces.ensure(lab_dir, "t5", None, "127.0.0.1", versitygw)
    spaces.stop(lab_dir)
    with pytest.raises(LabError, match="does not answer"):
        spaces.add_user(storage, gateway.access_key(), gateway.secret_key())
    spaces.lose(lab_dir)
    assert spaces.load(lab_dir) is None
    assert not storage.folder.exists()


def _pids(lab_dir: Path) -> list[int]:
    found = [gateway.process.running(lab_dir / "services", name) for name in ("spaces", "spaces-front")]
    return [daemon.pid for daemon in found if daemon is not None]
