"""What is sealed here, kubeseal opens, and the other way round: the real one, of the version that the controller has."""

import base64
import io
import subprocess
from types import SimpleNamespace

import pytest
import yaml

from lab.gitops.programs import SEALED_SECRETS_VERSION, kubeseal
from seedbed import cli
from stacks.identity import _sealing_key
from stacks.resealing import reseal
from stacks.sealing import Scope, SealingError, certificate_of, newest, open_sealed, seal
from tools.files import write_all
from tools.progress import Progress


@pytest.fixture(scope="module")
def program():
    return kubeseal(Progress())


@pytest.fixture(scope="module")
def key():
    return _sealing_key()


@pytest.fixture
def run(program, key, tmp_path):
    """Runs kubeseal with the key and its certificate in files; text in, YAML out."""
    (tmp_path / "key.pem").write_text(key.key)
    (tmp_path / "cert.pem").write_text(key.crt)

    def call(given, *arguments):
        argv = [str(program), "-o", "yaml", *arguments]
        done = subprocess.run(
            argv,
            cwd=tmp_path,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"HOME": str(tmp_path)},
        )
        return done.returncode, done.stdout, done.stderr

    return call


def manifest(**metadata):
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "web",
            "namespace": "dev",
            "labels": {"app": "web", "y": "1e3"},
            "annotations": {"n": "0x1", "kubectl.kubernetes.io/last-applied-configuration": "a copy"},
            "uid": "f3f1e5ba",
            "resourceVersion": "7",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}],
            **metadata,
        },
        "type": "example.org/kind",
        "immutable": True,
        "data": {"binary": "AAECAwQFBgcICQoLDA0ODw==", "both": "bG9zdA==", "empty": ""},
        "stringData": {"both": "kept", "y": "yes\n"},
    }


EXPECTED = {"binary": bytes(range(16)), "both": b"kept", "empty": b"", "y": b"yes\n"}


def quoted(document):
    """YAML whose texts Go reads as texts too."""
    return yaml.safe_dump(document, default_style='"')


def without_values(sealed):
    """A SealedSecret with the names of its entries only, and without what kubeseal writes though it is empty."""
    sealed["spec"]["encryptedData"] = sorted(sealed["spec"]["encryptedData"])
    for metadata in (sealed["metadata"], sealed["spec"]["template"]["metadata"]):
        if metadata.get("creationTimestamp", "") is None:
            del metadata["creationTimestamp"]
    return sealed


def test_it_is_the_version_of_the_controller(run):
    assert run("", "--version")[1].split()[-1] == SEALED_SECRETS_VERSION.removeprefix("v")


@pytest.mark.parametrize("scope", Scope)
def test_what_kubeseal_seals_opens_here_and_ours_looks_the_same(run, key, scope):
    code, out, err = run(quoted(manifest()), "--cert", "cert.pem", "--scope", str(scope))
    assert code == 0, err
    theirs = yaml.safe_load(out)
    assert open_sealed(theirs, [key]) == EXPECTED
    assert without_values(theirs) == without_values(seal(manifest(), key.crt, scope))


@pytest.mark.parametrize("scope", Scope)
def test_what_is_sealed_here_kubeseal_opens(run, capsys, monkeypatch, tmp_path, scope):
    given = SimpleNamespace(buffer=io.BytesIO(quoted(manifest()).encode()), isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", given)
    assert cli.main(["seal", "--cert", str(tmp_path / "cert.pem"), "--scope", str(scope)]) == 0
    code, out, err = run(capsys.readouterr().out, "--recovery-unseal", "--recovery-private-key", "key.pem")
    assert code == 0, err
    secret = yaml.safe_load(out)
    assert {entry: base64.b64decode(value or "") for entry, value in secret["data"].items()} == EXPECTED
    assert secret["metadata"]["labels"] == {"app": "web", "y": "1e3"}
    assert secret["metadata"]["annotations"]["n"] == "0x1"
    assert (secret["type"], secret["immutable"]) == ("example.org/kind", True)


def test_what_was_sealed_again_for_another_key_kubeseal_opens(run, key, tmp_path):
    other = _sealing_key(after=certificate_of(key.crt).not_valid_before_utc)
    assert newest([other, key]) == other
    file = tmp_path / "k8s/base/x/a.yaml"
    write_all({file: run(quoted(manifest()), "--cert", "cert.pem")[1]})
    assert run(file.read_text(), "--recovery-unseal", "--recovery-private-key", "key.pem")[0] == 0
    write_all(reseal(tmp_path / "k8s", [], [key, other], other, "prod"))
    assert run(file.read_text(), "--recovery-unseal", "--recovery-private-key", "key.pem")[0] != 0
    write_all({tmp_path / "other.pem": other.key})
    code, out, err = run(file.read_text(), "--recovery-unseal", "--recovery-private-key", "other.pem")
    assert code == 0, err
    assert base64.b64decode(yaml.safe_load(out)["data"]["both"]) == b"kept"


@pytest.mark.parametrize("scope", [Scope.STRICT, Scope.NAMESPACE_WIDE])
def test_kubeseal_refuses_what_is_refused_here(run, key, scope):
    made = seal(manifest(), key.crt, scope)
    made["metadata"]["namespace"] = "other"
    with pytest.raises(SealingError, match="for another"):
        open_sealed(made, [key])
    code, _, err = run(quoted(made), "--recovery-unseal", "--recovery-private-key", "key.pem")
    assert code != 0
    assert "no key could decrypt secret" in err
