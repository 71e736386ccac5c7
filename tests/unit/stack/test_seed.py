"""The seed as the program asks the engine for it: order, options, and what is trusted to whom."""

import base64

import pulumi
import pytest
import yaml

from components.seed.manifests import certificate_sha256, sealing_key_name
from stacks.identity import generate
from tests.unit.stack.conftest import SECRET, SIGNATURE
from tests.unit.stack.test_program import in_clear, secrets_of

IN_CLUSTER = "kubernetes:"


def last(urns):
    return {urn.split("::")[-1] for urn in urns}


@pytest.fixture
def seed(run):
    return run("existing").seed


def test_the_keys_are_there_before_the_controller_that_would_else_make_its_own(seed, identity):
    """In whatever order the engine works, it starts nothing before what it depends on."""
    key = sealing_key_name(identity.sealing_keys[0].crt)
    assert key in last(seed["seed"].request.dependencies)


def test_what_argocd_needs_to_read_git_is_there_before_the_root_and_the_root_before_the_wait(seed):
    needs = last(seed["root"].request.dependencies)
    assert {"repository", "known-hosts", "platform", "apps", "staging", "prod", seed["seed"].name} <= needs
    assert seed["seed"].name in last(seed["platform"].request.dependencies)
    assert "root" in last(seed["synced"].request.dependencies)


def test_planting_waits_for_every_node(run):
    program = run("existing")
    nodes = {f"{machine}-k3s" for machine in ("server-c-1", "agent-a-1", "agent-b-1")}
    assert nodes <= last(program.seed["seed"].request.dependencies)
    assert last(program.seed["cluster"].request.dependencies) == {"server-c-1-k3s"}


def test_everything_in_the_cluster_ends_with_it_and_asks_nothing_of_an_api_that_may_be_gone(run):
    program = run("existing")
    inside = [r for r in program.resources if r.type.startswith(IN_CLUSTER)]
    assert len(inside) >= 9
    for resource in inside:
        assert resource.request.deletedWith.endswith("pulumi:index:Stash::cluster-init"), resource.name
        assert not resource.request.retainOnDelete
    for command in program.seed.values():
        if command.type.startswith("command:"):
            assert "delete" not in command.inputs


def test_pulumi_keeps_only_what_git_cannot_tell(run, identity):
    kinds = sorted(r.type for r in run("existing").resources if r.type.startswith(IN_CLUSTER))
    assert kinds == [
        "kubernetes:argoproj.io/v1alpha1:AppProject",
        "kubernetes:argoproj.io/v1alpha1:AppProject",
        "kubernetes:argoproj.io/v1alpha1:Application",
        "kubernetes:core/v1:ConfigMap",
        "kubernetes:core/v1:Namespace",
        "kubernetes:core/v1:Namespace",
        "kubernetes:core/v1:Namespace",
        "kubernetes:core/v1:Secret",
        "kubernetes:core/v1:Secret",
    ]


def test_planting_is_an_event_of_the_cluster_and_not_of_the_manifests(run, tree):
    """A changed manifest is git's to bring; a cluster that is made anew is planted anew."""
    before = run("existing").seed
    file = tree / "base" / "argocd" / "argocd-cm.yaml"
    written = file.read_text()
    try:
        file.write_text(written + "# changed\n")
        after = run("existing").seed
    finally:
        file.write_text(written)
    assert after["seed"].name == before["seed"].name
    assert after["seed"].request.ignoreChanges == ["*"]

    def anew(config):
        config["seedbed:machines"]["server-b"]["generation"] = 2
        config["seedbed:cluster"]["init"] = "server-b-2"

    assert run("existing", anew).seed["seed"].name != before["seed"].name


def test_a_key_that_is_added_is_a_secret_more_and_the_controller_is_proven_to_use_it(run, identity):
    added = generate().sealing_keys[0]

    def rotate(config):
        config["seedbed:identity"]["sealingKeys"].append({"crt": added.crt, "key": added.key})

    before, after = run("existing").seed, run("existing", rotate).seed
    assert after.keys() - before.keys() == {sealing_key_name(added.crt)}
    assert after["seed-scripts"].name != before["seed-scripts"].name
    assert after["seed-scripts"].name in last(after["seed"].request.dependencies)
    assert after["seed"].name != before["seed"].name
    for unchanged in ("root", "synced"):
        assert after[unchanged].name == before[unchanged].name
    assert f"CERTIFICATE={certificate_sha256(added.crt)}\n" in after["seed"].inputs["stdin"]


@pytest.mark.parametrize("server", ["server-a", "server-b", "server-c"])
def test_nothing_of_the_seed_is_made_or_told_anew_when_a_server_is_replaced(run, server):
    """Neither the first one's, by which it was planted, nor another's."""

    def bump(config):
        config["seedbed:machines"][server]["generation"] = 2

    def told(program):
        return {r.name: None if frozen(r) else r.inputs for r in parts(program)}

    def frozen(resource):
        return resource.request.ignoreChanges == ["*"]

    def parts(program):
        return [r for r in program.resources if "seedbed:seed:Seed" in r.request.parent]

    assert told(run("existing", bump)) == told(run("existing"))


def test_the_steps_of_a_later_event_run_on_a_server_that_is_there_and_has_joined(run):
    def later(config):
        config["seedbed:machines"]["server-a"]["generation"] = 2
        config["seedbed:seed"]["repository"]["revision"] = "next"

    program = run("existing", later)
    for name in ("seed-scripts", "synced"):
        step = program.seed[name]
        assert step.inputs["connection"]["value"]["host"] == "10.20.0.11"
        assert "server-c-1-k3s" in last(program.seed["seed-scripts"].request.dependencies)
    assert "server-a-2-k3s" in last(program.step("server-b-1", "k3s").request.dependencies)
    assert "NODE=server-a-2\n" in program.seed["synced"].inputs["stdin"]


def test_what_argocd_is_told_anew_is_waited_for_anew(run):
    before = run("existing").seed

    def change(key, value):
        def apply(config):
            config["seedbed:seed"]["repository"][key] = value

        return apply

    host = "git.example.org ssh-ed25519 BBBB"
    for key, value in (("revision", "next"), ("path", "other"), ("knownHosts", [host]), ("deployKey", 2)):
        after = run("existing", change(key, value)).seed
        assert after["synced"].name != before["synced"].name, key
        assert after["seed"].name == before["seed"].name, key


def test_the_repository_is_read_with_the_key_that_the_settings_number(run, identity):
    def secret(seed):
        data = seed["repository"].inputs["data"]
        assert data[SIGNATURE] == SECRET
        return base64.b64decode(data["value"]["sshPrivateKey"]).decode()

    def second(config):
        config["seedbed:seed"]["repository"]["deployKey"] = 2

    assert secret(run("existing").seed) == identity.deploy_key(1).private
    assert secret(run("existing", second).seed) == identity.deploy_key(2).private


def test_another_address_or_certificate_does_not_replace_what_is_in_the_cluster(run, seed):
    def move(config):
        config["seedbed:cluster"]["endpoint"] = "other.example.org"

    provider, moved = seed["cluster"].inputs, run("existing", move).seed["cluster"].inputs
    assert moved["kubeconfig"] != provider["kubeconfig"]
    assert moved["clusterIdentifier"] == provider["clusterIdentifier"]
    assert provider["kubeconfig"][SIGNATURE] == SECRET
    assert provider["upsertExistingObjects"] == "true"


def test_another_deploy_key_or_known_host_is_written_over_the_old_one(seed):
    """The provider's own way is to delete the object first, and ArgoCD would be without it."""
    provider = seed["cluster"].inputs
    assert provider["enableSecretMutable"] == provider["enableConfigMapMutable"] == "true"


def test_no_key_of_the_seed_is_in_clear(run, identity):
    program = run("existing")
    clear = "".join(in_clear(r.inputs) for r in program.resources)
    secrets = [*secrets_of(identity), ("deploy key", identity.deploy_key(1).private)]
    for name, secret in secrets:
        encoded = base64.b64encode(secret.encode()).decode()
        assert encoded[:64] not in clear, name
        for line in secret.strip().splitlines():
            assert line.startswith("-----") or line not in clear, name


def test_a_stack_without_the_section_has_no_seed(run):
    program = run("existing", lambda config: config.pop("seedbed:seed"))
    assert program.seed == {}
    assert not [r for r in program.resources if "kubernetes" in r.type]


def test_a_secret_that_no_key_of_the_identity_opens_is_named_before_anything_is_registered(run, tree, tmp_path):
    for part in ("base", "apps"):
        (tmp_path / part).mkdir()
    app = tmp_path / "apps" / "web" / "overlays" / "prod"
    app.mkdir(parents=True)
    for piece in ("argocd", "root", "sealed-secrets"):
        (tmp_path / "base" / piece).mkdir()
        (tmp_path / "base" / piece / "kustomization.yaml").touch()
    sealed = {
        "apiVersion": "bitnami.com/v1alpha1",
        "kind": "SealedSecret",
        "metadata": {"name": "greeting", "namespace": "prod"},
        "spec": {"encryptedData": {"text": ""}},
    }
    (app / "sealed-secret.yaml").write_text(yaml.safe_dump(sealed))

    def elsewhere(config):
        config["seedbed:seed"] |= {"tree": str(tmp_path), "environments": ["prod"]}

    with pytest.raises(
        pulumi.RunError, match=r"sealed-secret\.yaml: SealedSecret prod/greeting, entry text: not sealed yet"
    ):
        run("existing", elsewhere)
