import pytest
import yaml

from stacks.resealing import fill, reseal, seal_entry
from stacks.sealed_files import find
from stacks.sealing import Scope, SealingError, open_sealed, seal, unopenable
from tools.files import write_all

COMMENTED = """\
# above
apiVersion: v1
kind: List   # of two
items:
- apiVersion: bitnami.com/v1alpha1
  kind: SealedSecret
  metadata: {{name: web, namespace: dev, annotations: {{sealedsecrets.bitnami.com/cluster-wide: "true"}}}}
  spec:
    encryptedData:
      plain: {plain}   # kept: 'as it is'
      'single': '{single}'
      double:   "{double}" # too
      folded: >-  # head

          {folded}

      # between
      block: |
        {block}
    template: {{data: {{greeting: "hi {{{{ .plain }}}}"}}}}
---
# and a document of its own
{{"kind": "SealedSecret", "apiVersion": "bitnami.com/v1alpha1", "metadata": {{"name": "b", "namespace": "dev"}},
 "spec": {{"encryptedData": {{"flow": "{flow}"}}}}}}
# end, without a line break"""


def commented(old):
    entries = ("plain", "single", "double", "folded", "block")
    wide = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "web"}, "stringData": {e: e for e in entries}}
    strict = {**wide, "metadata": {"name": "b", "namespace": "dev"}, "stringData": {"flow": "flow"}}
    values = seal(wide, old.crt, Scope.CLUSTER_WIDE)["spec"]["encryptedData"]
    return values | seal(strict, old.crt, Scope.STRICT)["spec"]["encryptedData"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_rotation_changes_the_values_and_not_a_character_else(old, new, tree, write, line_end, start):
    values = commented(old)
    file = write("base/x/a.yaml", start + COMMENTED.format(**values).replace("\n", line_end))
    texts = reseal(tree, [], [old, new], new, "prod")
    assert list(texts) == [file]
    write_all(texts)
    assert unopenable(tree, [], [new]) == []
    assert len(unopenable(tree, [], [old])) == 6
    wide, strict = (found.manifest for found in find(tree, []))
    after = wide["spec"]["encryptedData"] | strict["spec"]["encryptedData"]
    assert {
        entry: value.decode() for entry, value in (open_sealed(wide, [new]) | open_sealed(strict, [new])).items()
    } == {entry: entry for entry in values}
    trimmed = {entry: text.strip() for entry, text in after.items()}
    assert file.read_bytes().decode() == start + COMMENTED.format(**trimmed).replace("\n", line_end)


def test_nothing_is_given_back_where_one_value_does_not_open(secret, old, new, stranger, tree, write):
    write("base/x/a.yaml", seal(secret(), old.crt, Scope.STRICT))
    write("base/x/b.yaml", seal(secret(), stranger.crt, Scope.STRICT))
    with pytest.raises(
        SealingError, match=r"nothing was changed:\n .*b\.yaml: SealedSecret dev/web, entry word"
    ) as error:
        reseal(tree, [], [old, new], new, "prod")
    assert "hush" not in str(error.value)


def test_what_an_apps_base_brings_is_sealed_once_and_opens_in_all_environments(secret, old, new, tree, write):
    for environment in ("dev", "prod"):
        write(f"apps/web/overlays/{environment}/kustomization.yaml", f"namespace: {environment}\n")
    write("apps/web/base/a.yaml", seal(secret(namespace=None), old.crt, Scope.CLUSTER_WIDE))
    write_all(reseal(tree, ["dev", "prod"], [old, new], new, "prod"))
    assert unopenable(tree, ["dev", "prod"], [new]) == []


def test_values_that_hang_together_are_refused_rather_than_changed_wrongly(secret, old, new, tree, write):
    text = yaml.safe_dump(seal(secret(), old.crt, Scope.STRICT), width=10_000, sort_keys=False)
    text = text.replace("    word: ", "    word: &shared ")
    write("base/x/a.yaml", text)
    assert "word: &shared " in next(iter(reseal(tree, [], [old, new], new, "prod").values()))
    write("base/x/a.yaml", text.replace("  template:", "    other: *shared\n  template:"))
    with pytest.raises(SealingError, match=r"a\.yaml: its values cannot be changed in their places"):
        reseal(tree, [], [old, new], new, "prod")


UNSEALED = """\
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {{name: web, namespace: dev}}
spec:
  encryptedData:
    quoted: ""  # first
    bare:       # second
    null: null
    sealed: {sealed}
"""


@pytest.fixture
def unsealed(secret, old):
    made = seal(secret(stringData={"sealed": "before"}), old.crt, Scope.STRICT)
    return UNSEALED.format(sealed=made["spec"]["encryptedData"]["sealed"]).replace("null: null", "'null': null")


def filled(tree, before, key, values):
    return fill(tree, ["dev"], [key], key.crt, before=before, value=lambda: next(values))


def test_what_is_not_sealed_yet_is_filled_in_its_place(tree, write, unsealed, old):
    file = write("apps/web/overlays/dev/a.yaml", unsealed)
    write_all(filled(tree, tree, old, iter([b"1", b"2", b"3"])))
    manifest = yaml.safe_load(file.read_text())
    assert open_sealed(manifest, [old]) == {"quoted": b"1", "bare": b"2", "null": b"3", "sealed": b"before"}
    assert "# first\n" in file.read_text()
    assert "# second\n" in file.read_text()
    assert filled(tree, tree, old, iter([])) == {}


def test_what_was_sealed_before_and_opens_is_taken_as_it_is(tmp_path, tree, write, unsealed, old):
    file = write("apps/web/overlays/dev/a.yaml", unsealed)
    write_all(filled(tree, tmp_path / "none", old, iter([b"1", b"2", b"3"])))
    before = file.read_text()
    tree.rename(tmp_path / "before")
    write("apps/web/overlays/dev/a.yaml", unsealed)
    write_all(filled(tree, tmp_path / "before", old, iter([])))
    assert file.read_text() == before


def test_what_was_sealed_for_another_key_is_filled_anew(tmp_path, tree, write, unsealed, old, stranger):
    file = write("apps/web/overlays/dev/a.yaml", unsealed)
    write_all(filled(tree, tree, stranger, iter([b"1", b"2", b"3"])))
    tree.rename(tmp_path / "before")
    write("apps/web/overlays/dev/a.yaml", unsealed)
    write_all(filled(tree, tmp_path / "before", old, iter([b"4", b"5", b"6"])))
    assert open_sealed(yaml.safe_load(file.read_text()), [old])["bare"] == b"5"


def test_what_others_sealed_in_the_tree_is_replaced_only_where_that_is_asked_for(tree, write, unsealed, old, stranger):
    file = write("apps/web/overlays/dev/a.yaml", unsealed)
    write_all(filled(tree, tree, old, iter([b"1", b"2", b"3"])))
    theirs = file.read_text()
    assert filled(tree, tree, stranger, iter([])) == {}
    values = iter([b"4", b"5", b"6", b"7"])
    write_all(
        fill(tree, ["dev"], [stranger], stranger.crt, before=tree / "none", value=lambda: next(values), replace=True)
    )
    assert file.read_text() != theirs
    assert open_sealed(yaml.safe_load(file.read_text()), [stranger]) == dict(
        zip(["quoted", "bare", "null", "sealed"], [b"4", b"5", b"6", b"7"], strict=True)
    )
    assert fill(tree, ["dev"], [stranger], stranger.crt, before=tree, value=lambda: next(values), replace=True) == {}


def test_one_entry_is_sealed_under_the_name_that_it_has_in_the_cluster(tree, write, unsealed, old):
    write("apps/web/overlays/dev/kustomization.yaml", "namePrefix: a-\n")
    write("apps/web/overlays/dev/a.yaml", unsealed)
    (found,) = find(tree, ["dev"])
    write_all(seal_entry(found, "bare", b"x\n", old.crt))
    assert not [problem for problem in unopenable(tree, ["dev"], [old]) if "entry bare" in problem]
    with pytest.raises(SealingError, match="no entry nonesuch, there are quoted, bare, null, sealed"):
        seal_entry(found, "nonesuch", b"x", old.crt)


def test_an_entry_that_is_no_text_has_no_place_for_a_value(tree, write, old):
    write("apps/web/overlays/dev/a.yaml", UNSEALED.format(sealed="[]"))
    (found,) = find(tree, ["dev"])
    with pytest.raises(SealingError, match=r"a\.yaml: sealed is not spelled out"):
        seal_entry(found, "sealed", b"x", old.crt)
