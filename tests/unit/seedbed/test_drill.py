import copy
import datetime

import pytest

from lab import stack_lab
from seedbed import UserError, cli, drill, kube
from seedbed.commands import drill as command
from seedbed.commands import up
from seedbed.kube import Api
from seedbed.stackfile import StackFile
from stacks.identity import kubeconfig
from tests.unit.seedbed.fake_api import APPLICATIONS

NODE = "/api/v1/nodes/server-a-1"
SEALED = f"{drill.SEALED_SECRETS}/token"
SECRET = "/api/v1/namespaces/dev/secrets/token"


def cluster(fake):
    """A whole cluster of one node, two applications and a SealedSecret."""
    fake.objects[NODE] = {
        "metadata": {"name": "server-a-1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip
    fake.objects[drill.CA] = {"data": {"ca.crt": "the certificate"}}
    fake.application("root")
    fake.application("web-dev")
    fake.objects[SEALED] = {
        "metadata": {"namespace": "dev", "name": "token"}, "spec": {"encryptedData": {"token": "c2VhbGVk"}},
    }  # fmt: skip
    fake.objects[SECRET] = {"data": {"token": "b3BlbmVk"}}


def kept(identity, url):
    """A kubeconfig as a person keeps it."""
    return kubeconfig(identity, kube.short_lived(identity, datetime.timedelta(hours=1)), url, "dev")


def verdicts(fake, api, identity, before):
    return {check.what: check for check in drill.compare(before, api, Api.of_kubeconfig(kept(identity, fake.url)))}


def test_a_cluster_that_came_back_as_it_was_passes_every_check(fake, api, identity):
    cluster(fake)
    found = verdicts(fake, api, identity, drill.whole(api, 0, pytest.fail))
    assert [name for name, check in found.items() if not check.passed] == []
    assert found["applications Synced"].said == "2 Synced"


def another_ca(fake):
    fake.objects[drill.CA]["data"]["ca.crt"] = "another certificate"


def another_value(fake):
    fake.objects[SECRET]["data"]["token"] = "b3RoZXI="


def not_opened(fake):
    del fake.objects[SECRET]


def sealed_again(fake):
    fake.objects[SEALED]["spec"]["encryptedData"]["token"] = "YWdhaW4="


def no_node(fake):
    fake.objects[NODE]["status"]["conditions"][0]["status"] = "False"


def out_of_sync(fake):
    fake.application("web-dev", sync="OutOfSync")


def degraded(fake):
    fake.application("web-dev", health="Degraded")


def another_commit(fake):
    fake.application("web-dev", revision="f" * 40)


def application_gone(fake):
    del fake.objects[f"{APPLICATIONS}/web-dev"]


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (another_ca, {"certificate authority"}),
        (another_value, {"their values"}),
        (not_opened, {"their values"}),
        (sealed_again, {"SealedSecrets in git"}),
        (no_node, {"nodes"}),
        (out_of_sync, {"applications Synced"}),
        (degraded, {"applications Healthy"}),
        (another_commit, {"their commits"}),
        (application_gone, {"applications Synced", "applications Healthy", "their commits"}),
    ],
)
def test_whatever_came_back_as_something_else_is_found(fake, api, identity, change, failed):
    cluster(fake)
    before = drill.whole(api, 0, pytest.fail)
    change(fake)
    found = verdicts(fake, api, identity, before)
    assert {name for name, check in found.items() if not check.passed} == failed


def test_a_kubeconfig_that_no_longer_lets_in_is_found(fake, api, identity):
    cluster(fake)
    before = drill.whole(api, 0, pytest.fail)
    (check, *_) = drill.compare(before, api, Api.of_kubeconfig(kept(identity, "https://127.0.0.1:9")))
    assert (check.what, check.passed) == ("kubeconfig of before", False)


@pytest.mark.parametrize("change", [not_opened, no_node, out_of_sync, degraded])
def test_a_cluster_that_is_not_whole_is_not_lost(fake, api, change):
    cluster(fake)
    change(fake)
    with pytest.raises(UserError, match="nothing was touched"):
        drill.whole(api, 0, pytest.fail)


def test_a_cluster_that_is_not_whole_yet_is_waited_for(fake, api):
    cluster(fake)
    degraded(fake)
    looks = []

    def mend(fake):
        looks.append(1)
        if len(looks) == 20:
            fake.application("web-dev")

    fake.before_read = mend
    said = []
    assert drill.whole(api, 20, said.append, poll=0.001).nodes == {"server-a-1"}
    assert said == ["waiting: application web-dev (Synced, Degraded) is not Synced and Healthy"]


def test_what_was_looked_at_holds_no_secret(fake, api):
    cluster(fake)
    text = repr(drill.look(api))
    assert "b3BlbmVk" not in text
    assert "c2VhbGVk" not in text


def test_what_comes_late_is_waited_for_and_named(fake, api):
    cluster(fake)
    before = drill.whole(api, 0, pytest.fail)
    secret = fake.objects.pop(SECRET)
    degraded(fake)
    looks = []

    def step(fake):
        looks.append(1)
        if len(looks) == 20:
            fake.application("web-dev")
        if len(looks) == 40:
            fake.objects[SECRET] = secret

    fake.before_read = step
    said = []
    drill.settle(api, before, 20, said.append, poll=0.001)
    assert len(looks) >= 40
    assert said == [
        "waiting for web-dev (Synced, Degraded), SealedSecret dev/token",
        "waiting for SealedSecret dev/token",
    ]


def test_what_never_comes_ends_with_the_time(fake, api):
    cluster(fake)
    before = drill.whole(api, 0, pytest.fail)
    application_gone(fake)
    said = []
    drill.settle(api, before, 0.05, said.append, poll=0.001)
    assert said == ["waiting for web-dev (not there)"]


@pytest.fixture
def acts(fake, identity, monkeypatch, tmp_path):
    """The command on a cluster that is a fake, with what is done to hosts and state noted down instead."""
    cluster(fake)
    done = []
    backup = {}
    stack = StackFile(
        "dev", tmp_path / "Pulumi.dev.yaml", {"seedbed:identityFile": ".lab/dev/identity.json"}, None, None
    )

    class Settings:
        api_url = fake.url

        class timeouts:  # noqa: N801  as the settings have it
            health = 0.2

    def lose(lab, progress):
        done.append("lose")
        backup.update(copy.deepcopy(fake.objects))
        fake.objects.clear()

    def bring_up(stack, progress):
        done.append("up")
        fake.objects.update(backup)
        return up.Result(identity, None, [], [])

    monkeypatch.setattr(command.stackfile, "load", lambda _: stack)
    monkeypatch.setattr(command.stackfile, "settings", lambda _: Settings)
    monkeypatch.setattr(command.identities, "read", lambda *_: identity)
    monkeypatch.setattr(up, "lab_of", lambda _: "the lab")
    monkeypatch.setattr(stack_lab, "lose", lose)
    monkeypatch.setattr(up, "bring_up", bring_up)
    return done


def test_the_drill_loses_then_rebuilds_then_compares(acts, capsys):
    assert cli.main(["drill", "--yes"]) == 0
    assert acts == ["lose", "up"]
    assert "after everything was lost" in capsys.readouterr().out


def test_a_drill_that_comes_back_as_something_else_fails(acts, fake, monkeypatch, identity):
    monkeypatch.setattr(
        up, "bring_up", lambda *_: cluster(fake) or another_ca(fake) or up.Result(identity, None, [], [])
    )
    assert cli.main(["drill", "--yes"]) == 1


@pytest.mark.parametrize("answer", ["", "yes", "prod"])
def test_nothing_is_lost_without_the_stacks_name(acts, monkeypatch, capsys, answer):
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert cli.main(["drill"]) == 1
    assert acts == []
    assert "server-a-1" in capsys.readouterr().out


def test_nothing_is_lost_where_nobody_can_be_asked(acts, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, PTH123
    assert cli.main(["drill"]) == 1
    assert acts == []
    assert "--yes" in capsys.readouterr().err


def test_the_name_typed_in_is_a_yes(acts, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: "dev")
    assert cli.main(["drill"]) == 0


def test_nothing_is_lost_of_a_cluster_that_is_not_whole(acts, fake, capsys):
    out_of_sync(fake)
    assert cli.main(["drill", "--yes"]) == 1
    assert acts == []
    assert "web-dev (OutOfSync, Healthy)" in capsys.readouterr().err


def test_a_stack_of_real_machines_is_refused(capsys):
    assert cli.main(["drill", "prod", "--yes"]) == 1
    assert "does not live on the lab" in capsys.readouterr().err
