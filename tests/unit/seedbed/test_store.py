import pytest

from seedbed.store import FileStore, S3Url, StoreError, open_store, parse_s3


def test_the_old_spellings_of_a_backend_url_are_understood():
    url = "s3://state/team/a?endpoint=127.0.0.1:7070&region=us-east-1&s3ForcePathStyle=true&disableSSL=true"
    assert parse_s3(url) == S3Url("state", "team/a/", "http://127.0.0.1:7070", "us-east-1", True, None)


def test_the_new_spellings_are_understood():
    url = "s3://state?endpoint=https://fra1.digitaloceanspaces.com&region=fra1&use_path_style=true&profile=ops"
    assert parse_s3(url) == S3Url("state", "", "https://fra1.digitaloceanspaces.com", "fra1", True, "ops")


def test_an_endpoint_without_a_scheme_is_https():
    assert parse_s3("s3://state?endpoint=s3.example.org").endpoint == "https://s3.example.org"


def test_a_missing_backend_url_says_how_to_get_one():
    with pytest.raises(StoreError, match="make -s env"):
        open_store({})


def test_a_kind_that_cannot_be_tried_is_refused():
    with pytest.raises(StoreError, match="gs://"):
        open_store({"PULUMI_BACKEND_URL": "gs://bucket"})


def test_an_s3_server_that_is_down_is_an_error_and_not_a_traceback():
    store = open_store(
        {
            "PULUMI_BACKEND_URL": "s3://b/p?endpoint=http://127.0.0.1:9&region=x&s3ForcePathStyle=true",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        }
    )
    with pytest.raises(StoreError, match=r"s3://b/p: put: .*127\.0\.0\.1:9"):
        store.put("k", b"")


def test_missing_credentials_are_named():
    store = open_store({"PULUMI_BACKEND_URL": "s3://b?endpoint=http://127.0.0.1:9&profile=no-such-profile"})
    with pytest.raises(StoreError, match="no-such-profile"):
        store.put("k", b"")


def test_a_folder_is_a_store_too(tmp_path):
    store = open_store({"PULUMI_BACKEND_URL": f"file://{tmp_path}"})
    store.put("a/one", b"1")
    store.copy("a/one", "a/one-copy")
    assert store.list("a/one") == ["a/one", "a/one-copy"]
    store.delete("a/one")
    assert store.list("a/one") == ["a/one-copy"]
    assert store.list("none/") == []


def test_a_folder_that_is_missing_is_not_made(tmp_path):
    store = FileStore(tmp_path / "mistyped")
    with pytest.raises(StoreError, match="does not exist"):
        store.put("a", b"")
    assert not (tmp_path / "mistyped").exists()
