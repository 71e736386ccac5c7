import base64
import json

import pytest

from seedbed import leaks
from stacks.identity import Identity, KeyPair
from tests.lab import secret_search

ENVIRONMENT = {
    "PULUMI_CONFIG_PASSPHRASE": "correct horse battery",
    "DIGITALOCEAN_TOKEN": "dop_v1_0123456789",
    "PATH": "/bin:/usr",
}


PEM = "\n".join(
    ["-----BEGIN RSA PRIVATE KEY-----", *(f"line {i} of the sealing key".ljust(64, "=") for i in range(9)), "-----END"]
)


@pytest.fixture(scope="module")
def identity(identity: Identity) -> Identity:
    return identity.model_copy(update={"sealing_keys": (KeyPair(crt="a certificate, which is public", key=PEM),)})


@pytest.fixture(scope="module")
def secrets(identity: Identity) -> dict[str, str]:
    return leaks.patterns(identity, ["server-a-1"], ENVIRONMENT)


def test_every_secret_of_a_stack_is_found_in_clear(identity, secrets):
    every = {
        identity.operator_key,
        identity.operator_key_pkcs8,
        identity.admin.key,
        identity.host_key_seed,
        identity.server_token,
        identity.agent_token,
        identity.deploy_key(1).private,
        identity.host_key("server-a-1").private,
        PEM,
        *(text for name, text in identity.files.items() if name.endswith(".key")),
        *(ENVIRONMENT[name] for name in ("PULUMI_CONFIG_PASSPHRASE", "DIGITALOCEAN_TOKEN")),
    }
    for secret in every:
        assert leaks.found(f"before {secret} after", secrets)
        assert leaks.found("\\n".join(secret.splitlines()), secrets), "as JSON has it"


@pytest.mark.parametrize("before", ["", "a", "ab"])
def test_a_secret_inside_base64_is_found_wherever_it_stands(identity, secrets, before):
    for secret in (identity.server_token, identity.admin.key, identity.operator_key_pkcs8):
        assert leaks.found(base64.b64encode(f"{before}{secret}".encode()).decode(), secrets)


def test_every_deploy_key_up_to_the_one_in_use_is_found(identity):
    known = leaks.patterns(identity, [], {}, deploy_key=3)
    for number in (1, 2, 3):
        assert leaks.found(identity.deploy_key(number).private, known) == [f"deploy key {number}"]
    far = leaks.patterns(identity, [], {}, deploy_key=2_000_000_000)
    assert leaks.found(identity.deploy_key(2_000_000_000).private, far) == ["deploy key 2000000000"]


def test_a_passphrase_is_found_wherever_pulumi_has_it_from(identity, tmp_path):
    file = tmp_path / "passphrase"
    file.write_text("correct horse battery\n")
    known = leaks.patterns(identity, [], {"PULUMI_CONFIG_PASSPHRASE_FILE": str(file)})
    assert leaks.found("correct horse battery", known) == ["PULUMI_CONFIG_PASSPHRASE"]
    assert leaks.found("correct horse battery", leaks.patterns(identity, [], {})) == []


@pytest.mark.parametrize(
    "secret", ['correct "horse" battery', r"correct\horse\battery", "korrekt größer Pferd", "correct <horse> & battery"]
)
def test_a_secret_is_found_as_json_writes_it(identity, secret):
    known = leaks.patterns(identity, [], {"PULUMI_CONFIG_PASSPHRASE": secret})
    engines = json.dumps(secret, ensure_ascii=False).translate({ord(one): f"\\u00{ord(one):x}" for one in "<>&"})
    for text in (secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), engines):
        assert leaks.found(f'{{"stdin": {text}}}', known) == ["PULUMI_CONFIG_PASSPHRASE"]
        inside = base64.b64encode(f'{{"stdin": {text}}}'.encode()).decode()
        assert leaks.found(inside, known) == ["PULUMI_CONFIG_PASSPHRASE"]


def test_what_is_public_is_no_secret(identity, secrets):
    public = [identity.files[name] for name in identity.files if name.endswith(".crt")]
    public += [identity.operator_public_key, identity.admin.crt, identity.host_key("server-a-1").public, "/bin:/usr"]
    public += [identity.host_key("server-a-1").private.splitlines()[0]]
    assert leaks.found("\n".join(public), secrets) == []


def test_the_passphrase_that_everybody_knows_is_none(identity):
    known = leaks.patterns(identity, [], ENVIRONMENT, public="correct horse battery")
    assert leaks.found("correct horse battery", known) == []
    assert leaks.found("dop_v1_0123456789", known) == ["DIGITALOCEAN_TOKEN"]


def test_a_line_with_a_secret_is_left_out_of_what_is_shown(identity, secrets):
    text = f"error: one\nerror: {identity.server_token} is wrong\nerror: three"
    assert leaks.without(text, secrets) == "error: one\n[a line with the servers' token]\nerror: three"


def test_the_search_of_the_tests_finds_no_kind_of_secret_that_this_one_does_not_know(identity, secrets):
    theirs = set(secret_search.patterns(identity, ["server-a-1"]).values())
    ours = set(secrets.values()) - set(ENVIRONMENT)
    assert len(ours) == len(theirs), (ours, theirs)
