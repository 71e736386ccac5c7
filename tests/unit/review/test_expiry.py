"""A bucket that keeps less than before is a risk for data, by what of it does."""

import pytest

from seedbed.review import Verdict
from tests.unit.review.digests import BUCKET, UNKNOWN, line, review, update


def expires(*days: int | str, **more: object):
    """A bucket with a rule for each number of days."""
    return {
        "lifecycleRules": [{"id": "snapshots", "enabled": True, "expiration": {"days": one}, **more} for one in days]
    }


VERSIONED = {"versioning": {"enabled": True}}
DATE = {"enabled": True, "expiration": {"date": "2026-12-24"}}
OLD_VERSIONS = {"enabled": True, "noncurrentVersionExpiration": {"days": 7}}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (expires(30), expires(1), "**bucket `etcd` deletes what is in it after 1 day**, until now after 30 days"),
        ({}, expires(30), "**bucket `etcd` deletes what is in it after 30 days**, until now never"),
        (
            expires(30, enabled=False),
            expires(30),
            "**bucket `etcd` deletes what is in it after 30 days**, until now never",
        ),
        (
            expires(30, prefix="a/"),
            expires(30, prefix="b/"),
            "**bucket `etcd` deletes what is in it below `b/` after 30 days**, until now never",
        ),
        (
            expires(30),
            {"lifecycleRules": [DATE]},
            "**bucket `etcd` deletes what is in it on 2026-12-24**, until now after 30 days",
        ),
        (
            expires(30),
            expires(UNKNOWN),
            "**bucket `etcd` deletes what is in it at a time that is known later**, until now after 30 days",
        ),
        (
            {},
            {"lifecycleRules": [OLD_VERSIONS]},
            "**bucket `etcd` deletes earlier versions of what is in it after 7 days**, until now never",
        ),
        (
            {},
            {"lifecycleRules": UNKNOWN},
            "**bucket `etcd` deletes what is in it at a time that is known later**, until now never",
        ),
        (
            {"forceDestroy": False},
            {"forceDestroy": True},
            "bucket `etcd` may be deleted with all that is in it: `forceDestroy`",
        ),
        (VERSIONED, {"versioning": {"enabled": False}}, "bucket `etcd` keeps no earlier versions any more"),
        (VERSIONED, {}, "bucket `etcd` keeps no earlier versions any more"),
    ],
)
def test_a_bucket_that_keeps_less_than_before_is_a_risk_for_data(old, new, said):
    report = review(update(BUCKET, "etcd", old, new))
    assert line(report, "**data**") == f"**data** {said}"
    assert "changed" not in report.markdown
    assert report.verdict is Verdict.NEEDS_EYES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (expires(30), expires(60)),
        (expires(30), {}),
        (expires(30), expires(30, prefix="a/")),
        (expires(30), {"lifecycleRules": [{"enabled": True, "expiration": {"expiredObjectDeleteMarker": True}}]}),
        ({"lifecycleRules": [DATE]}, {"lifecycleRules": [{**DATE, "id": "other"}]}),
        ({"forceDestroy": True}, {"forceDestroy": False}),
        ({}, VERSIONED),
    ],
)
def test_a_bucket_that_keeps_as_much_or_more_is_safe(old, new):
    assert review(update(BUCKET, "etcd", old, new)).verdict is Verdict.SAFE
