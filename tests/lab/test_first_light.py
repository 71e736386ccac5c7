"""One stack from `seedbed up` on: what a person who was promised a cluster looks at. The tests share one server and one agent.

Its hosts begin bare, as those of `make up`.
"""

import base64
import datetime
import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from components.pave import steps
from components.remote.script import command, stdin
from lab.image import Image
from lab.internet import s3
from lab.internet.names import GIT, SELF
from tests.lab import secret_search
from tests.lab.changes import STEPS, previewed, whole_machine
from tests.lab.conftest import new_spec
from tests.lab.footprint import footprint, left_by
from tests.lab.host_snapshot import FILES, UNITS, snapshot
from tests.lab.secret_search import Patterns, ProcessWatch
from tests.lab.stacks import Stack
from tests.lab.workload import NODE_PORT, PROBE, Pod, assert_they_reach_each_other, deploy, probe

SERVER, AGENT, NEW = "server-a-1", "agent-a-1", "agent-b-1"
K3S_DIR = "/var/lib/rancher/k3s/server"


@dataclass(frozen=True)
class FirstLight:
    """A stack that was brought up once, and what was seen meanwhile."""

    stack: Stack
    before: set[str]
    console: str
    processes: str


@pytest.fixture(scope="module")
def first() -> Iterator[FirstLight]:
    before = footprint()
    stack = Stack.make(new_spec().subnet, image=Image.BARE)
    temporary = stack.root / "tmp"
    temporary.mkdir()
    try:
        with ProcessWatch() as watch, mock.patch.dict(os.environ, TMPDIR=str(temporary)):
            done = stack.up()
        yield FirstLight(stack, before, done.stdout + done.stderr, watch.text)
    finally:
        stack.remove()


@pytest.fixture(scope="module")
def stack(first: FirstLight) -> Stack:
    return first.stack


def kubectl_outside(stack: Stack, kubeconfig: Path, *arguments: str) -> str:
    """`kubectl` on this machine, as after `eval "$(make -s env)"`."""
    done = subprocess.run(
        ["kubectl", "--kubeconfig", str(kubeconfig), *arguments],
        env=stack.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def addresses(stack: Stack) -> list[str]:
    return [str(stack.subnet[11]), str(stack.subnet[21])]


def test_a_preview_after_up_finds_nothing_to_do(stack: Stack) -> None:
    done = stack.pulumi("preview", "--expect-no-changes", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "19 unchanged" in done.stdout


def test_up_once_more_changes_nothing(stack: Stack) -> None:
    before = others(stack)
    done = stack.up()
    assert "19 unchanged" in done.stdout
    assert others(stack) == before


def test_both_nodes_are_ready_with_the_role_and_version_asked_for(stack: Stack) -> None:
    nodes = json.loads(stack.kubectl("get", "nodes", "-o", "json"))["items"]
    seen = {
        node["metadata"]["name"]: (
            "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"],
            {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"],
            node["status"]["nodeInfo"]["kubeletVersion"],
            {a["type"]: a["address"] for a in node["status"]["addresses"]}["InternalIP"],
        )
        for node in nodes
    }
    version = yaml.safe_load(stack.settings_file.read_text())["config"]["seedbed:k3s"]["version"]
    server, agent = addresses(stack)
    assert seen == {SERVER: (True, "True", version, server), AGENT: (False, "True", version, agent)}


def test_the_printed_kubeconfig_opens_the_cluster_from_outside_for_some_hours(stack: Stack) -> None:
    printed = stack.seedbed("kubeconfig", stack.name).stdout
    user = json.loads(printed)["users"][0]["user"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
    [group] = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert group.value == "seedbed:admins"
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= datetime.timedelta(hours=12)

    file = stack.root / "tmp" / "kubeconfig"
    file.touch(0o600)
    file.write_text(printed)
    try:
        names = kubectl_outside(stack, file, "get", "nodes", "-o", "name").split()
        assert sorted(names) == [f"node/{AGENT}", f"node/{SERVER}"]
        assert kubectl_outside(stack, file, "auth", "can-i", "*", "*").strip() == "yes"
    finally:
        file.unlink()


@pytest.fixture(scope="module")
def pods(stack: Stack) -> list[Pod]:
    return deploy(stack)


def test_pods_on_both_hosts_reach_each_other_by_address_and_by_the_name_of_their_service(
    stack: Stack, pods: list[Pod]
) -> None:
    assert sorted(pod.host for pod in pods) == [AGENT, SERVER]
    assert_they_reach_each_other(stack, pods)
    service = json.loads(stack.kubectl("get", "service", "web", "-o", "json"))["spec"]["clusterIP"]
    for pod in pods:
        assert probe(stack, pod, "dns", "web.default.svc.cluster.local") == service
        assert "hello from web-" in probe(stack, pod, "get", "http://web/")


def test_a_pod_finds_the_labs_own_names(stack: Stack, pods: list[Pod]) -> None:
    for name in (GIT, SELF):
        assert probe(stack, pods[0], "dns", name) == str(stack.subnet[2])


def test_a_node_port_answers_outside_on_both_hosts(stack: Stack, pods: list[Pod]) -> None:
    for address in addresses(stack):
        answers = set()
        for _ in range(20):  # each call is a new connection, and kube-proxy gives it to either pod
            with urllib.request.urlopen(f"http://{address}:{NODE_PORT}/", timeout=10) as reply:
                answers.add(reply.read().decode().split()[2])
        assert answers == {pod.name for pod in pods}


def test_docker_runs_containers_on_hosts_without_harm_to_the_pods(stack: Stack, pods: list[Pod]) -> None:
    for host in (SERVER, AGENT):
        said = stack.lab.ssh(host, f"docker run --rm {PROBE} hello", timeout=90).stdout
        assert said.startswith("hello from ")
        # Its own network has a way out as well.
        out = f"docker run --rm {PROBE} get http://{stack.subnet[11]}:{NODE_PORT}/"
        assert stack.lab.ssh(host, out, timeout=90).stdout.startswith("hello from web-")
    assert_they_reach_each_other(stack, pods)


@pytest.mark.parametrize("host", [SERVER, AGENT])
def test_a_paved_host_has_no_failed_unit_and_nothing_upgrades_itself(stack: Stack, host: str) -> None:
    state = stack.lab.ssh(host, "systemctl is-system-running; systemctl --failed --no-legend --plain", check=False)
    assert state.stdout.split() == ["running"]
    timers = stack.lab.ssh(host, "systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer", check=False)
    assert timers.stdout.split() == ["masked", "masked"]
    held = stack.lab.ssh(host, "apt-config dump APT::Periodic").stdout
    assert 'APT::Periodic::Enable "0";' in held
    assert 'APT::Periodic::Unattended-Upgrade "0";' in held


@pytest.mark.parametrize("host", [SERVER, AGENT])
def test_a_paved_host_offers_no_login_by_password(stack: Stack, host: str) -> None:
    key_less = ["-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password,keyboard-interactive"]
    argv = stack.lab.ssh_command(host, "true")
    done = subprocess.run([argv[0], *key_less, *argv[1:]], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 255
    assert "Permission denied (publickey)" in done.stderr


@pytest.mark.parametrize("host", [SERVER, AGENT])
def test_a_paved_host_forwards_packets_and_leaves_the_outer_machines_swap_alone(stack: Stack, host: str) -> None:
    assert "-P FORWARD ACCEPT" in stack.lab.ssh(host, "iptables -S FORWARD").stdout.splitlines()
    assert stack.lab.ssh(host, "cat /proc/swaps").stdout == Path("/proc/swaps").read_text()
    packages = stack.lab.ssh(host, "dpkg-query -W -f '${db:Status-Status}\n' docker.io nfs-common open-iscsi").stdout
    assert packages.split() == ["installed"] * 3


@pytest.mark.parametrize(
    ("host", "ports"),
    # ssh, the kubelet; the API and etcd on servers. 6444 is the stand-in's API server, which k3s has on loopback only.
    [(SERVER, {22, 10250, 6443, 6444, 2379, 2380}), (AGENT, {22, 10250})],
)
def test_a_paved_host_listens_on_no_other_ports_than_its_role_needs(stack: Stack, host: str, ports: set[int]) -> None:
    sockets = [line.split()[3] for line in stack.lab.ssh(host, "ss -Hlnt").stdout.splitlines()]
    outside = {s.rpartition(":") for s in sockets if not s.startswith(("127.", "[::1]"))}
    assert {int(port) for _, _, port in outside} <= ports
    etcd = {address for address, _, port in outside if port in ("2379", "2380")}
    assert etcd <= {str(stack.subnet[11])}


@pytest.fixture(scope="module")
def secrets(stack: Stack) -> Patterns:
    store = s3.load(stack.lab_folder)
    assert store is not None
    more = {"key of the state store": store.secret_key, "passphrase": stack.passphrase}
    return secret_search.patterns(stack.identity, [SERVER, AGENT], **more)


def test_the_search_for_secrets_finds_them_plain_and_inside_base64(stack: Stack, secrets: Patterns) -> None:
    for text in (stack.identity.server_token, stack.identity.files["client-ca.key"]):
        for shift in range(3):
            assert secret_search.in_text(base64.b64encode(b"x" * shift + text.encode()).decode(), secrets)
        assert secret_search.in_text(f"before {text} after", secrets)


def test_no_secret_is_in_the_exported_state(stack: Stack, secrets: Patterns) -> None:
    exported = stack.pulumi("stack", "export").stdout
    assert f"{SERVER}-k3s" in exported
    assert secret_search.in_text(exported, secrets) == set()
    history = stack.pulumi("stack", "history", "--json").stdout
    assert json.loads(history)
    assert secret_search.in_text(history, secrets) == set()


def test_on_this_machine_only_the_labs_own_files_hold_secrets(stack: Stack, secrets: Patterns) -> None:
    """The clone with the lab's folder: state with its history and backups, logs of services and engine, temporary files."""
    folder = stack.lab_folder.relative_to(stack.root)
    assert list((stack.lab_folder / "s3").rglob("*.history*.json")), "there is no history to look into"
    # The disks of the hosts are looked at from inside.
    found = secret_search.in_folder(stack.root, secrets, skip=("upper", "data"))
    assert set(found) == {f"{folder}/identity.json", f"{folder}/operator_key", f"{folder}/s3.json"}
    assert {(stack.root / path).stat().st_mode & 0o777 for path in found} == {0o600}


def test_no_secret_was_on_the_console_or_in_a_command_line_during_up(first: FirstLight, secrets: Patterns) -> None:
    assert secret_search.in_text(first.console, secrets) == set()
    # It did look at the engine and at the steps on the hosts.
    assert re.search(rf"pulumi up --stack {first.stack.name}", first.processes)
    for step in ("base", "docker", "k3s"):
        assert re.search(rf"timeout --kill-after=10 \d+ bash -s {step} [0-9a-f]{{12}}", first.processes)
    assert secret_search.in_text(first.processes, secrets) == set()


@pytest.mark.parametrize("host", [SERVER, AGENT])
def test_no_secret_is_in_a_hosts_journal(stack: Stack, secrets: Patterns, host: str) -> None:
    journal = stack.lab.ssh(host, "journalctl --output export --no-pager", timeout=60).stdout
    assert "ssh.service" in journal
    assert secret_search.in_text(journal, secrets) == set()


# cloud-init keeps what a machine was told at its birth, its own host key; the token file is k3s' configuration.
_EVERY_HOST = {
    r"/etc/ssh/ssh_host_ed25519_key": "host key",
    r"/var/lib/cloud/seed/nocloud/user-data": "host key",
    r"/var/lib/cloud/instances/[^/]+/(obj\.pkl|cloud-config\.txt|user-data\.txt(\.i)?)": "host key",
    r"/etc/rancher/k3s/config\.yaml\.d/90-tokens\.yaml": "token",
}


def test_an_agent_holds_nothing_but_its_own_host_key_and_the_agents_token(stack: Stack, secrets: Patterns) -> None:
    found = secret_search.on_host(stack.lab, AGENT, secrets)
    assert set().union(*found.values()) == {f"host key of {AGENT}", "agent token"}
    assert_only_where_needed(stack, AGENT, found, _EVERY_HOST)


def test_a_server_holds_the_clusters_authorities_only_where_k3s_keeps_them(stack: Stack, secrets: Patterns) -> None:
    found = secret_search.on_host(stack.lab, SERVER, secrets)
    keys = {name for name in stack.identity.files if name.endswith(".key")}
    assert set().union(*found.values()) == {f"host key of {SERVER}", "agent token", "server token", *keys}
    authorities = {rf"{K3S_DIR}/tls/{re.escape(name)}": name for name in keys}
    tokens = {rf"{K3S_DIR}/(node-|agent-)?token": "token"}
    assert_only_where_needed(stack, SERVER, found, _EVERY_HOST | authorities | tokens)
    modes = stack.lab.ssh(SERVER, f"stat -c '%a %U' {K3S_DIR} {K3S_DIR}/tls").stdout.splitlines()
    assert modes == ["700 root"] * 2


def assert_only_where_needed(stack: Stack, host: str, found: dict[str, set[str]], allowed: dict[str, str]) -> None:
    for path, names in found.items():
        [kind] = [kind for pattern, kind in allowed.items() if re.fullmatch(pattern, path)] or [f"nothing in {path}"]
        assert all(kind in name for name in names), (path, names)
        mode = stack.lab.ssh(host, f"stat -c '%a %U' {path}").stdout.split()
        assert mode in (["600", "root"], ["400", "root"]), path


@pytest.mark.parametrize("host", [SERVER, AGENT])
def test_every_step_run_again_on_a_paved_host_changes_nothing(stack: Stack, pods: list[Pod], host: str) -> None:
    exported = json.loads(stack.pulumi("stack", "export", "--show-secrets").stdout)
    resources = {r["urn"].rpartition("::")[2]: r for r in exported["deployment"]["resources"] if r.get("inputs")}
    before = snapshot(stack.lab, host)
    for step in STEPS:
        sent, received = resources[f"{host}-{step}"]["inputs"], resources[f"{host}-{step}"]["outputs"]
        done = stack.lab.ssh(host, sent["create"], stdin=clear(sent["stdin"]), timeout=120)
        result = "ready" if step == "wait" else "already paved"
        told = json.loads(done.stdout)
        assert told == json.loads(clear(received["stdout"])) | {"result": result}
        assert (told["machine"], told["step"], "installed" in told) == (host, step, step != "wait")
    assert snapshot(stack.lab, host) == before


def clear(value: Any) -> str:
    """A text of the state with its secrets shown."""
    return str(json.loads(value["plaintext"]) if isinstance(value, dict) else value)


def test_a_host_that_was_paved_with_something_else_is_left_alone(stack: Stack) -> None:
    with mock.patch.object(steps, "DAEMON_JSON", {"log-driver": "none"}):
        other = steps.docker(machine=AGENT)
    before = snapshot(stack.lab, AGENT)
    run = command(other, user="root", timeout_seconds=60)
    done = stack.lab.ssh(AGENT, run, stdin=stdin(other), check=False)
    assert done.returncode == 1
    assert f"{AGENT} docker: FAILED: this machine was paved with something else before" in done.stderr
    assert "give the machine a new generation" in done.stderr
    assert snapshot(stack.lab, AGENT) == before


@dataclass(frozen=True)
class Change:
    """A change of the settings: what the preview of it listed, what `up` said, and the other hosts before and after."""

    previewed: dict[str, str]
    result: str
    before: dict[str, set[str]]
    after: dict[str, set[str]]


def others(stack: Stack) -> dict[str, set[str]]:
    return {host: snapshot(stack.lab, host, FILES, UNITS) for host in (SERVER, AGENT)}


@pytest.fixture(scope="module")
def added(stack: Stack) -> Change:
    def add(config: dict[str, Any]) -> None:
        config["seedbed:machines"]["agent-b"] = {
            "role": "agent",
            "address": str(stack.subnet[22]),
            "labels": {"seedbed.test/disk": "fast"},
            "taints": ["seedbed.test/only=web:NoSchedule"],
        }
        config["seedbed:k3s"]["kubeletArgs"] = ["max-pods=77"]

    before = others(stack)
    stack.change(add)
    preview = previewed(stack)
    stack.seedbed("lab", "--stack", stack.name, "up", timeout=180)
    result = stack.pulumi("up", "--yes", "--skip-preview").stdout
    return Change(preview, result, before, others(stack))


def test_adding_an_agent_shows_exactly_its_own_resources_and_touches_no_other_host(stack: Stack, added: Change) -> None:
    assert added.previewed == whole_machine(NEW, "create")
    assert re.search(r"\+ 8 created\s+19 unchanged", added.result), added.result[-1000:]
    assert added.after == added.before
    stack.pulumi("preview", "--expect-no-changes")


def test_a_new_node_has_the_labels_taints_and_kubelet_arguments_of_the_settings(stack: Stack, added: Change) -> None:
    node = json.loads(stack.kubectl("get", "node", NEW, "-o", "json"))
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"
    assert node["metadata"]["labels"]["seedbed.test/disk"] == "fast"
    assert {"key": "seedbed.test/only", "value": "web", "effect": "NoSchedule"} in node["spec"]["taints"]
    assert node["status"]["capacity"]["pods"] == "77"
    # A machine is paved once: what the others were paved with stays.
    old = json.loads(stack.kubectl("get", "node", AGENT, "-o", "json"))
    assert old["status"]["capacity"]["pods"] == "110"


def test_machines_are_as_they_were_paved_though_settings_have_changed_since(stack: Stack, added: Change) -> None:
    done = stack.seedbed("drift", stack.name, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split(maxsplit=1) for line in done.stdout.splitlines()[:3]] == [
        [name, "as it was paved"] for name in (AGENT, NEW, SERVER)
    ]
    assert f"No drift, but:\n  {AGENT} was paved with other settings: k3s.kubeletArgs" in done.stdout


def test_what_somebody_changed_by_hand_is_found_without_a_change_to_the_machine(stack: Stack, added: Change) -> None:
    """The machine leaves with the next test."""
    by_hand = "echo '{}' >/etc/docker/daemon.json; systemctl disable --quiet k3s-agent"
    stack.lab.ssh(NEW, by_hand)
    stack.kubectl("label", "node", NEW, "seedbed.test/disk=slow", "--overwrite")
    before = snapshot(stack.lab, NEW)
    done = stack.seedbed("drift", stack.name, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert [line.split(maxsplit=1) for line in done.stdout.splitlines()[:3]] == [
        [AGENT, "as it was paved"],
        [
            NEW,
            "drifted: /etc/docker/daemon.json changed; k3s-agent.service is not enabled but disabled; "
            "label seedbed.test/disk is slow, not fast",
        ],
        [SERVER, "as it was paved"],
    ]
    assert f"{NEW}: do not edit it, replace it: generation 2 for agent-b, and {NEW} on seedbed:retire" in done.stdout
    assert snapshot(stack.lab, NEW) == before


def test_taking_an_agent_out_shows_one_machines_removal_and_touches_no_other_host(stack: Stack, added: Change) -> None:
    """Its host stays, which is somebody else's."""

    def leave(config: dict[str, Any]) -> None:
        config["seedbed:machines"].pop("agent-b")
        config["seedbed:retire"] = [NEW]

    before = others(stack)
    stack.change(leave)
    assert previewed(stack) == whole_machine(NEW, "delete")
    result = stack.pulumi("up", "--yes", "--skip-preview").stdout
    assert re.search(r"- 8 deleted\s+19 unchanged", result), result[-1000:]
    assert stack.kubectl("get", "node", NEW, "--ignore-not-found") == ""
    assert set(json.loads(stack.pulumi("stack", "output", "nodes", "--json").stdout)) == {SERVER, AGENT}
    assert others(stack) == before
    stack.pulumi("preview", "--expect-no-changes")


def test_down_leaves_the_machine_as_it_was_before_up(first: FirstLight) -> None:
    assert left_by(first.stack.name, first.before, footprint())
    first.stack.seedbed("down", first.stack.name)
    assert left_by(first.stack.name, first.before, footprint()) == set()
    assert not first.stack.lab_folder.exists()
