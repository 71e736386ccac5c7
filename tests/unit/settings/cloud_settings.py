"""A stack at DigitalOcean as the tests of its settings have it, and what is wrong with a changed one."""

from typing import Any

import pytest

from stacks.config import ROOT
from stacks.settings import Settings, SettingsError, parse
from tests.unit.settings.changes import changed_in

GOOD: dict[str, Any] = {
    "cluster": {"init": "server-a-1"},
    "network": {"machines": "10.20.0.0/24"},
    "k3s": {"version": "v1.34.2+k3s1"},
    "digitalocean": {
        "region": "fra1",
        "image": "debian-12-x64",
        "operators": {"office": "203.0.113.0/24"},
        "snapshots": {"bucket": "etcd-of-test"},
        "volumes": {"data": {"size": 100, "machine": "agent-a", "mount": "/var/lib/longhorn"}},
    },
    "pools": {
        "servers": {
            "role": "server",
            "size": "s-2vcpu-4gb",
            "machines": {"server-a": {}, "server-b": {}, "server-c": {}},
        },
        "agents": {"role": "agent", "size": "s-4vcpu-8gb", "machines": {"agent-a": {"generation": 2}}},
    },
}

CLOUD = "seedbed:digitalocean"
POOLS = "seedbed:pools"


def changed(**paths: Any) -> dict[str, Any]:
    """GOOD with `a__b=value` set, as `changed_in` does."""
    return changed_in(GOOD, paths)


def settings(stack: str | None = "test", **paths: Any) -> Settings:
    return parse(changed(**paths), "Pulumi.test.yaml", ROOT, stack=stack)


def problems(config: dict[str, Any], stack: str = "test") -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(config, "Pulumi.test.yaml", ROOT, stack=stack)
    return caught.value.problems


def volume(**what: Any) -> dict[str, Any]:
    return {"size": 10, "machine": "agent-a", "mount": "/srv/data"} | what


def dns(**what: Any) -> dict[str, Any]:
    return changed(digitalocean__dns={"zone": "example.org", "names": ["k8s"]} | what)


def snapshots(**what: Any) -> dict[str, Any]:
    return changed(digitalocean__snapshots={"bucket": "etcd-of-test"} | what)


def assert_the_one_problem(config: dict[str, Any], expected: str) -> None:
    """It begins like this, and there is no other."""
    found = problems(config)
    assert found[0].startswith(expected), "\n".join(found)
    assert len(found) == 1, "\n".join(found)
