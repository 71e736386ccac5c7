"""`seedbed ssh`: which machine, by which keys. Nothing is logged in to."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from seedbed import UserError, cli, engine, environment, identities, stackfile
from seedbed.commands import ssh

CLOUD = {
    "seedbed:cluster": {"init": "server-a-1"},
    "seedbed:network": {"machines": "10.20.0.0/24"},
    "seedbed:k3s": {"version": "v1.34.2+k3s1"},
    "seedbed:digitalocean": {"region": "fra1", "image": "debian-12-x64", "operators": {"office": "203.0.113.0/24"}},
    "seedbed:pools": {"servers": {"role": "server", "size": "s-2vcpu-4gb", "machines": {"server-a": {}}}},
}
OWN = {
    **{key: value for key, value in CLOUD.items() if key not in ("seedbed:digitalocean", "seedbed:pools")},
    "seedbed:ssh": {"user": "admin", "port": 2222},
    "seedbed:machines": {"server-a": {"role": "server", "address": "10.20.0.11"}},
}
NODES = {"server-a-1": {"address": "10.20.0.10", "publicAddress": "203.0.113.7", "role": "server"}}


@pytest.fixture
def stack(tmp_path, monkeypatch, identity):
    """A stack with these settings, whose state tells `NODES`."""
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)
    monkeypatch.setattr(environment, "of", lambda *_: {})
    monkeypatch.setattr(identities, "read", lambda *_: identity)
    monkeypatch.setattr(engine, "output", lambda *_: json.dumps(NODES))
    load = stackfile.load
    monkeypatch.setattr(stackfile, "load", lambda name: load(name, tmp_path, {}))

    def make(config):
        (tmp_path / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": config}))
        return stackfile.load("prod")

    return make


@pytest.fixture
def called(monkeypatch):
    """The arguments of ssh, and the files that they name as ssh finds them."""
    calls = []

    def run(argv, **_):
        key = Path(argv[argv.index("-i") + 1])
        known = next(word for word in argv if word.startswith("UserKnownHostsFile=")).partition("=")[2].strip('"')
        calls.append((argv, key.read_text(), key.stat().st_mode & 0o777, Path(known).read_text(), key))
        return subprocess.CompletedProcess(argv, 7)

    monkeypatch.setattr(ssh.subprocess, "run", run)
    return calls


def test_a_droplet_is_reached_at_the_address_in_the_state_with_the_derived_host_key(stack, called, identity):
    stack(CLOUD)
    assert cli.main(["ssh", "prod", "server-a", "k3s", "etcd-snapshot", "ls", "--output=json"]) == 7
    (argv, key, mode, known, _) = called[0]
    assert argv[-6:] == ["--", "203.0.113.7", "k3s", "etcd-snapshot", "ls", "--output=json"]
    assert (key, mode) == (identity.operator_key, 0o600)
    assert known == f"server-a-1 {identity.host_key('server-a-1').public}\n"
    assert {"StrictHostKeyChecking=yes", "HostKeyAlias=server-a-1"} <= set(argv)


def test_a_machine_of_your_own_is_reached_as_the_settings_say(stack, called, identity):
    host_key = identity.host_key("its own").public
    stack({**OWN, "seedbed:machines": {"server-a": {**OWN["seedbed:machines"]["server-a"], "hostKey": host_key}}})
    cli.main(["ssh", "prod", "server-a-1"])
    (argv, _, _, known, _) = called[0]
    assert argv[-2:] == ["--", "10.20.0.11"]
    assert argv[argv.index("-p") + 1 : argv.index("-p") + 4] == ["2222", "-l", "admin"]
    assert known == f"server-a-1 {host_key}\n"


def test_the_key_is_not_left_behind(stack, called):
    stack(OWN)
    cli.main(["ssh", "prod", "server-a-1", "true"])
    assert not called[0][-1].parent.exists()


def test_a_machine_that_the_state_does_not_know_yet_is_no_traceback(stack, monkeypatch):
    made = stack(CLOUD)
    monkeypatch.setattr(engine, "output", lambda *_: "{}")
    with pytest.raises(UserError, match="knows no address of server-a-1"):
        ssh.address(made, stackfile.settings(made), "server-a-1", {})


def test_a_machine_that_does_not_exist_is_named_with_those_that_do(stack, called, capsys):
    stack(CLOUD)
    assert cli.main(["ssh", "prod", "server-z"]) == 1
    assert "server-a-1" in capsys.readouterr().err
    assert not called
