import io
import json
import sys
from types import SimpleNamespace

import pytest
import yaml

from lab.gitops.sealing import renew_tree, seal_tree
from seedbed import UserError, cli, passphrase, sealing, stackfile
from seedbed.commands import rotate
from seedbed.identities import read as read_identity
from stacks import identity as identities
from stacks.sealed_files import find
from stacks.sealing import Scope, newest, open_sealed, seal, unopenable
from tests.unit.sealing.conftest import key_pair
from tests.unit.seedbed.conftest import identity  # noqa: F401 - a fixture
from tools import files as files_module

PLACEHOLDER = """\
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: web, namespace: dev}
spec:
  encryptedData:
    word: ""  # not yet
"""


@pytest.fixture
def real(identity, old):  # noqa: F811
    """An identity whose sealing key is real."""
    return identity.model_copy(update={"sealing_keys": (old,)})


@pytest.fixture
def stack(tmp_path, monkeypatch, real, tree, old):
    """A stack on the lab: its identity in a file, its tree in k8s/."""
    monkeypatch.chdir(tmp_path)
    for name in ("root", "argocd", "sealed-secrets"):
        (tree / "base" / name).mkdir(parents=True)
        (tree / "base" / name / "kustomization.yaml").write_text("resources: []\n")
    (tmp_path / "identity.json").write_text(real.to_json())
    (tmp_path / "identity.json").chmod(0o600)
    config = {
        "seedbed:identityFile": "identity.json",
        "seedbed:cluster": {"init": "server-a-1"},
        "seedbed:network": {"machines": "10.77.0.0/24"},
        "seedbed:k3s": {"version": "v1.34.2+k3s1"},
        "seedbed:machines": {"server-a": {"role": "server", "address": "10.77.0.11"}},
        "seedbed:seed": {
            "repository": {
                "url": "git@git.example.org:x.git",
                "knownHosts": [f"git.example.org ssh-ed25519 {'A' * 68}"],
            },
            "environments": ["dev"],
        },
    }
    (tmp_path / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": config}))
    (tree / "sealing").mkdir()
    (tree / "sealing/prod.pem").write_text(old.crt)
    load = stackfile.load
    monkeypatch.setattr(stackfile, "load", lambda name: load(name, tmp_path))
    monkeypatch.setattr(identities, "_sealing_key", lambda after=None: key_pair("2023-01-01"))
    return load("prod", tmp_path)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line with bytes on standard input; gives back exit code, output and errors."""
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)

    def call(*arguments, stdin=b"", terminal=False):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin), isatty=lambda: terminal))
        code = cli.main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_secret_goes_in_and_a_sealed_one_comes_out(run, stack, secret, old):
    annotated = secret(namespace=None, annotations={"y": "1e3"}, stringData={"no": "hush"})
    given = yaml.safe_dump_all([secret(stringData={"word": "hush"}), annotated]).encode()
    code, out, _ = run("seal", "--stack", "prod", "--namespace", "dev", stdin=given)
    assert code == 0
    one, other = yaml.safe_load_all(out)
    assert open_sealed(one, [old]) == {"word": b"hush"}
    assert open_sealed(other, [old]) == {"no": b"hush"}
    assert "'y': '1e3'\n" in out


@pytest.mark.parametrize("field", ["name", "namespace"])
@pytest.mark.parametrize("empty", ["", None])
def test_an_option_stands_for_what_is_empty_in_the_secret(run, stack, secret, old, field, empty):
    given = secret()
    given["metadata"][field] = empty
    code, out, err = run("seal", "--stack", "prod", f"--{field}", "given", stdin=yaml.safe_dump(given).encode())
    assert code == 0, err
    made = yaml.safe_load(out)
    assert made["metadata"] == {**secret()["metadata"], field: "given"}
    assert open_sealed(made, [old]) == {"word": b"hush"}


def test_json_and_lists_are_taken_and_the_scope_is_the_options_or_the_secrets(run, stack, secret, old):
    wide = {"sealedsecrets.bitnami.com/cluster-wide": "true"}
    given = json.dumps({"kind": "List", "apiVersion": "v1", "items": [secret(annotations=wide)]}).encode()
    made = [
        yaml.safe_load(run("seal", "--cert", "k8s/sealing/prod.pem", *scope, stdin=given)[1])
        for scope in ([], ["--scope=strict"])
    ]
    assert made[0]["metadata"]["annotations"] == wide
    assert "annotations" not in made[1]["metadata"]
    assert all(open_sealed(one, [old]) == {"word": b"hush"} for one in made)


@pytest.mark.parametrize(
    ("arguments", "given", "match"),
    [
        (["--namespace", "other"], None, "metadata.namespace is 'dev', but --namespace says 'other'"),
        ([], b"", "standard input is empty"),
        ([], b"# hush\n", "only comments"),
        ([], b"a: [hush", "line 2, column 1: not YAML"),
        ([], b"hush", "line 1: not a manifest"),
        ([], b"\xff hush", "not UTF-8"),
        (["--into", "x.yaml"], b"hush", "--into and --entry belong together"),
        (["--into", "x.yaml", "--entry", "word"], b"hush", "x.yaml: no such SealedSecret"),
        (["--into", "x.yaml", "--entry", "word", "--scope", "strict"], b"hush", "give neither --cert nor --scope"),
    ],
)
def test_what_cannot_be_sealed_is_told_in_one_line_without_being_quoted(run, stack, secret, arguments, given, match):
    code, out, err = run(
        "seal", "--stack", "prod", *arguments, stdin=yaml.safe_dump(secret()).encode() if given is None else given
    )
    assert code == 1
    assert match in err
    assert "hush" not in out + err


def test_a_terminal_is_told_how_to_pipe(run, stack):
    code, _, err = run("seal", "--stack", "prod", terminal=True)
    assert code == 1
    assert "| seedbed seal" in err


def test_without_a_certificate_there_is_a_remedy_that_works(run, stack, secret, old, tree):
    (tree / "sealing/prod.pem").unlink()
    given = yaml.safe_dump(secret()).encode()
    code, _, err = run("seal", "--stack", "prod", stdin=given)
    assert code == 1
    assert "k8s/sealing/prod.pem does not exist; run `seedbed unseal-check prod --write-certificate`" in err
    assert run("unseal-check", "prod", "--write-certificate")[0] == 0
    assert run("seal", "--stack", "prod", stdin=given)[0] == 0


def test_the_remedy_of_a_value_that_is_not_sealed_yet_seals_it(run, stack, write, old, tree):
    file = write("apps/web/overlays/dev/a.yaml", PLACEHOLDER)
    code, out, _ = run("unseal-check", "prod")
    assert code == 1
    assert (
        "dev/web, entry word: not sealed yet; run: seedbed seal --stack prod --into k8s/apps/web/overlays/dev/a.yaml"
        in out
    )
    command = out.split("run: seedbed ")[1].split(" < ")[0].split()
    code, out, err = run(*command, stdin=b"hush\n")
    assert (code, out) == (0, "")
    assert "sealed word of dev/web" in err
    assert "ends with a line break" in err
    assert "  # not yet\n" in file.read_text()
    assert open_sealed(yaml.safe_load(file.read_text()), [old]) == {"word": b"hush\n"}


def test_which_sealed_secret_of_a_file_is_meant_has_to_be_clear(run, stack, write):
    write("apps/web/overlays/dev/a.yaml", f"{PLACEHOLDER}---\n{PLACEHOLDER.replace('name: web', 'name: api')}")
    into = ("seal", "--stack", "prod", "--into", "k8s/apps/web/overlays/dev/a.yaml", "--entry", "word")
    code, _, err = run(*into, stdin=b"hush")
    assert code == 1
    assert "There are dev/web, dev/api; give --name" in err
    assert run(*into, "--name", "api", stdin=b"hush")[0] == 0


def test_the_check_says_what_it_tried_and_shows_no_plaintext(run, stack, write, secret, old, stranger):
    write("apps/web/overlays/dev/a.yaml", seal(secret(stringData={"a": "hush", "b": "hush"}), old.crt, Scope.STRICT))
    code, out, err = run("unseal-check", "prod")
    assert (code, err) == (0, "")
    assert out == "k8s for dev: 1 SealedSecret with 2 values tried with 1 key: all open\n"
    write("apps/web/overlays/dev/b.yaml", seal(secret(), stranger.crt, Scope.STRICT))
    code, out, _ = run("unseal-check", "prod")
    assert code == 1
    assert "b.yaml: SealedSecret dev/web, entry word: sealed for" in out
    assert out.endswith("2 SealedSecrets with 3 values tried with 1 key: 1 problem\n")


def test_a_certificate_that_is_not_the_newest_keys_is_warned_of(real, old, new, stranger, stack, tree):
    file = tree / "sealing/prod.pem"
    both = real.model_copy(update={"sealing_keys": (old, new)})
    assert "the certificate of an older key" in sealing.stale_certificate(file, both, "prod")
    file.write_text(stranger.crt)
    assert "not of this identity" in sealing.stale_certificate(file, both, "prod")
    file.write_text(new.crt)
    assert sealing.stale_certificate(file, both, "prod") is None


def test_a_rotation_keeps_the_old_key_and_seals_everything_for_the_new_one(
    run, stack, write, secret, old, tree, tmp_path
):
    write("apps/web/overlays/dev/a.yaml", seal(secret(), old.crt, Scope.STRICT))
    other = write("apps/web/overlays/prod/a.yaml", seal(secret(), old.crt, Scope.STRICT)).read_text()
    code, out, _ = run("rotate", "sealing-key", "prod")
    assert code == 0
    assert "with the older ones it has 2" in out
    assert out.index("make up") > out.index("k8s/apps/web/overlays/dev/a.yaml")
    rotated = identities.Identity.from_file(tmp_path / "identity.json")
    assert rotated.sealing_keys[0] == old
    assert newest(rotated.sealing_keys) == rotated.sealing_keys[-1]
    assert (tree / "sealing/prod.pem").read_text() == rotated.sealing_keys[-1].crt
    assert (tmp_path / "identity.json").stat().st_mode & 0o777 == 0o600
    assert unopenable(tree, ["dev"], rotated.sealing_keys[-1:]) == []
    assert (tree / "apps/web/overlays/prod/a.yaml").read_text() == other
    assert rotated.server_token not in out
    assert "PRIVATE" not in out


def test_an_identity_in_the_stacks_yaml_is_replaced_there_and_stays_encrypted(run, stack, real, old, monkeypatch):
    monkeypatch.setattr(passphrase, "ROUNDS", 10)
    monkeypatch.setenv(passphrase.VARIABLE, "of this test")
    crypter = passphrase.Crypter.new("of this test")
    text = "# kept\n" + stack.path.read_text().replace("  seedbed:identityFile: identity.json\n", "")
    before = stackfile.with_identity(text, crypter.encrypt(real.to_json()), crypter.salt)
    stack.path.write_text(before)
    code, out, err = run("rotate", "sealing-key", "prod")
    assert (code, err) == (0, "")
    assert "pulumi up --stack prod" in out
    after = stackfile.load("prod")
    rotated = read_identity(after, {passphrase.VARIABLE: "of this test"})
    assert len(rotated.sealing_keys) == 2
    assert rotated.model_copy(update={"sealing_keys": (old,)}) == real
    text = stack.path.read_text()
    assert text.replace(after.sealed_identity, "") == before.replace(
        yaml.safe_load(before)["config"]["seedbed:identity"]["secure"], ""
    )


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_rotation_changes_nothing_where_one_value_does_not_open(run, stack, write, secret, old, stranger, tmp_path):
    write("apps/web/overlays/dev/a.yaml", seal(secret(), old.crt, Scope.STRICT))
    write("apps/web/overlays/dev/b.yaml", seal(secret(), stranger.crt, Scope.STRICT))
    before = snapshot(tmp_path)
    code, _, err = run("rotate", "sealing-key", "prod")
    assert code == 1
    assert "b.yaml" in err
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("survives", range(5))
def test_a_rotation_that_is_interrupted_anywhere_leaves_everything_open_and_is_finished_by_the_next(
    run, stack, write, secret, old, tree, tmp_path, monkeypatch, survives
):
    for name in "abc":
        write(f"apps/web/overlays/dev/{name}.yaml", seal(secret(), old.crt, Scope.STRICT))
    names = set(snapshot(tmp_path))
    moves = iter(range(survives))
    replace = files_module.Path.replace

    def fails_later(self, target):
        if next(moves, None) is None:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(files_module.Path, "replace", fails_later)
        assert run("rotate", "sealing-key", "prod")[0] == cli.INTERRUPTED
    assert set(snapshot(tmp_path)) == names
    keys = identities.Identity.from_file(tmp_path / "identity.json").sealing_keys
    assert len(keys) == (2 if survives else 1)
    assert unopenable(tree, ["dev"], keys) == []
    _, out, _ = run("rotate", "sealing-key", "prod")
    assert ("An earlier rotation" in out) is (survives > 0)
    keys = identities.Identity.from_file(tmp_path / "identity.json").sealing_keys
    assert len(keys) == 2
    assert unopenable(tree, ["dev"], keys[-1:]) == []
    assert (tree / "sealing/prod.pem").read_text() == keys[-1].crt


def test_a_stack_without_a_seed_has_nothing_to_check(stack):
    text = yaml.safe_load(stack.path.read_text())
    text["config"].pop("seedbed:seed")
    stack.path.write_text(yaml.safe_dump(text))
    with pytest.raises(UserError, match="has no seedbed:seed"):
        sealing.seed_of(stack)


def test_the_lab_seals_a_random_value_once_and_for_a_new_key_again(tree, write, real, old, new, tmp_path):
    file = write("apps/web/overlays/dev/a.yaml", PLACEHOLDER)
    before = tmp_path / "before"
    seal_tree(tree, "lab", ["dev"], real, before)
    sealed = file.read_text()
    (found,) = find(tree, ["dev"])
    value = open_sealed(found.manifest, [old])["word"]
    assert len(value) == 32
    assert (tree / "sealing/lab.pem").read_text() == old.crt
    tree.rename(before)
    write("apps/web/overlays/dev/a.yaml", PLACEHOLDER)
    seal_tree(tree, "lab", ["dev"], real, before)
    assert file.read_text() == sealed
    rotated = real.model_copy(update={"sealing_keys": (old, new)})
    seal_tree(tree, "lab", ["dev"], rotated, before)
    assert file.read_text() == sealed, "what is published changes by its source only"
    renew_tree(tree, "lab", ["dev"], rotated)
    (found,) = find(tree, ["dev"])
    assert open_sealed(found.manifest, [new])["word"] == value
    assert (tree / "sealing/lab.pem").read_text() == new.crt
    renewed = file.read_text()
    renew_tree(tree, "lab", ["dev"], rotated)
    assert file.read_text() == renewed


def test_the_lab_renews_nothing_of_a_tree_that_does_not_open_and_leaves_the_telling_to_the_preview(
    tree, write, secret, real, old, new, stranger
):
    file = write("apps/web/overlays/dev/a.yaml", seal(secret(), old.crt, Scope.STRICT))
    write("apps/web/overlays/dev/b.yaml", seal(secret(), stranger.crt, Scope.STRICT))
    before = file.read_text()
    renew_tree(tree, "lab", ["dev"], real.model_copy(update={"sealing_keys": (old, new)}))
    assert file.read_text() == before


def test_what_to_do_after_a_rotation_comes_in_the_order_that_keeps_the_cluster_whole(stack, tmp_path):
    real = stackfile.StackFile("prod", tmp_path / "Pulumi.prod.yaml", {}, None, None)
    text = rotate.next_steps(real, rotate.Rotation(finished=False, files=[tmp_path / "k8s/a.yaml"], keys=2))
    assert text.index("pulumi up") < text.index("commit Pulumi.prod.yaml, k8s/sealing/prod.pem")
    assert "  k8s/a.yaml\n" in text
