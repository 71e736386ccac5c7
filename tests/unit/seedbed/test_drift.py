"""`seedbed drift`: what is said of which machine in the end, and with which exit code. Nothing is logged in to."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from components.remote import session
from seedbed import UserError, cli, engine, environment, identities, stackfile
from seedbed.commands import drift
from seedbed.drift import machine
from seedbed.drift.machine import Fact, Listed
from seedbed.drift.state import Paved
from seedbed.kube import Api
from seedbed.passphrase import Crypter
from stacks.generations import record

SETTINGS = {
    "seedbed:cluster": {"init": "server-a-1"},
    "seedbed:network": {"machines": "10.20.0.0/24"},
    "seedbed:k3s": {"version": "v1.34.2+k3s1"},
    "seedbed:machines": {
        "server-a": {"role": "server", "address": "10.20.0.11"},
        "agent-a": {"role": "agent", "address": "10.20.0.21", "labels": {"disk": "fast"}},
    },
}
DAEMON = Fact("file", "/etc/docker/daemon.json", "aa 644 root", "bb 644 root")
UNIT = Fact("unit", "k3s-agent.service", "active  enabled", "active  disabled")

Change = Callable[[dict[str, Any]], None]


class Drift:
    """A stack of a server and an agent that are paved; `facts` is what each machine prints, or why it does not."""

    def __init__(self) -> None:
        self.facts: dict[str, list[Fact] | Exception] = {"server-a-1": [], "agent-a-1": []}
        self.nodes: dict[str, dict[str, Any]] = {}
        self.record: Change = lambda _: None
        self.settings: Change = lambda _: None


@pytest.fixture
def stack(tmp_path, monkeypatch, identity, fake, capsys) -> Drift:
    made = Drift()
    crypter = Crypter.new("passphrase")
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)
    monkeypatch.setattr(environment, "of", lambda *_: {"PULUMI_CONFIG_PASSPHRASE": "passphrase"})
    monkeypatch.setattr(identities, "read", lambda *_: identity)
    (tmp_path / "Pulumi.own.yaml").write_text(yaml.safe_dump({"config": SETTINGS}))
    load = stackfile.load
    monkeypatch.setattr(stackfile, "load", lambda name: load(name, tmp_path, {}))
    paved = stackfile.settings(stackfile.load("own"))

    def exported(*_: object) -> dict[str, Any]:
        resources = []
        for name in paved.machines:
            full = paved.full_name(name)
            login = {"address": "203.0.113.7", "port": 22, "user": "root", "hostKey": "ssh-ed25519 AAAA"}
            old = record(paved, name)
            made.record(old)
            output = {"machine": full, "login": login, "mounts": [], "paved": old}
            told = json.dumps({"machine": full, "step": "k3s", "result": "paved", "installed": "dd"})
            resources += [
                {"urn": f"urn::a::b::{full}-member", "type": "pulumi:index:Stash", "outputs": {"output": output}},
                {"urn": f"urn::a::b::{full}-k3s", "type": "command:remote:Command", "outputs": {"stdout": told}},
            ]
        secrets = {"type": "passphrase", "state": {"salt": crypter.salt}}
        return {"deployment": {"secrets_providers": secrets, "resources": resources}}

    monkeypatch.setattr(engine, "exported", exported)

    def look(paved: Paved, _key: str) -> dict[str, Listed]:
        found = made.facts[paved.name]
        if isinstance(found, Exception):
            raise found
        return {"k3s": Listed("dd", tuple(found))}

    monkeypatch.setattr(machine, "look", look)
    monkeypatch.setattr(drift, "_api", lambda *_: Api.of(identity, fake.url))
    for name, role in (("server-a-1", "server"), ("agent-a-1", "agent")):
        labels = {"disk": "fast"} if role == "agent" else {"node-role.kubernetes.io/control-plane": "true"}
        made.nodes[name] = {
            "metadata": {"name": name, "labels": labels},
            "status": {
                "nodeInfo": {"kubeletVersion": "v1.34.2+k3s1"},
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "EtcdIsVoter", "status": "True"}],
            },
        }
    fake.before_read = lambda api: api.objects.update(
        {f"/api/v1/nodes/{name}": node for name, node in made.nodes.items()}
    )
    return made


def said(capsys) -> str:
    return capsys.readouterr().out


def test_a_stack_without_drift_says_so_of_every_machine_and_the_api_is_only_read(stack, fake, capsys) -> None:
    assert cli.main(["drift", "own"]) == 0
    assert said(capsys) == "agent-a-1   as it was paved\nserver-a-1  as it was paved\n"
    assert {method for method, _ in fake.asked} == {"GET"}


def test_a_drifted_machine_is_named_with_what_differs_and_is_to_be_replaced(stack, capsys) -> None:
    stack.facts["agent-a-1"] = [DAEMON, UNIT]
    stack.nodes["agent-a-1"]["metadata"]["labels"] = {"disk": "slow"}
    assert cli.main(["drift", "own"]) == 2
    assert said(capsys).splitlines() == [
        "agent-a-1   drifted: /etc/docker/daemon.json changed; k3s-agent.service is not enabled but disabled; label disk is slow, not "
        "fast",
        "server-a-1  as it was paved",
        "",
        "agent-a-1: do not edit it, replace it: generation 2 for agent-a, and agent-a-1 on seedbed:retire",
    ]


def test_other_settings_than_todays_are_told_apart_and_are_no_drift(stack, capsys) -> None:
    stack.record = lambda old: old.update({"k3s.kubeletArgs": ["max-pods=50"]})
    assert cli.main(["drift", "own"]) == 0
    text = said(capsys)
    assert "agent-a-1   as it was paved\n" in text
    assert "No drift, but:\n  agent-a-1 was paved with other settings: k3s.kubeletArgs" in text


def test_a_machine_that_does_not_let_in_is_named_and_the_others_are_compared(stack, capsys) -> None:
    stack.facts["server-a-1"] = session.UnreachableError("server-a-1 (203.0.113.7) does not let in: timed out")
    assert cli.main(["drift", "own"]) == 1
    assert said(capsys).splitlines() == [
        "agent-a-1   as it was paved",
        "server-a-1  not looked at: (203.0.113.7) does not let in: timed out",
        "",
        "Not all of this was looked at: server-a-1. Whether it drifted is not known.",
    ]
    stack.facts["agent-a-1"] = [DAEMON]
    assert cli.main(["drift", "own"]) == 2
    assert "agent-a-1   drifted: /etc/docker/daemon.json changed\n" in said(capsys)


def test_a_list_that_somebody_edited_does_not_keep_the_others_from_being_compared(stack, capsys) -> None:
    for edited in ("abc", "9" * 5000):
        stack.facts["agent-a-1"] = [Fact("floor", "net.x", edited, "5")]
        stack.facts["server-a-1"] = [DAEMON]
        assert cli.main(["drift", "own"]) == 2
        text = said(capsys)
        assert f"agent-a-1   drifted: sysctl net.x is 5, where at least {edited} is needed\n" in text
        assert "server-a-1  drifted: /etc/docker/daemon.json changed\n" in text


def test_what_a_machine_says_cannot_write_over_other_lines(stack, capsys) -> None:
    stack.facts["agent-a-1"] = session.ScriptError(
        "agent-a-1: status 1: \x1b[1A\x1b[2K\rserver-a-1  as it was paved\x1b[8m"
    )
    stack.nodes["stray\x1b[2J"] = {"metadata": {"name": "stray\x1b[2J"}}
    assert cli.main(["drift", "own"]) == 2
    text = said(capsys)
    assert all(map(str.isprintable, text.splitlines()))
    assert "agent-a-1       not looked at: status 1:  [1A [2K server-a-1  as it was paved [8m\n" in text


@pytest.mark.parametrize(
    ("what", "code"),
    [([DAEMON], 2), (session.UnreachableError("server-a-1 does not let in"), 1)],
    ids=["drift", "unseen"],
)
def test_other_settings_are_not_said_to_be_all_where_something_drifted_or_was_not_seen(
    stack, capsys, what, code
) -> None:
    stack.record = lambda old: old.update({"k3s.kubeletArgs": ["max-pods=50"]})
    stack.facts["server-a-1"] = what
    assert cli.main(["drift", "own"]) == code
    text = said(capsys)
    assert "Besides, which is no drift:\n  agent-a-1 was paved with other settings: k3s.kubeletArgs" in text
    assert "No drift" not in text


def test_an_api_that_does_not_answer_leaves_the_machines_compared(stack, capsys, monkeypatch) -> None:
    monkeypatch.setattr(drift, "_api", lambda *_: UserError("the state does not tell apiUrl"))
    assert cli.main(["drift", "own"]) == 1
    assert "nodes       not looked at: the state does not tell apiUrl\n" in said(capsys)


def test_a_node_of_no_machine_is_named(stack, capsys) -> None:
    stack.nodes["stray-1"] = {"metadata": {"name": "stray-1"}}
    assert cli.main(["drift", "own"]) == 2
    assert "node stray-1  drifted: is in the cluster, and the state knows no such machine\n" in said(capsys)


def test_a_state_without_machines_is_an_error_with_the_way_out(stack, capsys, monkeypatch) -> None:
    empty = engine.exported()
    empty["deployment"]["resources"] = []
    monkeypatch.setattr(engine, "exported", lambda *_: empty)
    assert cli.main(["drift", "own"]) == 1
    assert "the next `pulumi up` makes it remember" in capsys.readouterr().err
