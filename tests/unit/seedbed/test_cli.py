import pytest

from lab import LabError
from lab.git import service as git_service
from lab.internet.service import Status
from lab.spec import HostState
from lab.stack_lab import Report
from lab.status import HostStatus
from seedbed import UserError, cli
from seedbed.commands import cloud_init, kubeconfig
from seedbed.commands import lab as lab_command
from stacks.identity import IdentityError
from stacks.settings import SettingsError
from tools import ToolError


@pytest.mark.parametrize(
    "error", [UserError("x"), LabError("x"), ToolError("x"), IdentityError("x"), SettingsError("f", ["x"])]
)
def test_an_expected_error_is_one_line_and_no_traceback(monkeypatch, capsys, error):
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)
    monkeypatch.setattr(kubeconfig, "run", lambda _: (_ for _ in ()).throw(error))
    assert cli.main(["kubeconfig", "dev"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    assert said.out == ""


def test_debugging_lets_the_error_through(monkeypatch):
    monkeypatch.setenv("SEEDBED_DEBUG", "1")
    with pytest.raises(SettingsError, match=r"Pulumi\.nonesuch\.yaml"):
        cli.main(["kubeconfig", "nonesuch"])


def test_an_interrupt_has_the_exit_code_of_one(monkeypatch, capsys):
    monkeypatch.setattr(kubeconfig, "run", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["kubeconfig", "dev"]) == 130


@pytest.mark.parametrize("hours", ["0", "-1", "1000", "nan"])
def test_a_certificate_lives_neither_never_nor_for_ever(capsys, monkeypatch, hours):
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)
    assert cli.main(["kubeconfig", "dev", f"--hours={hours}"]) == 1
    assert "--hours" in capsys.readouterr().err


def test_every_command_explains_itself(capsys):
    for verb in cli.COMMANDS:
        assert verb == cli.module(verb).NAME
        with pytest.raises(SystemExit) as left:
            cli.main([verb, "--help"])
        assert left.value.code == 0
    assert "server-a-1" in capsys.readouterr().out


def test_user_data_gives_the_machine_its_pinned_key_and_lets_the_operator_in(identity):
    import yaml

    key = identity.host_key("server-a-1")
    text = cloud_init.user_data("server-a-1", key, identity.operator_public_key, "root")
    assert text.startswith("#cloud-config\n")
    data = yaml.safe_load(text)
    assert data["ssh_keys"] == {"ed25519_private": key.private, "ed25519_public": key.public}
    assert data["users"] == [{"name": "root", "ssh_authorized_keys": [identity.operator_public_key]}]
    assert data["disable_root"] is False
    assert "disable_root" not in yaml.safe_load(cloud_init.user_data("a-1", key, "ssh-ed25519 A", "debian"))


def test_the_status_says_of_each_service_how_to_start_it():
    host = HostStatus("server-a-1", "10.77.0.11", HostState.CUT)
    git = git_service.Status(1, answers=False)
    lines = lab_command.status_lines(Report([host], Status(None, None, False, ("x.tar: damaged",)), None, git))
    assert lines[1].split() == ["server-a-1", "cut", "10.77.0.11", "-", "-"]
    assert [line.endswith("`seedbed lab up` starts it") for line in lines[2:]] == [True, False, True, True]
    assert lines[3] == "  images: x.tar: damaged"


def test_the_status_is_silent_about_a_git_server_that_the_lab_does_not_have():
    internet = Status(1, 2, True, ())
    assert "git" not in "\n".join(lab_command.status_lines(Report([], internet, 3, None)))
    lines = lab_command.status_lines(Report([], internet, 3, git_service.Status(4, answers=True)))
    assert lines[-1] == "git server (SSH): answers"
