"""The bucket that holds a stack's state, made once and on purpose: private, versioned, and tried.

Pulumi itself makes no bucket and starts a new state in whichever it is pointed at, so a mistyped name must be noticed here.
Credentials come from the environment only, as Pulumi reads them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""

import argparse
import os
import sys
from collections.abc import Mapping

from seedbed import UserError, bucket, stackfile
from seedbed.store import DEFAULT_REGION, VARIABLE, S3Url, parse_s3, spaces_endpoint
from stacks.model import PROJECT

NAME = "state"
HELP = "make the bucket that holds a stack's state"


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="state_verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="make it; refuses one that exists")
    create.add_argument(
        "what",
        metavar="URL_OR_STACK",
        help="s3://BUCKET?endpoint=…, or a stack at DigitalOcean, for the bucket seedbed-STACK-state in its region",
    )
    create.add_argument("--yes", action="store_true", help="though a bucket of nearly that name exists")


def run(arguments: argparse.Namespace) -> int:
    url = locate(arguments.what, os.environ)
    made = bucket.create(url, os.environ, sure=arguments.yes)
    print(f"made the bucket {made.bucket}: private, versioned; put, get, list and delete work", file=sys.stderr)
    print(f"export {VARIABLE}='{made.url}'")
    return 0


def locate(what: str, environment: Mapping[str, str]) -> S3Url:
    """The bucket that is meant, by its url or by a stack's name. Raises UserError and SettingsError."""
    scheme, separator, _ = what.partition("://")
    if separator:
        if scheme != "s3":
            raise UserError(f"{what}: seedbed keeps state in S3-compatible buckets: use s3://")
        return parse_s3(what)
    stack = stackfile.load(what)
    cloud = stackfile.settings(stack, lab_is_made=False).digitalocean
    if cloud is None:
        raise UserError(
            f"{stack.path.name} has no {PROJECT}:digitalocean, so it does not say where a bucket could be; give its url, as in "
            "s3://BUCKET?endpoint=https://SERVER&region=REGION&s3ForcePathStyle=true"
        )
    return S3Url(
        bucket=f"{PROJECT}-{stack.name}-state",
        prefix="",
        endpoint=spaces_endpoint(cloud.region, environment),
        # As the official provider signs for every region of Spaces.
        # Source: terraform-provider-digitalocean, digitalocean/config/config.go
        region=DEFAULT_REGION,
        path_style=True,
        profile=None,
    )
