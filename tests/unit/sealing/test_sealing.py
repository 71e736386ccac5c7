import base64

import pytest

from stacks.sealing import Scope, SealingError, newest, open_sealed, scope_of, seal
from tests.unit.sealing.conftest import key_pair

NAMESPACE_WIDE = "sealedsecrets.bitnami.com/namespace-wide"
CLUSTER_WIDE = "sealedsecrets.bitnami.com/cluster-wide"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("scope", Scope)
def test_what_is_sealed_opens_with_the_key_whatever_its_bytes_are(secret, old, scope):
    binary = bytes(range(256)) * 20
    made = seal(secret(data={"a": b64(binary), "b": ""}, stringData={"c": "ü\n"}), old.crt, scope)
    assert open_sealed(made, [old]) == {"a": binary, "b": b"", "c": "ü\n".encode()}
    assert scope_of(made) is scope


def test_string_data_wins_over_data_as_on_the_api_server(secret, old):
    made = seal(secret(data={"a": b64(b"lost")}, stringData={"a": "kept"}), old.crt, Scope.STRICT)
    assert open_sealed(made, [old]) == {"a": b"kept"}


def test_any_of_the_identitys_keys_opens(secret, old, new, stranger):
    made = seal(secret(), old.crt, Scope.STRICT)
    assert open_sealed(made, [new, stranger, old]) == {"word": b"hush"}


def test_no_ciphertext_is_made_twice(secret, old):
    one, other = (seal(secret(), old.crt, Scope.STRICT)["spec"]["encryptedData"]["word"] for _ in range(2))
    assert one != other


def test_the_template_carries_what_the_secret_has_and_no_copy_of_its_values(secret, old):
    given = secret(
        labels={"app": "web"},
        annotations={"team": "a", "kubectl.kubernetes.io/last-applied-configuration": '{"stringData":{"word":"hush"}}'},
        type="kubernetes.io/basic-auth",
        immutable=True,
        stringData={"word": "hush"},
    )
    given["metadata"] |= {"uid": "1", "resourceVersion": "2", "creationTimestamp": None, "ownerReferences": [{}]}
    made = seal(given, old.crt, Scope.STRICT)
    assert made["metadata"] == {"name": "web", "namespace": "dev"}
    assert made["spec"]["template"] == {
        "metadata": {"name": "web", "namespace": "dev", "annotations": {"team": "a"}, "labels": {"app": "web"}},
        "type": "kubernetes.io/basic-auth",
        "immutable": True,
    }
    assert "hush" not in str(made)


def test_a_scope_replaces_the_annotation_of_another(secret, old):
    made = seal(secret(annotations={CLUSTER_WIDE: "true"}), old.crt, Scope.NAMESPACE_WIDE)
    assert made["metadata"]["annotations"] == {NAMESPACE_WIDE: "true"}
    assert made["spec"]["template"]["metadata"]["annotations"] == {NAMESPACE_WIDE: "true"}


@pytest.mark.parametrize(
    ("scope", "moved", "opens"),
    [
        (Scope.STRICT, {"name": "other"}, False),
        (Scope.STRICT, {"namespace": "other"}, False),
        (Scope.NAMESPACE_WIDE, {"name": "other"}, True),
        (Scope.NAMESPACE_WIDE, {"namespace": "other"}, False),
        (Scope.CLUSTER_WIDE, {"name": "other", "namespace": "other"}, True),
    ],
)
def test_a_value_opens_only_where_its_scope_lets_it(secret, old, scope, moved, opens):
    made = seal(secret(), old.crt, scope)
    made["metadata"] |= moved
    if opens:
        assert open_sealed(made, [old]) == {"word": b"hush"}
    else:
        with pytest.raises(SealingError, match=r"entry word: sealed for another .*namespace, or for a key that is not"):
            open_sealed(made, [old])


def test_a_key_that_is_not_there_is_named_as_the_cause(secret, old, stranger):
    made = seal(secret(), stranger.crt, Scope.CLUSTER_WIDE)
    with pytest.raises(
        SealingError, match=r"dev/web, entry word: sealed for a key that is not in the identity.*1 sealing key;"
    ):
        open_sealed(made, [old])


def test_a_forgotten_scope_annotation_is_told_from_a_wrong_key(secret, old):
    made = seal(secret(), old.crt, Scope.NAMESPACE_WIDE)
    del made["metadata"]["annotations"]
    with pytest.raises(
        SealingError, match=f'sealed namespace-wide, but .* strict; write it with {NAMESPACE_WIDE}: "true"'
    ):
        open_sealed(made, [old])


def _flipped(text: str, index: int) -> str:
    blob = bytearray(base64.b64decode(text))
    blob[index] ^= 1
    return b64(bytes(blob))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda text: _flipped(text, -1), "changed after it was sealed"),
        (lambda text: _flipped(text, 260), "changed after it was sealed"),
        (lambda text: _flipped(text, 40), "sealed for another"),
        (lambda text: text[:100], "cut short"),
        (lambda text: "AQ==", "cut short"),
        (lambda text: "hush hush", "not a sealed value"),
        (lambda text: "", "not sealed yet"),
        (lambda text: None, "not sealed yet"),
    ],
)
def test_a_value_that_was_tampered_with_does_not_open_and_is_not_quoted(secret, old, damage, why):
    made = seal(secret(), old.crt, Scope.STRICT)
    values = made["spec"]["encryptedData"]
    values["word"] = damage(values["word"])
    with pytest.raises(SealingError, match=f"entry word: .*{why}") as error:
        open_sealed(made, [old])
    assert not values["word"] or values["word"] not in str(error.value)


def test_line_breaks_in_a_value_are_passed_over_as_the_controller_does(secret, old):
    made = seal(secret(), old.crt, Scope.STRICT)
    text = made["spec"]["encryptedData"]["word"]
    made["spec"]["encryptedData"]["word"] = f"{text[:64]}\r\n{text[64:]}\n"
    assert open_sealed(made, [old]) == {"word": b"hush"}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"kind": "ConfigMap"}, "v1 ConfigMap is not a Secret"),
        ({"kind": "SealedSecret"}, "SealedSecret already"),
        ({"metadata": {"namespace": "dev"}}, "no metadata.name"),
        ({"metadata": {"name": "web"}}, "no metadata.namespace, which strict"),
        (
            {"metadata": {"name": "web", "namespace": "dev", "labels": {"a": True}}},
            "metadata.labels must be a map of texts",
        ),
        ({"stringData": {}}, "nothing in data or stringData"),
        ({"stringData": None, "data": {"a": "ÄhiddenÄ"}}, "entry a: data is not base64"),
        ({"stringData": {"a": 7357}}, "entry a: stringData has no text there; put quotes"),
        ({"stringData": {"hidden value": "a"}}, "more than letters"),
        ({"stringData": {True: "hidden"}}, "name is not a text; put quotes"),
        ({"data": ["hidden"]}, "data must be a map"),
        ({"immutable": "false"}, "Secret web: immutable must be true or false, without quotes"),
        ({"immutable": 0}, "Secret web: immutable must be true or false, without quotes"),
    ],
)
def test_what_cannot_be_sealed_is_refused_without_being_quoted(secret, old, change, match):
    with pytest.raises(SealingError, match=match) as error:
        seal(secret() | change, old.crt, Scope.STRICT)
    assert not any(value in str(error.value) for value in ("hush", "hidden", "7357"))


def test_only_a_cluster_wide_secret_needs_no_namespace(secret, old):
    without = secret(namespace=None)
    assert open_sealed(seal(without, old.crt, Scope.CLUSTER_WIDE), [old]) == {"word": b"hush"}
    with pytest.raises(SealingError, match="which namespace-wide values are bound to"):
        seal(without, old.crt, Scope.NAMESPACE_WIDE)


def test_an_expired_certificate_is_refused(secret):
    with pytest.raises(SealingError, match=r"expired on 2021-01-01.*rotate sealing-key"):
        seal(secret(), key_pair("2020-01-01", "2021-01-01").crt, Scope.STRICT)


def test_what_is_no_certificate_is_refused(secret, old):
    with pytest.raises(SealingError, match="not a PEM certificate"):
        seal(secret(), old.key, Scope.STRICT)


def test_a_damaged_key_is_told_from_a_missing_one(secret, old, new):
    made = seal(secret(), old.crt, Scope.STRICT)
    with pytest.raises(SealingError, match="sealing key 2 of the identity is not an RSA key") as error:
        open_sealed(made, [new, old.model_copy(update={"key": "-----hidden"})])
    assert "hidden" not in str(error.value)


def test_the_newest_key_is_the_one_whose_certificate_begins_last(old, new, stranger):
    assert newest([old, new, stranger]) == new
