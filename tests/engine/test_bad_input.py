"""What a person gets wrong before any machine is touched: each is refused by the engine's own commands, with its place."""

import re
from dataclasses import replace

import pytest

from lab.internet import s3
from seedbed import stackfile
from seedbed.commands import doctor
from seedbed.findings import Status
from tests.engine.repository import IDENTITY_FILE, Repository
from tools import toolchain as tools_toolchain
from tools.env import Backend, exports
from tools.progress import Progress

PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE"
BACKEND = "PULUMI_BACKEND_URL"


@pytest.fixture
def repository(tmp_path, toolchain):
    """The program with good settings that are not written yet."""
    made = Repository(tmp_path, toolchain)
    yield made
    made.machines.close()


@pytest.fixture
def good(repository):
    """The program as it is after `make up`, but for its machines."""
    repository.write_identity()
    repository.write_settings()
    return repository


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real S3 server with an empty bucket."""
    folder = tmp_path_factory.mktemp("lab")
    yield s3.ensure(folder, "tbad", tools_toolchain.versitygw(Progress()))
    s3.stop(folder)


def test_up_names_every_mistake_of_the_settings_at_once_and_makes_nothing(repository):
    settings = repository.settings
    settings["machine"] = {}
    settings["cluster"]["init"] = ["server-a-1", "server-b-1"]
    settings["k3s"] = {"version": "v1.99.0+k3s1"}
    settings["ssh"]["port"] = "ssh"
    settings["machines"] |= {
        "server-b": {"role": "server", "address": "127.66.0.12", "hostKey": "ssh-rsa AAAA"},
        "agent-b": {"role": "agent", "address": "127.66.0.21"},
        "Agent_C": {"role": "agent", "address": "127.67.0.21"},
    }
    repository.write_settings()
    said = repository.refused("up", "--yes", "--skip-preview").text
    for expected in (
        "Pulumi.dev.yaml cannot be used, 9 problems:",
        'seedbed:machine: unknown key; did you mean "machines"?',
        "seedbed:cluster.init: must be the full name of exactly one server, such as server-a-1",
        "seedbed:ssh.port: should be a valid integer, not 'ssh'",
        "seedbed:k3s.version: v1.99.0+k3s1 has no checksum in components/versions.py; add it there",
        "2 servers (server-a, server-b); etcd survives no more losses with them than with 1, so make their number odd",
        "seedbed:machines.server-b.hostKey: must be `ssh-ed25519 AAAA…` without a comment",
        "seedbed:machines.agent-b.address: 127.66.0.21 is agent-a's already",
        "seedbed:machines.Agent_C: a machine's name has at most 40 lower-case letters, digits and inner hyphens",
        "seedbed:machines.Agent_C.address: 127.67.0.21 is outside seedbed:network.machines 127.66.0.0/24",
        f"{IDENTITY_FILE} does not exist; the lab makes it: run `seedbed lab up` (or `make up`)",
    ):
        assert expected in said
    assert {resource["type"] for resource in repository.engine.stack_export()["resources"]} == {"pulumi:pulumi:Stack"}


def test_a_stack_without_machines_without_identity_and_with_a_wrong_checksum_is_refused_at_once(repository):
    repository.settings["machines"] = {}
    repository.settings["k3s"]["sha256"] = {"amd64": "0" * 64}
    del repository.settings["identityFile"]
    repository.write_settings()
    said = repository.refused("preview").text
    assert "seedbed:machines: must name at least one server, as `server-a: {role: server, address: …}`" in said
    assert f"seedbed:k3s.sha256.amd64: {'0' * 64} is not what components/versions.py has for v1.34.2+k3s1" in said
    assert "stack dev has no identity; make one with `seedbed init dev`" in said


def test_an_identity_that_is_damaged_is_refused_without_being_shown(good):
    text = (good.root / IDENTITY_FILE).read_text()
    (good.root / IDENTITY_FILE).write_text(text[: len(text) // 2])
    said = good.refused("preview").text
    assert IDENTITY_FILE in said
    assert text[40:100] not in said


def test_a_machine_that_is_there_twice_is_refused_with_its_line(good):
    text = good.settings_file.read_text()
    good.settings_file.write_text(text.replace("    agent-a:\n", "    agent-a: {}\n    agent-a:\n"))
    said = good.refused("preview").text
    line = good.settings_file.read_text().splitlines().index("    agent-a:") + 1
    assert f'line {line}: mapping key "agent-a" already defined at line {line - 1}' in said


def test_a_passphrase_that_is_wrong_empty_or_missing_is_refused_and_doctor_says_which(good):
    for value, expected, remedy in (
        ("not the one", "incorrect passphrase", "is not the one this stack was made with"),
        ("", "incorrect passphrase", "is empty"),
        (None, "passphrase must be set with PULUMI_CONFIG_PASSPHRASE", "export PULUMI_CONFIG_PASSPHRASE"),
    ):
        good.engine.env.pop(PASSPHRASE, None)
        good.engine.env |= {} if value is None else {PASSPHRASE: value}
        assert expected in good.refused("preview").text
        assert remedy in _doctor(good)


def test_a_shell_without_the_environment_is_told_so_and_no_other_store_is_used(good):
    del good.engine.env[BACKEND]
    said = good.refused("preview").text
    assert "PULUMI_BACKEND_URL is not set" in said
    assert 'eval "$(make -s env)"' in said
    assert "PULUMI_BACKEND_URL is not set" in _doctor(good)


def test_a_bucket_that_does_not_exist_is_refused_and_not_made(good, server, tmp_path):
    for verb in (["preview"], ["up", "--yes"], ["stack", "init"]):
        _use(good, replace(server, bucket="seedbed-tbda"))
        said = good.refused(*verb).text
        assert "seedbed-tbda" in said or "NoSuchBucket" in said
        assert "NoSuchBucket" in said
    assert "'seedbed-tbda' does not exist" in _doctor(good)


def test_a_state_server_that_is_down_is_named_at_once(good):
    server = s3.S3("http://127.0.0.1:9", "A" * 20, "secret", "seedbed-tbad")
    _use(good, server)
    for verb in (["preview"], ["up", "--yes"]):
        # Bounded, or the harness would have to wait for retries: the limit is many times what it takes.
        said = good.engine.run(*verb, check=False, timeout=60).text
        assert "http://127.0.0.1:9/seedbed-tbad" in said
        assert "connection refused" in said
    assert "127.0.0.1:9" in _doctor(good)


def test_a_cli_that_is_too_old_is_refused_with_the_range(good):
    file = good.root / "Pulumi.yaml"
    wanted = ">=99.0.0 <100.0.0"
    file.write_text(re.sub(r"requiredPulumiVersion: .*", f'requiredPulumiVersion: "{wanted}"', file.read_text()))
    said = good.refused("preview").text
    assert f'does not satisfy the version range "{wanted}"' in said
    assert good.engine.toolchain.version in said


def _use(repository: Repository, server: s3.S3) -> None:
    """As `eval "$(make -s env)"` would."""
    backend = Backend(server.backend_url(), server.access_key, server.secret_key)
    made = exports(repository.root, "dev", repository.engine.toolchain, backend, repository.engine.env)
    repository.engine.env |= {name: made[name] for name in made if name.startswith(("AWS_", BACKEND))}


def _doctor(repository: Repository) -> str:
    """What `seedbed doctor` says must be put right, in the same environment."""
    found = doctor.examine(stackfile.load("dev", repository.root), repository.engine.env)
    return "\n".join(f"{finding.title}\n{finding.remedy}" for finding in found if finding.status is Status.FAIL)
