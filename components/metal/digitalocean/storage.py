"""What outlives machines at DigitalOcean and holds data: block volumes, and the bucket of etcd's snapshots."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_digitalocean as digitalocean

FILESYSTEM = "ext4"
# What is left of an upload that was broken off.
UNFINISHED_DAYS = 1


@dataclass(frozen=True, kw_only=True)
class SnapshotsArgs:
    """`bucket` is the name, one of all of the region's; what is in its `folder`, the snapshots, is kept for `days`."""

    region: str
    bucket: str
    folder: str
    days: int


class Snapshots(pulumi.ComponentResource):
    """A private bucket, and a key that may read and write it and nothing else."""

    bucket: digitalocean.SpacesBucket
    key: digitalocean.SpacesKey

    def __init__(self, name: str, args: SnapshotsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("seedbed:metal:Snapshots", name, None, opts)
        self.bucket = digitalocean.SpacesBucket(
            name,
            name=args.bucket,
            region=args.region,
            acl="private",
            # k3s prunes by a node's name, so what a machine that was replaced has left is pruned by nobody else. What somebody
            # else keeps in the bucket, beside the folder, is not ours to delete.
            lifecycle_rules=[
                digitalocean.SpacesBucketLifecycleRuleArgs(
                    id="snapshots",
                    prefix=f"{args.folder}/",
                    enabled=True,
                    expiration=digitalocean.SpacesBucketLifecycleRuleExpirationArgs(days=args.days),
                    abort_incomplete_multipart_upload_days=UNFINISHED_DAYS,
                )
            ],
            opts=pulumi.ResourceOptions(parent=self, protect=True),
        )
        self.key = digitalocean.SpacesKey(
            name,
            name=name,
            grants=[digitalocean.SpacesKeyGrantArgs(bucket=self.bucket.name, permission="readwrite")],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"bucket": self.bucket.name})


def volume(name: str, *, region: str, gib: int) -> digitalocean.Volume:
    """A disk with a file system on it, which is there when all machines are gone."""
    return digitalocean.Volume(
        name,
        name=name,
        region=region,
        size=gib,
        initial_filesystem_type=FILESYSTEM,
        opts=pulumi.ResourceOptions(protect=True),
    )


def attach(
    name: str,
    disk: digitalocean.Volume,
    droplet: digitalocean.Droplet,
    *,
    keep: pulumi.ResourceHook,
    after: Sequence[pulumi.Resource],
) -> digitalocean.VolumeAttachment:
    """The disk in the droplet. It moves: it can be in one at a time only, so it leaves the old one first, by `keep`.

    Nothing may use the disk then: that is what `after` sees to.
    """
    return digitalocean.VolumeAttachment(
        name,
        volume_id=disk.id,
        droplet_id=droplet.id.apply(int),
        opts=pulumi.ResourceOptions(
            depends_on=list(after),
            delete_before_replace=True,
            deleted_with=droplet,
            hooks=pulumi.ResourceHookBinding(before_delete=[keep]),
        ),
    )


def device(volume: str) -> str:
    """Where a droplet finds the volume of this name.

    Source: https://docs.digitalocean.com/products/volumes/how-to/mount/
    """
    return f"/dev/disk/by-id/scsi-0DO_Volume_{volume}"
