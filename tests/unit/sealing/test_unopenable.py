import json

import pytest
import yaml

from stacks.sealing import Scope, seal, unopenable


def sealed(secret, key, scope=Scope.STRICT, **where):
    return seal(secret(**where), key.crt, scope)


def test_a_tree_whose_secrets_all_open_has_no_problem(secret, old, new, tree, write):
    write("base/argocd/a.yaml", sealed(secret, old, namespace="argocd"))
    write("observability/metrics/a.yml", sealed(secret, new, namespace="observability"))
    write("apps/web/overlays/dev/a.json", sealed(secret, old))
    assert unopenable(tree, ["dev"], [old, new]) == []


def test_without_sealed_secrets_no_key_is_needed_and_no_file_parsed(tree, write, old):
    write("base/argocd/a.yaml", "a: [unfinished\n# SealedSecret")
    write("base/sealed-secrets/crd.yaml", "kind: CustomResourceDefinition\nspec: {names: {kind: SealedSecret}}\n")
    write("apps/web/overlays/dev/page.txt", "kind: SealedSecret")
    assert unopenable(tree, ["dev"], [old.model_copy(update={"key": "none"})]) == []
    assert unopenable(tree / "missing", ["dev"], []) == []


def test_everything_that_would_not_open_is_named_with_its_remedy(secret, old, stranger, tree, write, monkeypatch):
    monkeypatch.chdir(tree.parent)
    write(
        "apps/web/overlays/dev/a.yaml",
        {"kind": "ConfigMap"},
        sealed(secret, stranger, stringData={"one": "1", "two": "2"}),
    )
    fresh = sealed(secret, old, name="fresh")
    fresh["spec"]["encryptedData"]["word"] = ""
    write("apps/web/overlays/dev/b.yaml", sealed(secret, old), fresh)
    into = "seedbed seal --stack prod --into k8s/apps/web/overlays/dev"
    start = "k8s/apps/web/overlays/dev"
    one, two, three = unopenable(tree, ["dev"], [old], stack="prod")
    assert one.startswith(
        f"{start}/a.yaml: SealedSecret dev/web, entry one: sealed for another name or namespace, or for a key"
    )
    assert one.endswith(f"run: {into}/a.yaml --entry one < FILE-WITH-THE-VALUE")
    assert "entry two" in two
    assert three == (
        f"{start}/b.yaml: SealedSecret dev/fresh, entry word: not sealed yet; "
        f"run: {into}/b.yaml --entry word < FILE-WITH-THE-VALUE"
    )


def test_overlays_of_other_environments_and_apps_without_one_are_not_looked_at(secret, stranger, old, tree, write):
    write("apps/web/overlays/prod/a.yaml", sealed(secret, stranger))
    write("apps/web/base/a.yaml", sealed(secret, stranger))
    assert unopenable(tree, ["dev"], [old]) == []


@pytest.mark.parametrize(
    ("kustomizations", "file"),
    [
        ({"overlays/dev": "components: [../../components/db]"}, "components/db/a.yaml"),
        ({"overlays/dev": "resources: [../../base]", "base": "components: [../db]"}, "db/a.yaml"),
        ({"overlays/dev": "resources: [../common]"}, "overlays/common/a.yaml"),
        ({"overlays/dev": "resources: [../common]", "overlays/common": "resources: [../../base]"}, "base/a.yaml"),
        ({"overlays/dev": "resources: [../../../../shared]"}, "../../shared/a.yaml"),
    ],
)
def test_what_an_overlays_kustomization_brings_from_elsewhere_is_looked_at(
    secret, old, stranger, tree, write, kustomizations, file
):
    for folder, text in kustomizations.items():
        write(f"apps/web/{folder}/kustomization.yaml", f"{text}\nnamePrefix: a-\n")
    write("apps/web/overlays/prod/kustomization.yaml", "resources: [../../other]\n")
    write("apps/web/other/a.yaml", sealed(secret, stranger))
    placed = sealed(secret, old, name="a-" * len(kustomizations) + "web")
    placed["metadata"]["name"] = "web"
    del placed["metadata"]["namespace"]
    write(f"apps/web/{file}", placed)
    assert unopenable(tree, ["dev"], [old]) == []
    (problem,) = unopenable(tree, ["dev"], [stranger])
    assert f"SealedSecret dev/{'a-' * len(kustomizations)}web" in problem


@pytest.mark.parametrize("file", ["base/a.yaml", "observability/a.yaml", "base/x/a.YAML", "base/x/y/a.Json"])
def test_a_sealed_secret_is_found_wherever_and_however_its_file_is_called(secret, stranger, old, tree, write, file):
    write(file, json.dumps(sealed(secret, stranger)))
    assert len(unopenable(tree, [], [old])) == 1
    assert unopenable(tree, [], [stranger]) == []


@pytest.mark.parametrize(
    "kustomization", ["resources: [., ../dev, https://example.org/x]", f"resources: [{'x' * 5000}, 1]", "resources: 1"]
)
def test_what_a_kustomization_names_in_vain_stops_nothing(secret, old, tree, write, kustomization):
    write("apps/web/overlays/dev/kustomization.yaml", f"{kustomization}\n")
    write("apps/web/overlays/dev/a.yaml", sealed(secret, old))
    assert unopenable(tree, ["dev"], [old]) == []


@pytest.mark.parametrize(
    "field", ["patches: [{path: patch.yaml, target: {name: web}}]", "patchesStrategicMerge: [patch.yaml]"]
)
def test_a_patch_that_changes_no_value_is_no_sealed_secret(secret, old, tree, write, field):
    write("apps/web/overlays/dev/kustomization.yaml", f"resources: [../../base]\n{field}\n")
    write("apps/web/base/a.yaml", sealed(secret, old))
    patch = {"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"name": "web"}}
    write("apps/web/overlays/dev/patch.yaml", {**patch, "metadata": {"name": "web", "labels": {"team": "a"}}})
    assert unopenable(tree, ["dev"], [old]) == []


def test_the_values_of_a_patch_have_to_open(secret, old, stranger, tree, write):
    write("apps/web/overlays/dev/kustomization.yaml", "patches: [{path: patch.yaml}]\n")
    write("apps/web/overlays/dev/patch.yaml", sealed(secret, stranger))
    (problem,) = unopenable(tree, ["dev"], [old])
    assert "patch.yaml: SealedSecret dev/web, entry word" in problem


def test_the_scope_is_the_one_that_kustomize_annotates(secret, old, tree, write):
    made = sealed(secret, old, Scope.CLUSTER_WIDE)
    del made["metadata"]["annotations"]
    write("base/x/a.yaml", made)
    assert len(unopenable(tree, [], [old])) == 1
    write("base/x/kustomization.yaml", 'commonAnnotations: {sealedsecrets.bitnami.com/cluster-wide: "true"}\n')
    assert unopenable(tree, [], [old]) == []


def test_the_items_of_a_list_are_looked_at_and_those_of_a_list_in_it(secret, old, stranger, tree, write):
    inner = {"apiVersion": "v1", "kind": "List", "items": [sealed(secret, stranger, name="inner")]}
    items = [sealed(secret, old), sealed(secret, stranger, name="other"), inner]
    write("base/x/a.yaml", {"apiVersion": "v1", "kind": "List", "items": items})
    assert [line.split()[2] for line in unopenable(tree, [], [old])] == ["dev/other,", "dev/inner,"]


def test_a_secret_without_a_namespace_is_in_the_one_that_its_application_deploys_to(secret, old, tree, write):
    made = sealed(secret, old)
    del made["metadata"]["namespace"]
    write("apps/web/overlays/dev/a.yaml", made)
    write("apps/web/overlays/prod/a.yaml", made)
    (problem,) = unopenable(tree, ["dev", "prod"], [old])
    assert "overlays/prod/a.yaml: SealedSecret prod/web" in problem


def test_what_an_apps_base_brings_has_to_open_in_every_environment(secret, old, tree, write):
    for environment in ("dev", "prod"):
        write(
            f"apps/web/overlays/{environment}/kustomization.yaml",
            f"namespace: {environment}\nresources: [../../base]\n",
        )
    write("apps/web/base/a.yaml", sealed(secret, old))
    write("apps/web/base/b.yaml", sealed(secret, old, Scope.CLUSTER_WIDE, name="wide", namespace=None))
    (problem,) = unopenable(tree, ["dev", "prod"], [old])
    assert "base/a.yaml: SealedSecret prod/web" in problem


def test_names_and_namespaces_are_those_that_kustomize_gives(secret, old, tree, write):
    made = sealed(secret, old, name="a-web-b", namespace="dev")
    made["metadata"] = {"name": "web", "namespace": "elsewhere"}
    write("apps/web/overlays/dev/inner/a.yaml", made)
    assert len(unopenable(tree, ["dev"], [old])) == 1
    write("apps/web/overlays/dev/inner/kustomization.yaml", "namePrefix: a-\nnamespace: inner\n")
    write("apps/web/overlays/dev/kustomization.yaml", "nameSuffix: -b\nnamespace: dev\n")
    assert unopenable(tree, ["dev"], [old]) == []


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda made: made["metadata"].pop("name"), "it has no name"),
        (lambda made: made["metadata"].pop("namespace"), "it has no namespace"),
        (lambda made: made["spec"].pop("encryptedData"), "nothing is below spec.encryptedData"),
        (lambda made: made["spec"].update(data="AgA="), "an old form that the controller refuses"),
    ],
)
def test_a_sealed_secret_that_lacks_something_is_named(secret, old, tree, write, change, match):
    made = sealed(secret, old)
    change(made)
    write("base/x/a.yaml", made)
    (problem,) = unopenable(tree, [], [old])
    assert match in problem


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("kind: SealedSecret\nx: [hidden\n", "line 3, column 1: not YAML"),
        ("kind: SealedSecret\nx: *hidden\n", "line 2, column 4: not YAML"),
        ("kind: SealedSecret\nx: !hidden 1\n", "line 2, column 4: not YAML"),
        ("- kind: SealedSecret\n- hidden\n", "line 1: not a manifest"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_not_quoted(tree, write, old, text, where):
    write("base/x/a.yaml", text)
    (problem,) = unopenable(tree, [], [old])
    assert where in problem
    assert "hidden" not in problem


def test_a_kustomization_that_cannot_be_read_is_named(secret, old, tree, write):
    write("base/x/a.yaml", sealed(secret, old))
    write("base/x/kustomization.yaml", "a: [\n")
    (problem,) = unopenable(tree, [], [old])
    assert "x/kustomization.yaml, line 2" in problem


def test_what_yaml_would_read_as_no_text_is_written_as_text(secret, old, tree, write):
    made = sealed(secret, old, stringData={"1e3": "a"})
    assert "1e3" in yaml.safe_load(write("base/x/a.yaml", made).read_text())["spec"]["encryptedData"]
    assert unopenable(tree, [], [old]) == []
