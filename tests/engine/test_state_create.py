"""`seedbed state create` against real S3 servers on loopback."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.cloud import spaces
from lab.cloud.spaces import Spaces
from lab.internet import gateway, s3
from seedbed import bucket
from seedbed.checks.state import check_store
from seedbed.cli import main
from seedbed.findings import Status
from seedbed.store import META, S3Url, StoreError, connect, open_store, parse_s3
from tools import toolchain
from tools.progress import Progress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="module")
def versitygw() -> Path:
    return toolchain.versitygw(Progress())


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, versitygw: Path) -> Iterator[Spaces]:
    folder = tmp_path_factory.mktemp("lab")
    yield spaces.ensure(folder, "tstate", None, "127.0.0.1", versitygw)
    spaces.stop(folder)


def keys(storage: Spaces) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": storage.access_key, "AWS_SECRET_ACCESS_KEY": storage.secret_key}


def user(storage: Spaces, bucket: str, permission: str) -> dict[str, str]:
    access_key, secret_key = gateway.access_key(), gateway.secret_key()
    spaces.add_user(storage, access_key, secret_key)
    spaces.grant(storage, bucket, access_key, permission)
    return {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}


def url_of(storage: Spaces, name: str) -> S3Url:
    return parse_s3(f"s3://{name}?endpoint={storage.endpoint}&region=us-east-1&s3ForcePathStyle=true")


def client(storage: Spaces) -> "S3Client":
    return connect(url_of(storage, "any"), keys(storage))


def names(storage: Spaces) -> list[str]:
    return [bucket["Name"] for bucket in client(storage).list_buckets()["Buckets"]]


def test_the_new_bucket_is_private_versioned_and_empty_and_its_url_opens_it(storage: Spaces) -> None:
    made = bucket.create(url_of(storage, "fresh-state"), keys(storage))
    s3_client = client(storage)
    assert s3_client.get_bucket_versioning(Bucket="fresh-state")["Status"] == "Enabled"
    (grant,) = s3_client.get_bucket_acl(Bucket="fresh-state")["Grants"]
    assert grant["Grantee"]["ID"] == storage.access_key
    versions = s3_client.list_object_versions(Bucket="fresh-state")
    assert not versions.get("Versions")
    assert not versions.get("DeleteMarkers")
    assert parse_s3(made.url) == url_of(storage, "fresh-state")
    findings = check_store(open_store({**keys(storage), "PULUMI_BACKEND_URL": made.url}))
    (meta,) = [finding for finding in findings if finding.status is Status.FAIL]
    assert "has no .pulumi/meta.yaml" in meta.title


def test_a_bucket_that_exists_is_left_as_it_is(storage: Spaces) -> None:
    client(storage).create_bucket(Bucket="left-alone")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"'left-alone' exists already in this account.*It is empty"):
            bucket.create(url_of(storage, "left-alone"), keys(storage), sure=True)
    assert "Status" not in client(storage).get_bucket_versioning(Bucket="left-alone")


def test_a_bucket_with_a_state_is_named_with_the_line_that_uses_it(storage: Spaces) -> None:
    client(storage).create_bucket(Bucket="in-use")
    client(storage).put_object(Bucket="in-use", Key=META, Body=b"version: 1\n")
    with pytest.raises(StoreError, match=r"holds a Pulumi state.*export PULUMI_BACKEND_URL='s3://in-use\?"):
        bucket.create(url_of(storage, "in-use"), keys(storage))


def test_a_bucket_with_other_things_is_not_one_to_use(storage: Spaces) -> None:
    client(storage).create_bucket(Bucket="photographs")
    client(storage).put_object(Bucket="photographs", Key="a.jpg", Body=b"")
    with pytest.raises(StoreError, match=r"holds other things\. Take another name"):
        bucket.create(url_of(storage, "photographs"), keys(storage))


def test_somebody_elses_bucket_is_not_taken(storage: Spaces) -> None:
    client(storage).create_bucket(Bucket="theirs")
    with pytest.raises(StoreError, match=r"'theirs' exists already and is somebody else's"):
        bucket.create(url_of(storage, "theirs"), user(storage, "mine", "readwrite"))


def test_a_nearly_equal_name_is_made_only_on_purpose(storage: Spaces) -> None:
    client(storage).create_bucket(Bucket="acme-prod-state")
    with pytest.raises(StoreError, match=r"nearly that name in this account: acme-prod-state\."):
        bucket.create(url_of(storage, "acme-prdo-state"), keys(storage))
    assert "acme-prdo-state" not in names(storage)
    bucket.create(url_of(storage, "acme-prdo-state"), keys(storage), sure=True)
    assert "acme-prdo-state" in names(storage)


def test_a_key_that_may_not_make_buckets_is_told_so(storage: Spaces) -> None:
    with pytest.raises(StoreError, match="may not make buckets"):
        bucket.create(url_of(storage, "not-allowed"), user(storage, "not-allowed", "readwrite"))


def test_a_wrong_key_is_not_taken_for_somebody_elses_bucket(storage: Spaces) -> None:
    client(storage).create_bucket(Bucket="wrong-key")
    with pytest.raises(StoreError, match="AWS_SECRET_ACCESS_KEY does not belong"):
        bucket.create(url_of(storage, "wrong-key"), {**keys(storage), "AWS_SECRET_ACCESS_KEY": "not the one"})


def test_a_server_without_versions_gets_its_bucket_taken_back(tmp_path: Path, versitygw: Path) -> None:
    server = s3.ensure(tmp_path, "tplain", versitygw)
    try:
        url = replace(parse_s3(server.backend_url()), bucket="no-versions")
        for _ in range(2):
            with pytest.raises(StoreError, match=r"set versioning.*\nThe new bucket was removed again\."):
                bucket.create(url, server.environment())
    finally:
        s3.stop(tmp_path)


def test_a_bucket_that_somebody_uses_meanwhile_is_not_emptied(storage: Spaces, monkeypatch: pytest.MonkeyPatch) -> None:
    def others(self: bucket._Maker, key: str, version: str | None = None) -> bytes:
        client(storage).put_object(Bucket="contended", Key=META, Body=b"theirs")
        return b"something else"

    monkeypatch.setattr(bucket._Maker, "_read", others)
    with pytest.raises(StoreError, match=r"delete it by hand"):
        bucket.create(url_of(storage, "contended"), keys(storage))
    assert client(storage).get_object(Bucket="contended", Key=META)["Body"].read() == b"theirs"


def test_the_command_prints_the_line_to_export_and_nothing_else_there(
    storage: Spaces, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in keys(storage).items():
        monkeypatch.setenv(name, value)
    url = f"s3://by-command?endpoint={storage.endpoint}&region=us-east-1&use_path_style=true"
    assert main(["state", "create", url]) == 0
    said = capsys.readouterr()
    wanted = f"s3://by-command?endpoint={storage.endpoint}&region=us-east-1&s3ForcePathStyle=true&disableSSL=true"
    assert said.out == f"export PULUMI_BACKEND_URL='{wanted}'\n"
    assert storage.secret_key not in said.out + said.err
    assert main(["state", "create", url]) == 1
    assert "exists already" in capsys.readouterr().err


def test_the_command_takes_a_stack_for_the_bucket_of_its_state(
    storage: Spaces, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**keys(storage), "SPACES_ENDPOINT_URL": storage.endpoint}.items():
        monkeypatch.setenv(name, value)
    assert main(["state", "create", "prod"]) == 0
    assert "s3://seedbed-prod-state?endpoint=" in capsys.readouterr().out
    assert "seedbed-prod-state" in names(storage)
