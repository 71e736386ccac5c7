import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from lab import LabError
from lab.git import access, service
from tests.unit.lab.git.conftest import LOOPBACK, Server
from tools.progress import Progress


@pytest.fixture(scope="module")
def clone(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The writer's clone with one pushed commit; its file cannot be compressed, and is bigger than SSH's window."""
    clone = tmp_path_factory.mktemp("writer") / "clone"
    assert server.git(server.writer, "clone", server.url(), str(clone))[0] == 0
    (clone / "file").write_bytes(os.urandom(3 << 20))
    for words in (("add", "."), ("commit", "-qm", "one more"), ("push", "origin", "HEAD:main")):
        code, said = server.git(server.writer, *words, cwd=clone)
        assert code == 0, said
    return clone


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_what_the_operator_pushes_the_deploy_key_clones(
    server: Server, clone: Path, tmp_path: Path, protocol: int
) -> None:
    code, said = server.git(server.reader, "clone", server.url(), str(tmp_path / "other"), protocol=protocol)
    assert code == 0, said
    assert (tmp_path / "other" / "file").read_bytes() == (clone / "file").read_bytes()


def test_the_second_protocol_is_spoken_where_the_client_asks_for_it(server: Server, clone: Path) -> None:
    env = {**os.environ, "GIT_SSH_COMMAND": " ".join(server._argv(server.reader)), "GIT_TRACE_PACKET": "1"}
    argv = ["git", "-c", "protocol.version=2", "ls-remote", server.url()]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=True)
    assert "< version 2" in done.stderr


def test_a_path_without_its_slash_is_the_same_repository(server: Server, clone: Path) -> None:
    with_slash = server.git(server.reader, "ls-remote", server.url())
    _, said = server.ssh(server.reader, "git-upload-pack 'seedbed.git'")
    assert with_slash[0] == 0
    assert with_slash[1].split()[0] in said


def test_what_was_served_is_logged_with_the_clients_address(server: Server, clone: Path) -> None:
    server.git(server.reader, "ls-remote", server.url())
    last = server.log().splitlines()[-1]
    assert last.endswith(f""" {LOOPBACK} read "git-upload-pack '/seedbed.git'": exit code 0""")


def test_the_deploy_key_cannot_push(server: Server, clone: Path) -> None:
    code, said = server.git(server.reader, "push", "origin", "HEAD:other", cwd=clone)
    assert code != 0
    assert "this key may read only: push with the operator's key" in said
    assert "other" not in server.git(server.reader, "ls-remote", server.url())[1]


def test_what_the_lab_keeps_for_itself_is_neither_shown_nor_taken(server: Server, clone: Path) -> None:
    repository = server.lab_dir / "git" / "seedbed.git"
    subprocess.run(["git", "update-ref", "refs/seedbed/clone", "main"], cwd=repository, check=True, timeout=30)
    assert "refs/seedbed" not in server.git(server.writer, "ls-remote", server.url())[1]
    code, said = server.git(server.writer, "push", "origin", ":refs/seedbed/clone", cwd=clone)
    assert code != 0, said
    subprocess.run(["git", "rev-parse", "refs/seedbed/clone"], cwd=repository, check=True, timeout=30)


def test_a_hook_of_the_user_does_not_run(server: Server, clone: Path, tmp_path: Path) -> None:
    hook = server.lab_dir / "git" / "seedbed.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    try:
        assert server.git(server.writer, "push", "origin", "HEAD:hooked", cwd=clone)[0] == 0
    finally:
        hook.unlink()


def test_a_stranger_is_kept_out_and_logged(server: Server) -> None:
    code, said = server.git(server.stranger, "ls-remote", server.url())
    assert code != 0
    assert "Permission denied (publickey)" in said
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(server.stranger.file)], capture_output=True, text=True, timeout=30, check=True
    )
    assert f"refused {shown.stdout.split()[1]} of user 'git'" in server.log()


def test_only_the_user_git_is_let_in(server: Server) -> None:
    code, said = server.ssh(server.writer, "git-upload-pack '/seedbed.git'", user="root")
    assert code == 255
    assert "Permission denied" in said


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ((), "there is no shell"),
        (("sh",), "answers only git clone, fetch and push"),
        (("git-upload-pack", "/seedbed.git"), "answers only git clone, fetch and push"),
        (("git-upload-archive '/seedbed.git'",), "answers only git clone, fetch and push"),
        (("git-upload-pack '/seedbed.git' --strict",), "answers only git clone, fetch and push"),
        (("git-upload-pack '/seedbed.git'; id",), "answers only git clone, fetch and push"),
        (("git-upload-pack '/../git/seedbed.git'",), "answers only git clone, fetch and push"),
        (("git-upload-pack '/seedbed.git/../../ca.key'",), "answers only git clone, fetch and push"),
        (("git-upload-pack '--help'",), "answers only git clone, fetch and push"),
        (("git-upload-pack '~/seedbed.git'",), "answers only git clone, fetch and push"),
        (("git-upload-pack '/etc'",), "there is no repository etc"),
        (("git-upload-pack '/outside.git'",), "there is no repository outside.git"),
        (("git-receive-pack '/new.git'",), "there is no repository new.git"),
    ],
)
def test_anything_else_is_refused_with_a_plain_sentence(
    server: Server, tmp_path: Path, command: tuple[str, ...], sentence: str
) -> None:
    outside = server.lab_dir / "git" / "outside.git"
    if not outside.is_symlink():
        subprocess.run(["git", "init", "-q", "--bare", str(server.lab_dir / "else.git")], check=True, timeout=30)
        outside.symlink_to(server.lab_dir / "else.git")
    code, said = server.ssh(server.writer, *command)
    assert code == 128
    assert sentence in said
    assert sentence in server.log()


def test_file_transfer_and_terminals_are_refused(server: Server) -> None:
    code, said = server.ssh(server.writer, "-s", "sftp")
    assert code != 0
    assert "subsystem request failed" in said
    code, said = server.ssh(server.writer, "-s", "other")
    assert code == 128
    assert "there is no shell" in said
    _, said = server.ssh(server.writer, options=("RequestTTY=force",))
    assert "PTY allocation request failed" in said


def test_nothing_is_forwarded(server: Server) -> None:
    with socket.create_server((LOOPBACK, 0)) as target:
        code, said = server.ssh(server.writer, "-W", f"{LOOPBACK}:{target.getsockname()[1]}")
        assert code != 0
        assert "forwarding failed" in said
        target.settimeout(0)
        with pytest.raises(BlockingIOError):
            target.accept()
    code, said = server.ssh(server.writer, "-N", options=("ExitOnForwardFailure=yes", f"RemoteForward=0 {LOOPBACK}:1"))
    assert code == 255
    assert "remote port forwarding failed" in said


def test_keys_are_changed_without_a_restart(server: Server, clone: Path) -> None:
    try:
        access.write(server.lab_dir, [server.stranger.public], [])
        assert server.git(server.stranger, "ls-remote", server.url())[0] == 0
        assert server.git(server.reader, "ls-remote", server.url())[0] != 0
        assert server.git(server.writer, "ls-remote", server.url())[0] != 0
        (server.lab_dir / access.FILE).unlink()
        assert server.git(server.stranger, "ls-remote", server.url())[0] != 0
    finally:
        assert not server.start()
    assert server.git(server.reader, "ls-remote", server.url())[0] == 0


def test_a_key_that_may_read_and_write_may_write(tmp_path: Path) -> None:
    access.write(tmp_path, ["ssh-ed25519 A", "ssh-ed25519 B"], ["ssh-ed25519 B a comment"])
    assert access.right_of(tmp_path, "ssh-ed25519 A") is access.Right.READ
    assert access.right_of(tmp_path, "ssh-ed25519 B") is access.Right.WRITE
    assert access.right_of(tmp_path, "ssh-ed25519 C") is None
    assert (tmp_path / access.FILE).stat().st_mode & 0o777 == 0o600


def test_a_server_that_runs_as_asked_is_left_alone(server: Server) -> None:
    before = service.status(server.lab_dir)
    assert before is not None
    assert before.answers
    assert not server.start()
    assert service.status(server.lab_dir) == before


def test_a_stopped_server_does_not_answer_until_it_is_started(server: Server, clone: Path) -> None:
    assert service.stop(server.lab_dir)
    try:
        assert service.status(server.lab_dir) == service.Status(None, answers=False)
        assert not service.stop(server.lab_dir)
        assert "Connection refused" in server.git(server.reader, "ls-remote", server.url())[1]
    finally:
        assert server.start()
    assert server.git(server.reader, "ls-remote", server.url())[0] == 0


def test_another_host_key_is_refused_by_those_who_pinned_the_old_one(server: Server, tmp_path: Path) -> None:
    known_hosts = server.lab_dir / service.KNOWN_HOSTS
    old = known_hosts.read_text()
    assert (server.lab_dir / service.HOST_KEY).stat().st_mode & 0o777 == 0o600
    service.renew_host_key(server.lab_dir)
    assert server.start()
    new = known_hosts.read_text()
    known_hosts.write_text(old)
    assert "Host key verification failed" in server.git(server.reader, "ls-remote", server.url())[1]
    known_hosts.write_text(new)
    assert "Host key verification failed" not in server.git(server.reader, "ls-remote", server.url())[1]


def test_the_server_is_known_by_its_name_and_its_address(server: Server) -> None:
    lines = [line.split() for line in (server.lab_dir / service.KNOWN_HOSTS).read_text().splitlines()]
    assert [line[0] for line in lines] == [f"[git.seedbed.internal]:{server.port}", f"[{LOOPBACK}]:{server.port}"]
    assert len({tuple(line[1:]) for line in lines}) == 1


def test_git_ends_with_a_client_that_dies(server: Server, clone: Path) -> None:
    argv = [*server._argv(server.reader), "-p", str(server.port), f"git@{LOOPBACK}", "git-upload-pack '/seedbed.git'"]
    client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert client.stdout is not None
        assert client.stdout.read(4)  # git has begun
        running = service.status(server.lab_dir)
        assert running is not None
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        assert children.read_text().split()
    finally:
        client.send_signal(signal.SIGKILL)
        client.communicate()
    deadline = time.monotonic() + 10
    while children.read_text().split() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not children.read_text().split()


def test_a_port_that_is_taken_is_told_with_the_log(server: Server, tmp_path: Path) -> None:
    complaint = r"git server has ended; the last lines of .*git\.log:\n(.|\n)*in use"
    with socket.create_server((LOOPBACK, 0)) as taken, pytest.raises(LabError, match=complaint):
        service.start(tmp_path, None, LOOPBACK, [], [], Progress(), taken.getsockname()[1])


def test_a_lab_without_a_git_server_has_none(tmp_path: Path) -> None:
    assert service.status(tmp_path) is None
    assert not service.stop(tmp_path)


def test_a_damaged_host_key_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / service.HOST_KEY).write_text("nothing")
    with pytest.raises(LabError, match="is damaged: remove it"):
        service.start(tmp_path, None, LOOPBACK, [], [], Progress(), 1)


def test_the_servers_configuration_holds_no_key(server: Server) -> None:
    config = json.loads((server.lab_dir / "services" / "git.conf.json").read_text())
    assert config["host_key"] == str(server.lab_dir / service.HOST_KEY)
    assert "PRIVATE" not in json.dumps(config)
