import pytest
import yaml

from seedbed import UserError, identities, stackfile
from seedbed.commands import init
from seedbed.passphrase import VARIABLE, Crypter, WrongPassphraseError

PASSPHRASE = {VARIABLE: "of this test"}
PROD = """\
# three servers
config:
  seedbed:cluster: {init: server-a-1}  # the first
"""


@pytest.fixture(autouse=True)
def _one_identity(monkeypatch, identity):
    monkeypatch.setattr(init, "generate", lambda: identity)


@pytest.fixture
def root(tmp_path):
    (tmp_path / ".env.example").write_text("PULUMI_CONFIG_PASSPHRASE=known-to-all\n")
    (tmp_path / "Pulumi.prod.yaml").write_text(PROD)
    return tmp_path


def refused(root, match, environment=PASSPHRASE, stack="prod", error=UserError):
    """Runs init, which must refuse and leave the stack's file as it was."""
    path = root / f"Pulumi.{stack}.yaml"
    before = path.read_text() if path.exists() else None
    with pytest.raises(error, match=match):
        init.initialise(stack, environment, root)
    assert (path.read_text() if path.exists() else None) == before


def test_the_identity_is_stored_encrypted_and_reads_back(root, identity):
    init.initialise("prod", PASSPHRASE, root)
    text = (root / "Pulumi.prod.yaml").read_text()
    assert identity.server_token not in text
    assert "PRIVATE KEY" not in text
    assert identities.read(stackfile.load("prod", root), PASSPHRASE) == identity


def test_the_settings_and_their_comments_stay(root):
    init.initialise("prod", PASSPHRASE, root)
    text = (root / "Pulumi.prod.yaml").read_text()
    assert "# three servers\n" in text
    assert "  seedbed:cluster: {init: server-a-1}  # the first\n" in text
    assert sorted(yaml.safe_load(text)) == ["config", "encryptionsalt"]


def test_a_stack_that_has_no_file_gets_one(root, identity):
    init.initialise("new", PASSPHRASE, root)
    assert identities.read(stackfile.load("new", root), PASSPHRASE) == identity


def test_a_salt_that_is_there_is_kept(root):
    salt = Crypter.new(PASSPHRASE[VARIABLE]).salt
    (root / "Pulumi.prod.yaml").write_text(f"encryptionsalt: {salt}\n{PROD}")
    init.initialise("prod", PASSPHRASE, root)
    assert stackfile.load("prod", root).salt == salt


def test_an_identity_is_never_overwritten(root):
    init.initialise("prod", PASSPHRASE, root)
    refused(root, "not overwritten")


def test_another_passphrase_than_the_stacks_own_is_refused(root):
    salt = Crypter.new("the stack's own").salt
    (root / "Pulumi.prod.yaml").write_text(f"encryptionsalt: {salt}\n{PROD}")
    refused(root, "not the one this stack was made with", error=WrongPassphraseError)


@pytest.mark.parametrize(
    ("environment", "match"),
    [({}, "no passphrase"), ({VARIABLE: ""}, "is empty"), ({VARIABLE: "known-to-all"}, "publishes")],
)
def test_a_passphrase_that_protects_nothing_is_refused(root, environment, match):
    refused(root, match, environment)


def test_a_stack_on_the_lab_has_its_identity_from_the_lab(root):
    (root / "Pulumi.dev.yaml").write_text("config:\n  seedbed:identityFile: .lab/dev/identity.json\n")
    refused(root, "make up", stack="dev")


def test_another_secrets_provider_is_refused(root):
    (root / "Pulumi.prod.yaml").write_text("secretsprovider: awskms://key\n" + PROD)
    refused(root, "awskms", stack="prod")


def test_no_half_written_file_is_left(root):
    init.initialise("prod", PASSPHRASE, root)
    files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert files == [".env.example", "Pulumi.prod.yaml", "k8s/sealing/prod.pem"]


def test_the_public_certificate_is_written_into_the_stacks_own_tree(root, identity):
    with (root / "Pulumi.prod.yaml").open("a") as file:
        file.write("  seedbed:seed: {tree: elsewhere/k8s}\n")
    init.initialise("prod", PASSPHRASE, root)
    assert (root / "elsewhere/k8s/sealing/prod.pem").read_text() == identity.sealing_keys[0].crt


def test_what_to_do_next_names_the_public_key_and_no_secret(identity):
    text = init.next_steps("prod", identity, {})
    assert identity.operator_public_key in text
    assert "seedbed cloud-init prod MACHINE" in text
    assert identity.server_token not in text


def test_who_has_droplets_made_is_told_of_the_forge_and_not_of_keys_for_hosts(identity):
    text = init.next_steps("prod", identity, {}, makes_machines=True)
    assert "seedbed deploy-key prod" in text
    assert "cloud-init" not in text


def test_an_empty_store_is_not_taken_for_the_right_one(identity, tmp_path):
    text = init.next_steps("prod", identity, {"PULUMI_BACKEND_URL": f"file://{tmp_path}"})
    assert "mistyped" in text
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".pulumi").mkdir()
    (tmp_path / ".pulumi/meta.yaml").touch()
    assert "mistyped" not in init.next_steps("prod", identity, {"PULUMI_BACKEND_URL": f"file://{tmp_path}"})
