from dataclasses import replace

import pytest

from lab.internet import s3
from seedbed.checks import toolchain as checks
from seedbed.checks.state import check_store
from seedbed.findings import Status
from seedbed.store import META, VARIABLE, open_store
from tools import toolchain as tools_toolchain
from tools.dropins import PROVIDERS
from tools.env import exports
from tools.progress import Progress
from tools.toolchain import CLONE


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real S3 server, with a bucket that no Pulumi has used yet."""
    folder = tmp_path_factory.mktemp("lab")
    yield s3.ensure(folder, "tdoctor", tools_toolchain.versitygw(Progress()))
    s3.stop(folder)


def store_of(server, prefix="", **changes):
    changed = replace(server, **changes)
    return open_store({**changed.environment(), VARIABLE: changed.backend_url(prefix)})


def failures(findings):
    return [finding for finding in findings if finding.status is Status.FAIL]


def test_a_store_in_use_passes_every_check_and_keeps_no_trace_of_them(server):
    store = store_of(server, "used")
    store.put(META, b"version: 1\n")
    findings = check_store(store)
    assert [finding.status for finding in findings] == [Status.OK] * 3
    assert "clock" in findings[-1].title
    assert store.list("") == [META]


def test_a_mistyped_prefix_is_found(server):
    (finding,) = failures(check_store(store_of(server, "usde")))
    assert "empty or mistyped" in finding.title


def test_a_bucket_that_does_not_exist_is_named_and_not_made(server):
    for _ in range(2):
        (finding,) = failures(check_store(store_of(server, bucket="seedbed-tdoctro")))
        assert "'seedbed-tdoctro' does not exist" in finding.remedy


def test_a_key_that_the_store_does_not_know_is_told_from_a_wrong_secret(server):
    (unknown,) = failures(check_store(store_of(server, access_key="AAAAAAAAAAAAAAAAAAAA")))
    assert "AWS_ACCESS_KEY_ID" in unknown.remedy
    (wrong,) = failures(check_store(store_of(server, secret_key="not the one")))
    assert "AWS_SECRET_ACCESS_KEY" in wrong.remedy


def test_a_server_that_is_down_is_named(server):
    (finding,) = failures(check_store(store_of(server, endpoint="http://127.0.0.1:9")))
    assert "127.0.0.1:9" in finding.remedy


def test_the_projects_own_toolchain_passes(toolchain):
    variables = {**exports(CLONE, "dev", toolchain, None, {"PATH": "/usr/bin:/bin"}), "HOME": "/nonexistent"}
    assert checks.check_cli(variables, CLONE).status is Status.OK
    assert [finding.status for finding in checks.check_plugins(variables, PROVIDERS)] == [Status.OK] * len(PROVIDERS)
