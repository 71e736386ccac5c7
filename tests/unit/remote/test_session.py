"""Scripts on machines by the OpenSSH client, with an `ssh` that runs them on this one."""

import subprocess
import threading
from pathlib import Path

import pytest

from components.remote import session
from components.remote.session import Login, NoClientError, ScriptError, UnreachableError

HERE = Login(machine="agent-a-1", address="10.0.0.21", port=2222, user="ops", host_key="ssh-ed25519 AAAA")
KEY = "not a real key\n"


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """Makes an `ssh`: a script that finds the words in `"$@"`, the file for its own log as `$log`, and notes in `$NOTES`."""

    def make(body):
        program = tmp_path / "bin" / "ssh"
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f'#!/bin/bash\nNOTES={tmp_path}\nprintf "%s\\n" "$@" >"$NOTES/argv"\nlog=$2 folder=${{2%/*}}\n{body}\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return tmp_path

    return make


LOCALLY = 'eval "${@: -1}"'
"""What the login shell of the machine does; sudo does as it is told."""


def run(body, seconds=20, login=HERE, **options):
    """The output of a script whose `main` is `body`, and what it said."""
    said: list[str] = []
    script = f"set -Eeuo pipefail\nNODE=agent-a-1 STEP=look\nmain() {{ {body}; }}\nmain; exit 0\n"
    return session.run(login, KEY, script, seconds=seconds, say=said.append, **options), said


@pytest.fixture
def sudo(ssh):
    notes = ssh(LOCALLY)
    program = notes / "bin" / "sudo"
    program.write_text('#!/bin/bash\n[ "$1" = -n ] && shift && exec "$@"\n')
    program.chmod(0o755)
    return notes


def test_what_a_script_prints_is_given_back_and_what_it_says_comes_line_by_line(sudo):
    out, said = run("echo one >&2; echo result; echo two >&2")
    assert (out, said) == ("result\n", ["one", "two"])


def test_a_line_is_heard_before_the_script_goes_on(sudo, tmp_path):
    heard = tmp_path / "heard"
    script = f"main() {{ echo first >&2; until [ -e {heard} ]; do sleep 0.02; done; echo done; }}\nmain; exit 0\n"
    assert session.run(HERE, KEY, script, seconds=20, say=lambda line: heard.write_text(line)) == "done\n"
    assert heard.read_text() == "first"


def test_it_works_in_a_thread(sudo):
    found = []
    thread = threading.Thread(target=lambda: found.append(run("echo here")[0]))
    thread.start()
    thread.join(20)
    assert found == ["here\n"]


def test_the_machine_must_prove_its_key_and_nothing_of_the_persons_own_set_up_counts(sudo):
    run("true")
    words = (sudo / "argv").read_text().splitlines()
    options = {words[i + 1] for i, word in enumerate(words) if word == "-o"}
    assert {
        "StrictHostKeyChecking=yes",
        "HostKeyAlias=agent-a-1",
        "BatchMode=yes",
        "GlobalKnownHostsFile=/dev/null",
    } <= options
    assert {"ConnectTimeout=10", "ServerAliveInterval=10", "IdentityAgent=none", "IdentitiesOnly=yes"} <= options
    assert words[words.index("-F") + 1] == "none"
    assert words[words.index("-p") + 1 : words.index("-p") + 4] == ["2222", "-l", "ops"]
    assert words[-2:] == ["10.0.0.21", "exec sudo -n timeout --kill-after=10 20 bash -s"]


def test_root_needs_no_sudo_and_what_must_be_alone_takes_the_lock_of_the_steps(ssh):
    notes = ssh("exit 0")
    root = Login(machine="a", address="10.0.0.1", port=22, user="root", host_key="k")
    run("true", login=root, alone=True)
    assert (notes / "argv").read_text().splitlines()[-1] == (
        "exec flock --wait 20 --conflict-exit-code 75 /run/seedbed.lock timeout --kill-after=10 20 bash -s"
    )


def test_the_key_is_for_its_owner_only_while_it_is_there_and_never_in_the_command_line(ssh):
    notes = ssh(
        'stat -c "%a %n" "$folder" "$folder/operator_key" >"$NOTES/modes"; cat "$folder/known_hosts" >"$NOTES/known"'
    )
    run("echo 'a script'")
    modes = (notes / "modes").read_text().splitlines()
    assert [line.split()[0] for line in modes] == ["700", "600"]
    assert not Path(modes[0].split()[1]).exists()
    assert (notes / "known").read_text() == "agent-a-1 ssh-ed25519 AAAA\n"
    assert "a script" not in (notes / "argv").read_text()
    assert KEY.strip() not in (notes / "argv").read_text()


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ("ssh: connect to host 10.0.0.21 port 2222: Connection refused", "does not let in: connect to host"),
        ("ops@10.0.0.21: Permission denied (publickey).", "does not let in: ops@10.0.0.21: Permission denied"),
        ("Host key verification failed.", "answers with another host key than its own"),
        ("", "does not let in: the connection was lost"),
    ],
)
def test_a_machine_that_does_not_let_in_is_named_with_the_reason(ssh, log, why):
    ssh(f"echo '{log}' >\"$log\"; exit 255")
    with pytest.raises(UnreachableError) as caught:
        run("true")
    assert str(caught.value).startswith(f"agent-a-1 (10.0.0.21) {why}")


def test_a_script_that_fails_is_told_with_its_last_words(sudo):
    with pytest.raises(ScriptError, match=r"^agent-a-1: status 3: .*no cheese"):
        run("echo no cheese >&2; exit 3")


def test_a_script_that_takes_too_long_is_ended_on_the_machine(sudo):
    with pytest.raises(ScriptError, match="agent-a-1: not done after 1 s: waiting"):
        run("echo waiting >&2; sleep 600", seconds=1)


def test_a_client_that_hangs_is_ended_and_no_other_process(ssh, monkeypatch):
    notes = ssh('echo $$ >"$NOTES/pid"; exec sleep 600')
    monkeypatch.setattr(session, "CONNECT_SECONDS", 0)
    monkeypatch.setattr(session, "MARGIN_SECONDS", 0)
    other = subprocess.Popen(["sleep", "600"])
    try:
        with pytest.raises(UnreachableError, match="did not answer any more"):
            run("true", seconds=1)
        assert not Path("/proc", (notes / "pid").read_text().strip()).exists()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_without_a_client_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoClientError, match="install the OpenSSH client"):
        run("true")


def test_a_script_has_its_values_quoted_and_the_library_in_front(tmp_path):
    body = tmp_path / "look.sh"
    body.write_text('main() { cat; say "$PLACE"; }\n')
    script = session.text("look", {"NODE": "a", "PLACE": "a'; touch owned; '$(id)"}, body)
    done = subprocess.run(
        ["bash", "-s"],
        input=script + "echo never\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
        cwd=tmp_path,
    )
    assert done.stderr == "a look: a'; touch owned; '$(id)\n"
    assert done.stdout == "echo never\n"
    assert not (tmp_path / "owned").exists()
