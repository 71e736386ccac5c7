import pytest

from seedbed import UserError, bucket
from seedbed.commands import state
from seedbed.store import S3Url, StoreError, parse_s3

SPACES = "s3://state?endpoint=https://fra1.digitaloceanspaces.com&region=fra1&use_path_style=true"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("state", "state", 0),
        ("state", "satte", 1),
        ("state", "states", 1),
        ("state", "stat", 1),
        ("state", "skate", 1),
        ("acme-prod-state", "acme-dev-state", 4),
        ("", "abc", 3),
    ],
)
def test_the_distance_of_two_names_counts_slips_of_the_fingers(one: str, other: str, expected: int) -> None:
    assert bucket.distance(one, other) == bucket.distance(other, one) == expected


@pytest.mark.parametrize("name", ["ab", "Has-Capitals", "-begins", "ends-", "has.dots", "a" * 64, ""])
def test_a_name_that_no_bucket_has_is_refused_before_anything_is_asked(name: str) -> None:
    with pytest.raises(StoreError, match="cannot be a bucket's name"):
        bucket.create(S3Url(name, "", "http://127.0.0.1:9", "us-east-1", True, None), {})


def test_missing_credentials_are_named_before_anything_is_asked() -> None:
    with pytest.raises(StoreError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set"):
        bucket.create(parse_s3(SPACES), {})
    with pytest.raises(StoreError, match=r"^AWS_SECRET_ACCESS_KEY not set"):
        bucket.create(parse_s3(SPACES), {"AWS_ACCESS_KEY_ID": "a"})


def test_whoever_has_the_keys_of_spaces_is_told_how_pulumi_takes_them() -> None:
    with pytest.raises(StoreError, match=r'AWS_ACCESS_KEY_ID="\$SPACES_ACCESS_KEY_ID"'):
        bucket.create(parse_s3(SPACES), {"SPACES_ACCESS_KEY_ID": "a"})


def test_a_server_that_is_down_is_an_error_and_not_a_traceback() -> None:
    url = parse_s3("s3://state?endpoint=http://127.0.0.1:9&region=us-east-1&s3ForcePathStyle=true")
    with pytest.raises(StoreError, match=r"state: look for it: .*127\.0\.0\.1:9"):
        bucket.create(url, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})


@pytest.mark.parametrize(
    "text",
    [
        "s3://state?endpoint=https://fra1.digitaloceanspaces.com&region=fra1&s3ForcePathStyle=true",
        "s3://state/team/a%20b?endpoint=http://127.0.0.1:7070&region=x&s3ForcePathStyle=true&disableSSL=true",
        "s3://state?region=eu-central-1",
        "s3://state",
    ],
)
def test_a_url_is_written_as_every_supported_cli_reads_it(text: str) -> None:
    assert parse_s3(text).text() == text


def test_newer_spellings_become_those_that_every_supported_cli_reads() -> None:
    assert parse_s3(SPACES).text() == SPACES.replace("use_path_style", "s3ForcePathStyle")


def test_a_stack_at_digitalocean_has_its_bucket_in_its_region() -> None:
    url = state.locate("prod", {})
    assert (url.bucket, url.endpoint) == ("seedbed-prod-state", "https://fra1.digitaloceanspaces.com")
    assert state.locate("prod", {"SPACES_ENDPOINT_URL": "http://{{.Region}}.lab"}).endpoint == "http://fra1.lab"


def test_a_stack_elsewhere_does_not_say_where_a_bucket_could_be() -> None:
    with pytest.raises(UserError, match="give its url"):
        state.locate("dev", {})


def test_only_buckets_are_made() -> None:
    with pytest.raises(UserError, match="use s3://"):
        state.locate("file:///tmp/state", {})
