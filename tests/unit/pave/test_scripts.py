"""The scripts of paving: rendered by pure functions, valid for bash, free of secrets."""

import hashlib
import json
import os
import re
import subprocess

import pytest
import yaml

from components.pave import k3s, steps
from components.remote.command import dial_attempts
from components.remote.script import LIBRARY, SCRIPTS, Step, command, render, source, stdin

RELEASE = k3s.K3sRelease(version="v1.34.2+k3s1", sha256={"amd64": "a" * 64}, url="https://mirror.example.org/k3s")
MEMBER = k3s.Member(
    machine="server-a-1",
    node_address="10.0.0.11",
    release=RELEASE,
    start_seconds=100,
    labels={"zone": "b", "disk": "fast"},
    taints=("dedicated=db:NoSchedule",),
    kubelet_args=("max-pods=50",),
)
CONTROL_PLANE = k3s.ControlPlane(
    ca_certificate="-----BEGIN CERTIFICATE-----\n",
    admin_group="some:admins",
    tls_sans=("k8s.example.org", "10.0.0.11"),
    pod_cidr="10.42.0.0/16",
    service_cidr="10.43.0.0/16",
    disable=("traefik",),
)
STEPS = {
    "wait": steps.wait(machine="server-a-1", node_address="10.0.0.11", cloud_init_seconds=60),
    "base": steps.base(machine="server-a-1"),
    "docker": steps.docker(machine="server-a-1"),
    "init server": k3s.init_server(MEMBER, CONTROL_PLANE, peers=("10.0.0.12",)),
    "join server": k3s.join_server(MEMBER, CONTROL_PLANE, peers=("10.0.0.12", "10.0.0.11")),
    "agent": k3s.agent(MEMBER, ca_certificate=CONTROL_PLANE.ca_certificate, peers=("10.0.0.12",)),
}


def config(step: Step) -> dict:
    """The k3s configuration that a step writes, as the shell sees it."""
    script = step.text.partition("\nmain; ")[0] + '\nprintf %s "$CONFIG"\n'
    shown = subprocess.run(
        ["bash", "-c", script, "bash", "step", "0"], capture_output=True, text=True, check=True, timeout=10
    )
    return yaml.safe_load(shown.stdout)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_bash_accepts_it(step: Step):
    subprocess.run(["bash", "-n", "-c", step.text], check=True, timeout=10)
    for file in SCRIPTS.rglob("*.sh"):
        subprocess.run(["bash", "-n", str(file)], check=True, timeout=10)


def told(step: Step) -> subprocess.CompletedProcess[str]:
    """A step run as far as what it does, which is left out."""
    text = step.text.replace("\nmain; ", "\nmain() { say loaded; }\nmain; ")
    return subprocess.run(
        ["bash", "-s", step.name, step.digest], input=text, capture_output=True, text=True, check=False, timeout=10
    )


def test_it_runs_what_was_copied_and_nothing_else(home):
    assert told(STEPS["base"]).stderr == "server-a-1 base: loaded\n"
    with (home / ".seedbed.sh").open("a") as scripts:
        scripts.write("touch harm\n")
    assert told(STEPS["base"]).returncode == 1
    assert not (home / "harm").exists()


def test_an_error_in_a_script_is_named_with_its_line_and_the_command(home):
    text = STEPS["base"].text.replace("\nmain; ", "\nmain() { false; }\nmain; ")
    done = subprocess.run(
        ["bash", "-s", "base", "0"], input=text, capture_output=True, text=True, check=False, timeout=10
    )
    assert done.returncode == 1
    assert re.search(r'server-a-1 base: FAILED: line \d+ of the step: "false" ended with status 1', done.stderr)


def test_scripts_that_are_missing_or_of_another_version_are_named_with_the_way_out(home):
    """Of an older `up` that was interrupted before seedbed was upgraded; or on a machine that was installed anew."""
    (home / ".seedbed.sh").unlink()
    done = told(STEPS["base"])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1:] == [
        "server-a-1 base: FAILED: no scripts, or of another seedbed. Next: pulumi up --replace '**::server-a-1-scripts*'",
    ]


def test_the_command_line_is_short_and_names_the_step():
    """The provider quotes it whole in the error of a step that failed."""
    line = command(STEPS["init server"], user="root", timeout_seconds=60)
    assert len(line) < 160
    assert line.endswith(f" bash -s k3s {STEPS['init server'].digest}")


def test_the_command_line_limits_locks_and_leaves_standard_input_to_the_script(tmp_path, monkeypatch):
    monkeypatch.setattr("components.remote.script.LOCK_FILE", str(tmp_path / "lock"))
    step = Step(
        name="echo", text='main() { read -r line; printf \'got %s by %s\' "$line" "$1"; }\nmain "$@"\n', digest="0"
    )
    run = subprocess.run(
        ["sh", "-c", command(step, user="root", timeout_seconds=5)],
        input=stdin(step, "a secret\n"), capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    assert run.stdout == "got a secret by echo"


@pytest.mark.parametrize(("body", "said"), [("cat", "a secret\n"), ("echo already paved", "already paved\n")])
def test_what_follows_a_script_is_read_by_it_whole_and_never_run_as_commands(home, body: str, said: str):
    """The second is a machine that was paved by an `up` that was killed before it could note it."""
    text = STEPS["agent"].text.replace("\nmain; ", f"\nmain() {{ {body}; }}\nmain; ")
    run = subprocess.run(
        ["bash", "-s", "k3s", "0"], input=text + "a secret\n", capture_output=True, text=True, check=False, timeout=10
    )
    assert (run.stdout, run.stderr, run.returncode) == (said, "", 0)


def test_a_script_that_hangs_is_ended_by_its_own_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("components.remote.script.LOCK_FILE", str(tmp_path / "lock"))
    step = Step(name="hang", text="sleep 600\n", digest="0")
    line = command(step, user="root", timeout_seconds=1)
    run = subprocess.run(["sh", "-c", line], input=stdin(step), text=True, timeout=20, check=False)
    assert run.returncode == 124


def test_another_user_than_root_gets_there_by_sudo_without_a_password():
    assert command(STEPS["wait"], user="ops", timeout_seconds=60).startswith("exec sudo -n flock ")
    assert command(STEPS["wait"], user="root", timeout_seconds=60).startswith("exec flock ")


def test_values_are_quoted_for_the_shell(home):
    step = render(
        steps.SCRIPTS, "wait", {"NODE": "a'; touch /tmp/owned; '", "NODE_ADDRESS": "$(id)", "CLOUD_INIT_SECONDS": "1"}
    )
    script = step.text.partition("\nmain; ")[0] + '\nprintf "%s %s" "$NODE" "$NODE_ADDRESS"\n'
    shown = subprocess.run(
        ["bash", "-c", script, "bash", "step", "0"], capture_output=True, text=True, check=True, timeout=10
    )
    assert shown.stdout == "a'; touch /tmp/owned; ' $(id)"


def test_the_digest_names_what_is_done_and_to_which_values():
    digests = {name: step.digest for name, step in STEPS.items()}
    assert len(set(digests.values())) == len(digests)
    assert steps.base(machine="server-a-1").digest == digests["base"]
    assert steps.base(machine="server-b-1").digest != digests["base"]


def test_the_first_server_initialises_and_nobody_else(home):
    first, joiner = config(STEPS["init server"]), config(STEPS["join server"])
    assert first["cluster-init"] is True
    assert "cluster-init" not in joiner
    assert "PEERS=10.0.0.12\n" in STEPS["init server"].text
    assert "PEERS='10.0.0.12 10.0.0.11'\n" in STEPS["join server"].text


def test_servers_agree_on_what_k3s_wants_them_to_agree_on(home):
    shared = ("cluster-cidr", "service-cidr", "cluster-dns", "disable", "secrets-encryption")
    first, joiner = config(STEPS["init server"]), config(STEPS["join server"])
    assert {key: first[key] for key in shared} == {key: joiner[key] for key in shared}
    assert first["tls-san"] == ["10.0.0.11", "k8s.example.org"]


def test_a_member_registers_with_its_labels_and_taints(home):
    agent = config(STEPS["agent"])
    assert agent["node-label"] == ["disk=fast", "zone=b"]
    assert agent["node-taint"] == ["dedicated=db:NoSchedule"]
    assert agent["node-name"] == "server-a-1"
    assert agent["kubelet-arg"] == ["max-pods=50"]


@pytest.mark.parametrize("have", ["0", "262144", "1048576"])
def test_kernel_settings_last_whether_they_hold_already_or_not_and_no_floor_is_lowered(home, have: str):
    """A step that is run again after it was interrupted finds that all of them hold."""
    definitions = STEPS["base"].text.partition("\nmain; exit 0\n")[0]
    script = f"{definitions}\nsysctl() {{ echo {have}; }}\nlasting_sysctls\n"
    shown = subprocess.run(
        ["bash", "-c", script, "bash", "step", "0"], capture_output=True, text=True, check=True, timeout=10
    ).stdout
    exact = steps.KERNEL_EXACT | steps.NETWORK_SETTINGS
    floors = {name: floor for name, floor in steps.KERNEL_FLOORS.items() if int(have) <= floor}
    assert shown.splitlines() == [f"{name} = {value}" for name, value in (exact | floors).items()]


def test_the_downloads_path_has_its_plus_sign_encoded():
    assert "VERSION_PATH=v1.34.2%2Bk3s1" in STEPS["agent"].text


def test_secrets_travel_as_files_that_only_root_may_read():
    secrets = k3s.init_server_secrets(k3s.Late(), files={"service.key": "FIRST\nSECOND\n"}, token="t", agent_token="a")
    assert secrets == (
        "0600 2 /var/lib/rancher/k3s/server/tls/service.key\nFIRST\nSECOND\n"
        "0600 2 /etc/rancher/k3s/config.yaml.d/90-tokens.yaml\nagent-token: a\ntoken: t\n"
    )


def test_the_files_arrive_as_they_were_sent(tmp_path):
    """Told apart by the lines that each says to have, whatever is in them."""
    files = {"a.key": "one\n0600 1 /etc/passwd\n\n  two\\n %s\n", "b.crt": "three\n"}
    secrets = k3s.init_server_secrets(k3s.Late(), files=files, token="t", agent_token="a").replace(
        " /", f" {tmp_path}/"
    )
    body = source(LIBRARY, steps.SCRIPTS / "k3s.sh")
    script = f"NODE=a STEP=k3s\n{body}\nDIR={tmp_path}/none\ninstall_secrets\n"
    subprocess.run(["bash", "-c", script], input=secrets, text=True, check=True, timeout=10)
    for name, text in files.items():
        file = tmp_path / "var/lib/rancher/k3s/server/tls" / name
        assert file.read_text() == text.replace(" /", f" {tmp_path}/")
        assert file.stat().st_mode & 0o777 == 0o600


ADDRESSES = """\
2: eth0    inet 203.0.113.20/20 brd 203.0.113.255 scope global eth0
3: eth1    inet 10.20.0.11/24 brd 10.20.0.255 scope global eth1
"""


def configured(tmp_path, role, mode, endpoint, node_address="10.20.0.0/24", joined="10.20.0.12"):
    """The files that `configure` writes on a machine with a public and a private address."""
    body = source(LIBRARY, steps.SCRIPTS / "k3s.sh").replace("/etc/", f"{tmp_path}/etc/")
    script = (
        f"NODE=a STEP=k3s ROLE={role} MODE={mode} NODE_ADDRESS={node_address} CONFIG='node-name: a' ADMIN_GROUP=g\n"
        f"SERVICE=k3s\n{body}\nDIR={tmp_path}/k3s\nENDPOINT={endpoint} JOINED={joined}\n"
        "systemctl() { :; }\n"
        f'ip() {{ [ "${{@: -2:1}}" = to ] && grep -F "inet ${{NODE_ADDRESS%.0/*}}." <<<"$ADDRESSES"; }}\nconfigure\n'
    )
    subprocess.run(
        ["bash", "-euc", script], env={**os.environ, "ADDRESSES": ADDRESSES}, check=True, timeout=10, text=True
    )
    folder = tmp_path / "etc/rancher/k3s"
    late = folder / "config.yaml.d/80-endpoint.yaml"
    return yaml.safe_load((folder / "config.yaml").read_text()), yaml.safe_load(
        late.read_text()
    ) if late.exists() else None


def test_a_machine_takes_the_address_that_it_has_in_the_private_network(tmp_path):
    server, _ = configured(tmp_path, "server", "init", "")
    assert server["node-ip"] == server["advertise-address"] == "10.20.0.11"
    assert server["flannel-iface"] == "eth1"
    agent, _ = configured(tmp_path, "agent", "join", "")
    assert agent["node-ip"] == "10.20.0.11"
    assert "advertise-address" not in agent


@pytest.mark.parametrize(("role", "mode"), [("server", "init"), ("server", "join"), ("agent", "join")])
def test_whoever_joins_joins_where_the_cluster_answered(tmp_path, role, mode):
    wanted = None if mode == "init" else "https://10.20.0.12:6443"
    assert configured(tmp_path, role, mode, "")[0].get("server") == wanted


@pytest.mark.parametrize(("role", "expected"), [("server", {"tls-san+": ["203.0.113.9"]}), ("agent", None)])
def test_the_address_that_came_last_is_in_the_servers_certificates(tmp_path, role, expected):
    assert configured(tmp_path, role, "join", "203.0.113.9")[1] == expected


CA = "-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n"
FOREIGN = CA.replace("ours", "theirs")
PAGE = "<html>no server is available</html>\n"
NOBODY = None


def looked_for(tmp_path, mode, answers, role="server", endpoint=""):
    """A step's look for the cluster, where `answers` are what the addresses give for /cacerts, round by round."""
    for address, rounds in answers.items():
        for number, answer in enumerate(rounds):
            if answer is not None:
                (tmp_path / f"{address}.{number}").write_text(answer)
    script = (
        f"NODE=server-a-2 STEP=k3s ROLE={role} MODE={mode} START_SECONDS=2 SERVICE=k3s PEERS={' '.join(answers)!r}\n"
        f"CA_SHA256={hashlib.sha256(CA.encode()).hexdigest()}\n"
        f"{source(LIBRARY, steps.SCRIPTS / 'k3s.sh')}\nDIR={tmp_path}/k3s ENDPOINT={endpoint}\n"
        # Each is asked once a round; the last answer stays.
        f"""curl() {{
          local address=${{*: -1}} count
          address=${{address#https://}} address=${{address%%:*}}
          count=$(cat {tmp_path}/$address.asked 2>/dev/null || echo 0)
          echo $((count + 1)) >{tmp_path}/$address.asked
          cat {tmp_path}/$address.$count 2>/dev/null
        }}\n"""
        "sleep() { command sleep 0.01; }\n"
        + ("refuse_second_cluster" if mode == "init" else "find_cluster")
        + '\necho "joined=$JOINED"\n'
    )
    return subprocess.run(
        ["bash", "-Eeuo", "pipefail", "-c", script], capture_output=True, text=True, check=False, timeout=20
    )


def test_a_machine_joins_the_first_address_at_which_the_cluster_answers(tmp_path):
    """Dead, and not yet there, are alike."""
    done = looked_for(tmp_path, "join", {"10.0.0.1": [NOBODY], "10.0.0.2": [PAGE], "10.0.0.3": [CA]})
    assert done.stdout == "joined=10.0.0.3\n", done.stderr


def test_a_load_balancer_that_has_no_server_yet_is_waited_for(tmp_path):
    done = looked_for(tmp_path, "join", {"10.0.0.1": [NOBODY, PAGE, CA]})
    assert done.stdout == "joined=10.0.0.1\n", done.stderr


def test_a_server_that_finds_nobody_to_join_says_how_a_lost_cluster_is_made_anew_and_an_agent_does_not(tmp_path):
    anew = "only if all of them are lost and it shall be made anew: set seedbed:cluster.init to server-a-2"
    for role in ("server", "agent"):
        done = looked_for(tmp_path, "join", {"10.0.0.1": [NOBODY], "10.0.0.2": [PAGE]}, role=role)
        assert done.returncode == 1
        assert "FAILED: no cluster of this identity answers at 10.0.0.1 10.0.0.2, within 2 s" in done.stderr
        assert (anew in done.stderr) == (role == "server")


@pytest.mark.parametrize("mode", ["init", "join"])
def test_another_cluster_at_an_address_of_the_settings_is_refused(tmp_path, mode):
    done = looked_for(tmp_path, mode, {"10.0.0.1": [NOBODY], "10.0.0.2": [FOREIGN]})
    assert done.returncode == 1
    assert "FAILED: a cluster with another CA answers at 10.0.0.2" in done.stderr
    assert "correct the addresses" in done.stderr


@pytest.mark.parametrize("rounds", [[CA], [NOBODY, NOBODY, CA]])
def test_a_cluster_that_answers_anywhere_is_not_made_once_more(tmp_path, rounds):
    done = looked_for(tmp_path, "init", {"10.0.0.1": [NOBODY] * 3, "10.0.0.2": rounds})
    assert done.returncode == 1
    assert "FAILED: a cluster of this identity already answers at 10.0.0.2" in done.stderr
    assert "next: set seedbed:cluster.init back to the server that made it: server-a-2 is to join it" in done.stderr


def test_a_cluster_that_answers_nowhere_is_made(tmp_path):
    done = looked_for(tmp_path, "init", {"10.0.0.1": [NOBODY], "10.0.0.2": [PAGE]})
    assert (done.stdout, done.returncode) == ("joined=\n", 0), done.stderr


@pytest.mark.parametrize(
    ("journal", "said", "next_", "ended"),
    [
        (
            "joining etcd cluster: etcdserver: unhealthy cluster",
            "the cluster takes no new server while one that it has is dead",
            "start that one again, or remove it first: ",
            ["start k3s", "disable --quiet --now k3s"],
        ),
        (
            "level=fatal msg=flag",
            "k3s did not start within 2 s",
            "the lines above say why",
            ["start k3s"],
        ),
    ],
)
def test_a_server_that_a_dead_one_keeps_out_says_so_and_tries_no_more(tmp_path, journal, said, next_, ended):
    script = (
        f"NODE=server-c-2 STEP=k3s ROLE=server SERVICE=k3s START_SECONDS=2\n{source(LIBRARY, steps.SCRIPTS / 'k3s.sh')}\n"
        f'systemctl() {{ echo "$*" >>{tmp_path}/asked; [ "$1" != start ]; }}\ntimeout() {{ shift; "$@"; }}\n'
        f"enable() {{ :; }}\njournalctl() {{ echo {journal!r}; }}\nstart\n"
    )
    done = subprocess.run(
        ["bash", "-Eeuo", "pipefail", "-c", script], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 1
    assert f"server-c-2 k3s: FAILED: {said}\n" in done.stderr
    assert f"server-c-2 k3s: next: {next_}" in done.stderr
    assert journal in done.stderr
    assert (tmp_path / "asked").read_text().splitlines() == ended


def test_what_is_known_late_travels_with_the_secrets_the_endpoint_first():
    late = k3s.Late(endpoint="203.0.113.9", access_key="ACCESS", secret_key="not-a-real-key")
    lines = k3s.join_server_secrets(late, token="t", agent_token="a").splitlines()
    assert lines[0] == "endpoint 203.0.113.9"
    assert lines[-3:] == [
        "0600 2 /etc/rancher/k3s/config.yaml.d/90-snapshots.yaml",
        "etcd-s3-access-key: ACCESS",
        "etcd-s3-secret-key: not-a-real-key",
    ]


def test_dockers_configuration_is_one_that_docker_reads():
    assert json.loads(json.dumps(steps.DAEMON_JSON))["log-driver"] == "local"


@pytest.mark.parametrize(("seconds", "attempts"), [(11, 10), (61, 20), (161, 40), (261, 60)])
def test_dials_are_counted_as_the_provider_spaces_them(seconds: int, attempts: int):
    """The pairs were measured on the official provider's source: research on pulumi-command 1.2.1, B1."""
    assert abs(dial_attempts(seconds) - attempts) <= 1
