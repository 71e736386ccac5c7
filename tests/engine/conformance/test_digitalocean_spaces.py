"""Spaces buckets of the digitalocean package, on a real S3 server.

Source: digitalocean/terraform-provider-digitalocean `digitalocean/spaces/resource_spaces_bucket.go`.
"""

import secrets
from typing import Any

import boto3
import pulumi_digitalocean as do
import pytest
from botocore.config import Config
from pulumi import ResourceOptions

from lab.cloud.spaces import Spaces
from tests.engine.conformance.cloud import PaperCloud
from tests.engine.conformance.harness import Program, Stack

pytestmark = pytest.mark.engine


@pytest.fixture
def name(stack: Stack, spaces: Spaces) -> str:
    """A bucket's name of the test's own; the stack has the keys."""
    stack.environment.update(spaces.environment())
    return f"seedbed-{secrets.token_hex(4)}"


def bucket(name: str, options: ResourceOptions | None = None, **arguments: Any) -> Program:
    """One bucket that is called `it`."""

    def program() -> None:
        do.SpacesBucket("it", name=name, region="fra1", **arguments, opts=options)

    return program


def client(spaces: Spaces) -> Any:
    """The store, to look behind the plugin."""
    return boto3.client(
        "s3",
        endpoint_url=spaces.endpoint,
        aws_access_key_id=spaces.access_key,
        aws_secret_access_key=spaces.secret_key,
        region_name="us-east-1",
        config=Config(proxies={}, s3={"addressing_style": "path"}),
    )


def names(spaces: Spaces) -> list[str]:
    """All buckets."""
    return [one["Name"] for one in client(spaces).list_buckets()["Buckets"]]


def test_a_bucket_has_the_official_outputs_and_needs_no_token(stack: Stack, spaces: Spaces, name: str) -> None:
    """resource_spaces_bucket.go, Read; defaults `acl` and `force_destroy`."""
    stack.up(bucket(name))
    state = stack.resources()["it"]
    assert state["id"] == name
    outputs = state["outputs"]
    assert outputs["bucketUrn"] == f"do:space:{name}"
    assert outputs["bucketDomainName"] == f"{name}.fra1.digitaloceanspaces.com"
    assert outputs["endpoint"] == "fra1.digitaloceanspaces.com"
    assert (outputs["acl"], outputs["forceDestroy"], outputs["versioning"]) == ("private", False, {"enabled": False})
    assert stack.preview(bucket(name)).operations() == []
    stack.refresh()
    assert stack.preview(bucket(name)).operations() == []


def test_versioning_and_lifecycle_are_put_and_changed(stack: Stack, spaces: Spaces, name: str) -> None:
    """resourceDigitalOceanSpacesBucketVersioningUpdate, resourceDigitalOceanBucketLifecycleUpdate."""
    rule = {"enabled": True, "prefix": "etcd/", "expiration": {"days": 30}}
    stack.up(bucket(name, versioning={"enabled": True}, lifecycle_rules=[rule]))
    store = client(spaces)
    assert store.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    (kept,) = store.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert kept["ID"].startswith("tf-s3-lifecycle-")
    assert (kept["Status"], kept["Expiration"]) == ("Enabled", {"Days": 30})
    program = bucket(name, versioning={"enabled": True}, lifecycle_rules=[rule])
    assert stack.preview(program).operations() == []
    stack.refresh()
    assert stack.preview(program).operations() == []
    longer = {**rule, "expiration": {"days": 60}, "noncurrent_version_expiration": {"days": 7}}
    changed = stack.up(bucket(name, versioning={"enabled": False}, lifecycle_rules=[longer]))
    assert changed.operations() == [("update", "it")]
    (again,) = store.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert (again["ID"], again["Expiration"]) == (kept["ID"], {"Days": 60})
    assert again["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    assert store.get_bucket_versioning(Bucket=name)["Status"] == "Suspended"
    stack.up(bucket(name))
    assert "lifecycleRules" not in stack.outputs("it") or stack.outputs("it")["lifecycleRules"] == []


def test_a_bucket_with_objects_stays_unless_force_destroy_says_otherwise(
    stack: Stack, spaces: Spaces, name: str
) -> None:
    """resource_spaces_bucket.go, Delete: BucketNotEmpty; with `force_destroy` every version goes."""
    stack.up(bucket(name, versioning={"enabled": True}))
    store = client(spaces)
    for body in (b"one", b"two"):
        store.put_object(Bucket=name, Key="k", Body=body)
    store.delete_object(Bucket=name, Key="k")
    result = stack.destroy(succeeds=False)
    assert "BucketNotEmpty" in result.text("it")
    assert "forceDestroy" in result.text("it")
    stack.up(bucket(name, versioning={"enabled": True}, force_destroy=True))
    stack.destroy()
    assert name not in names(spaces)


def test_a_bucket_that_is_gone_leaves_the_state_and_can_be_destroyed(stack: Stack, spaces: Spaces, name: str) -> None:
    """Read: a 404 takes it out of the state."""
    stack.up(bucket(name))
    client(spaces).delete_bucket(Bucket=name)
    stack.refresh()
    assert "it" not in stack.resources()
    stack.up(bucket(name))
    client(spaces).delete_bucket(Bucket=name)
    stack.destroy()


@pytest.mark.official_breaks("the name is changed in the state only")
def test_another_name_is_another_bucket(stack: Stack, spaces: Spaces, name: str) -> None:
    """Of this repository's own wish: the schema has no ForceNew on it, and the bucket keeps its old name."""
    stack.up(bucket(name))
    assert "replace" in stack.preview(bucket(f"{name}-b")).operations_of("it")


def test_a_bucket_is_imported_by_region_and_name(stack: Stack, spaces: Spaces, name: str) -> None:
    """resourceDigitalOceanBucketImport: `REGION,NAME`."""
    client(spaces).create_bucket(Bucket=name)
    result = stack.up(bucket(name, ResourceOptions(import_=f"fra1,{name}")))
    assert result.operations() == [("import", "it")]
    assert stack.preview(bucket(name)).operations() == []


def test_a_bucket_that_is_there_already_is_not_taken(stack: Stack, spaces: Spaces, name: str) -> None:
    """S3: BucketAlreadyOwnedByYou, or BucketAlreadyExists; with what to do."""
    client(spaces).create_bucket(Bucket=name)
    text = stack.up(bucket(name), succeeds=False).text("it")
    assert f"create bucket {name}: " in text
    assert "pulumi import" in text or "choose another" in text


def test_without_keys_it_is_said_which_variables_hold_them(stack: Stack, cloud: PaperCloud) -> None:
    """config.go: "Spaces credentials not configured"."""
    text = stack.up(bucket("seedbed-none"), succeeds=False).text("it")
    assert "Spaces credentials not configured: set SPACES_ACCESS_KEY_ID" in text
