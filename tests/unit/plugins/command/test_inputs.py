"""The check of inputs: defaults, secret markers, and every mistake at once, without its value."""

import pytest

from lab.plugins.command.inputs import COPY_TO_REMOTE, LOCAL_COMMAND, REMOTE_COMMAND, Failure, check
from lab.plugins.protocol.values import ARCHIVE, ASSET, SIGNATURE, UNKNOWN, Value, bare, is_secret, secret

HIDDEN = "hidden-value"


def reasons(failures: list[Failure]) -> dict[str, str]:
    return {failure.property: failure.reason for failure in failures}


def test_defaults_are_filled_in_and_a_connection_becomes_secret() -> None:
    checked, failures = check(REMOTE_COMMAND, {"connection": {"host": "h", "proxy": {"host": "p"}}, "stdin": None})
    assert failures == []
    assert is_secret(checked["connection"])
    defaults = {"port": 22.0, "user": "root", "dialErrorLimit": 10.0, "perDialTimeout": 15.0}
    assert bare(checked) == {
        "addPreviousOutputInEnv": True,
        "connection": {"host": "h", **defaults, "proxy": {"host": "p", **defaults}},
    }


def test_what_is_given_is_kept_with_its_secret_markers() -> None:
    given = {"connection": secret({"host": "h", "privateKey": secret("k"), "port": 2222.0}), "stdin": secret("s")}
    checked, failures = check(REMOTE_COMMAND, given)
    assert failures == []
    assert checked["connection"]["value"]["privateKey"] == secret("k")
    assert checked["connection"]["value"]["port"] == 2222.0
    assert checked["stdin"] == secret("s")


def test_every_mistake_is_reported_by_its_path_and_none_with_its_value() -> None:
    _, failures = check(
        REMOTE_COMMAND,
        {
            "connection": secret({"hostkey": HIDDEN, "port": HIDDEN, "dialErrorLimit": 1.5, "proxy": HIDDEN}),
            "create": 1.0,
            "environment": {"A": 1.0},
            "logging": HIDDEN,
            "triggers": HIDDEN,
            "addPreviousOutputInEnv": HIDDEN,
            "craete": HIDDEN,
        },
    )
    assert set(reasons(failures)) == {
        "connection.hostkey",
        "connection.host",
        "connection.port",
        "connection.dialErrorLimit",
        "connection.proxy",
        "create",
        "environment",
        "logging",
        "triggers",
        "addPreviousOutputInEnv",
        "craete",
    }
    assert HIDDEN not in str(failures)
    assert "hostKey" in reasons(failures)["connection.hostkey"]


def test_values_that_are_not_known_yet_are_accepted() -> None:
    for connection in (UNKNOWN, secret(UNKNOWN), {"host": UNKNOWN, "port": UNKNOWN}):
        assert check(REMOTE_COMMAND, {"connection": connection, "create": UNKNOWN, "triggers": UNKNOWN})[1] == []
    assert check(LOCAL_COMMAND, {"environment": UNKNOWN, "assetPaths": UNKNOWN, "logging": UNKNOWN})[1] == []


def test_missing_inputs_are_named() -> None:
    assert set(reasons(check(COPY_TO_REMOTE, {})[1])) == {"connection", "source", "remotePath"}
    assert set(reasons(check(REMOTE_COMMAND, {"connection": {}})[1])) == {"connection.host"}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({SIGNATURE: ASSET, "path": "a", "hash": "1"}, None),
        ({SIGNATURE: ASSET, "text": "", "hash": "1"}, None),
        ({SIGNATURE: ASSET, "text": "", "uri": "https://localhost"}, "asset must be a path-based file asset"),
        ({SIGNATURE: ARCHIVE, "path": "a", "hash": "1"}, None),
        ({SIGNATURE: ARCHIVE, "assets": {}, "path": ""}, "archive must be a path to a file or directory"),
        ("text", "either asset or archive must be set"),
        (UNKNOWN, "either asset or archive must be set"),
    ],
)
def test_a_copy_needs_a_file_a_text_or_a_directory_that_is_known(source: Value, reason: str | None) -> None:
    given = {"connection": {"host": "h"}, "remotePath": "/a", "source": source}
    failures = reasons(check(COPY_TO_REMOTE, given)[1])
    assert (failures == {}) if reason is None else (reason in failures["source"])
