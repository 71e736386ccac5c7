"""SealedSecrets as kubeseal makes them: sealed for a public certificate, opened with the identity's keys, offline.

No error and no problem that is told here quotes a value, sealed or not.
Source: https://github.com/bitnami-labs/sealed-secrets/blob/v0.40.0/pkg/apis/sealedsecrets/v1alpha1/sealedsecret_expansion.go
"""

import base64
import binascii
import contextlib
import datetime
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from stacks import hybrid
from stacks.identity import KeyPair
from stacks.sealed_files import GROUP, KIND, Found, Unreadable, find

# Copies of the whole Secret that `kubectl apply` and kubecfg leave in its annotations, in clear.
_COPIES = {"kubectl.kubernetes.io/last-applied-configuration", "kubecfg.ksonnet.io/last-applied-configuration"}
# Source: https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data
_ENTRY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


class SealingError(Exception):
    """A secret cannot be sealed or opened; the message names it, its entry and the remedy, and no value."""


class Scope(StrEnum):
    """Where a sealed value opens: under its own name and namespace, under any name there, or anywhere."""

    STRICT = "strict"
    NAMESPACE_WIDE = "namespace-wide"
    CLUSTER_WIDE = "cluster-wide"

    def label(self, namespace: str, name: str) -> bytes:
        """What a value is bound to."""
        match self:
            case Scope.STRICT:
                text = f"{namespace}/{name}"
            case Scope.NAMESPACE_WIDE:
                text = namespace
            case Scope.CLUSTER_WIDE:
                text = ""
        return text.encode()


def scope_of(manifest: Mapping[str, Any]) -> Scope:
    """The scope that a Secret's or a SealedSecret's annotations ask for."""
    annotations = _map(_map(manifest.get("metadata")).get("annotations"))
    for scope in (Scope.CLUSTER_WIDE, Scope.NAMESPACE_WIDE):
        if annotations.get(_ANNOTATIONS[scope]) == "true":
            return scope
    return Scope.STRICT


_ANNOTATIONS = {scope: f"sealedsecrets.{GROUP}/{scope}" for scope in Scope if scope is not Scope.STRICT}


def seal(secret: Mapping[str, Any], certificate: str, scope: Scope) -> dict[str, Any]:
    """The SealedSecret of a Secret's manifest, for the holder of the PEM `certificate`'s key; `scope` wins over annotations.

    Raises SealingError: no Secret, no name, no namespace where the scope needs one, nothing in it, an entry or a field that
    cannot be read, a certificate that is no RSA certificate or has expired.
    """
    key = public_key(certificate)
    metadata = _metadata(secret, scope)
    name, namespace = metadata["name"], metadata.get("namespace", "")
    plaintexts = _plaintexts(secret)
    label = scope.label(namespace, name)
    template: dict[str, Any] = {"metadata": metadata}
    if secret.get("type"):
        template["type"] = str(secret["type"])
    if secret.get("immutable") is not None:
        template["immutable"] = _boolean(secret, "immutable")
    outer: dict[str, Any] = {field: metadata[field] for field in ("name", "namespace") if field in metadata}
    if scope is not Scope.STRICT:
        outer = {"annotations": {_ANNOTATIONS[scope]: "true"}, **outer}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": KIND,
        "metadata": outer,
        "spec": {
            "encryptedData": {entry: hybrid.encrypt(key, label, value) for entry, value in sorted(plaintexts.items())},
            "template": template,
        },
    }


def open_sealed(sealed: Mapping[str, Any], keys: Sequence[KeyPair]) -> dict[str, bytes]:
    """The plaintext of every entry. Raises SealingError naming the first entry that does not open, and why."""
    metadata = _map(sealed.get("metadata"))
    name, namespace = str(metadata.get("name") or ""), str(metadata.get("namespace") or "")
    plaintexts, problems = Opener(keys).open(sealed, name, namespace)
    if problems:
        raise SealingError(f"SealedSecret {_title(name, namespace)}{problems[0]}")
    return plaintexts


def unopenable(tree: Path, environments: Sequence[str], keys: Sequence[KeyPair], *, stack: str = "STACK") -> list[str]:
    """What of the tree's SealedSecrets would not open on the cluster: a line for each, with the file, the entry, why and the
    remedy.

    Looks at base, observability, the apps' bases and overlays of `environments`, and what their kustomizations name, under
    the names that kustomize and ArgoCD give them there. `stack` is named in the remedies. Costs an RSA operation for each value and key.
    Raises SealingError where a key cannot be read.
    """
    opener = Opener(keys, stack)
    # What lies in an app's base is met once for each environment.
    return list(dict.fromkeys(line for found in find(tree, environments) for line in opener.problems(found)))


class Opener:
    """Opens SealedSecrets with a set of keys, which are read when the first value asks for them."""

    def __init__(self, keys: Sequence[KeyPair], stack: str = "STACK") -> None:
        self._pairs = keys
        self._stack = stack
        self._loaded: list[rsa.RSAPrivateKey] | None = None

    def problems(self, found: Found | Unreadable) -> list[str]:
        """A line for everything that keeps a SealedSecret of a tree from opening. Raises SealingError for a bad key."""
        if isinstance(found, Unreadable):
            return [f"{shown(found.file)}: {found.why}; put the file right"]
        remedy = (
            f"seedbed seal --stack {self._stack} --into {shown(found.file)} --entry {{entry}} < FILE-WITH-THE-VALUE"
        )
        _, problems = self.open(found.manifest, found.name, found.namespace, remedy)
        title = f"{shown(found.file)}: SealedSecret {_title(found.name, found.namespace)}"
        return [f"{title}{problem}" for problem in problems]

    def open(
        self, sealed: Mapping[str, Any], name: str, namespace: str, remedy: str = "seal the Secret again"
    ) -> tuple[dict[str, bytes], list[str]]:
        """The plaintexts of the entries that open under this name, and the end of a sentence about each other one.

        `remedy` may have `{entry}` in it. Raises SealingError for a bad key.
        """
        scope = scope_of(sealed)
        if not name:
            return {}, [": it has no name; give it metadata.name"]
        if scope is not Scope.CLUSTER_WIDE and not namespace:
            return {}, [": it has no namespace; give it metadata.namespace"]
        if _map(sealed.get("spec")).get("data") is not None:
            return {}, [": spec.data is an old form that the controller refuses; seal the Secret again"]
        values = entries(sealed)
        if not values:
            return {}, [": nothing is below spec.encryptedData; seal the Secret again, or take the file away"]
        plaintexts: dict[str, bytes] = {}
        problems: list[str] = []
        for entry, value in values.items():
            how = remedy.format(entry=entry)
            if not value:
                problems.append(f", entry {entry}: not sealed yet; run: {how}")
                continue
            try:
                plaintexts[entry] = hybrid.decrypt(self._keys(), scope.label(namespace, name), value)
            except hybrid.NotSealedError:
                problems.append(f", entry {entry}: not a sealed value, or cut short; run: {how}")
            except hybrid.DamagedError:
                problems.append(
                    f", entry {entry}: changed after it was sealed; take it from git history, or run: {how}"
                )
            except hybrid.OtherKeyError:
                problems.append(f", entry {entry}: {self._why_not(scope, namespace, name, value)}; run: {how}")
        return plaintexts, problems

    def _why_not(self, scope: Scope, namespace: str, name: str, value: str) -> str:
        for other in Scope:
            try:
                hybrid.decrypt(self._keys(), other.label(namespace, name), value)
            except ValueError:
                continue
            wanted = (
                "without the scope's annotation" if other is Scope.STRICT else f'with {_ANNOTATIONS[other]}: "true"'
            )
            return f"sealed {other}, but its annotations say {scope}; write it {wanted}"
        bound = {
            Scope.STRICT: "for another name or namespace, or ",
            Scope.NAMESPACE_WIDE: "for another namespace, or ",
            Scope.CLUSTER_WIDE: "",
        }[scope]
        count = len(self._pairs)
        return f"sealed {bound}for a key that is not in the identity, which has {count} sealing key{'s' * (count != 1)}"

    def _keys(self) -> list[rsa.RSAPrivateKey]:
        if self._loaded is None:
            self._loaded = [_private_key(pair, number) for number, pair in enumerate(self._pairs, 1)]
        return self._loaded


def entries(sealed: Mapping[str, Any]) -> dict[str, str]:
    """The sealed values by entry; empty where one is not sealed yet."""
    values = _map(_map(sealed.get("spec")).get("encryptedData"))
    return {str(entry): "" if value is None else str(value) for entry, value in values.items()}


def newest(keys: Sequence[KeyPair]) -> KeyPair:
    """The pair whose certificate begins last: the one that the controller seals with."""
    return max(keys, key=lambda pair: certificate_of(pair.crt).not_valid_before_utc)


def certificate_of(pem: str) -> x509.Certificate:
    """The certificate of a PEM text. Raises SealingError."""
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise SealingError("not a PEM certificate; take it from git history, or from `seedbed rotate`") from None


def public_key(pem: str) -> rsa.RSAPublicKey:
    """The key to seal for. Raises SealingError where the certificate is none, has expired or is not for RSA."""
    certificate = certificate_of(pem)
    if certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
        raise SealingError(
            f"the certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}; make a new key with "
            "`seedbed rotate sealing-key STACK`"
        )
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        key = None
    if not isinstance(key, rsa.RSAPublicKey):
        raise SealingError("the certificate is not for an RSA key, which is what sealed-secrets has")
    return key


def shown(file: Path) -> str:
    """The file's path for a person: from the current folder where it is below it."""
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def _private_key(pair: KeyPair, number: int) -> rsa.RSAPrivateKey:
    key = None
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
        # Its validation takes a quarter of a second in every preview; a key that is not whole opens nothing, which is told.
        key = serialization.load_pem_private_key(pair.key.encode(), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise SealingError(
            f"sealing key {number} of the identity is not an RSA key; restore the identity from its escrow"
        )
    return key


def _metadata(secret: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """What the Secret will carry: its own metadata without what a server added."""
    kind = secret.get("kind")
    if kind == KIND:
        raise SealingError("this is a SealedSecret already; give the Secret that it was made from")
    if kind != "Secret" or secret.get("apiVersion") != "v1":
        raise SealingError(f"{secret.get('apiVersion')} {kind} is not a Secret; give a manifest with `kind: Secret`")
    given = secret.get("metadata")
    given = given if isinstance(given, dict) else {}
    name, namespace = given.get("name"), given.get("namespace")
    if not isinstance(name, str) or not name:
        raise SealingError("the Secret has no metadata.name; write it there, or give --name")
    if scope is not Scope.CLUSTER_WIDE and (not isinstance(namespace, str) or not namespace):
        raise SealingError(
            f"Secret {name} has no metadata.namespace, which {scope} values are bound to; write it there, or give --namespace"
        )
    dropped = {*_COPIES, *_ANNOTATIONS.values()}
    annotations = {key: value for key, value in _texts(given, "annotations", name).items() if key not in dropped}
    if scope is not Scope.STRICT:
        annotations[_ANNOTATIONS[scope]] = "true"
    kept = {
        "name": name,
        "namespace": namespace,
        "annotations": annotations,
        "labels": _texts(given, "labels", name),
        "finalizers": given.get("finalizers"),
    }
    return {field: value for field, value in kept.items() if value}


def _boolean(secret: Mapping[str, Any], field: str) -> bool:
    value = secret[field]
    if not isinstance(value, bool):
        raise SealingError(f"Secret {secret['metadata']['name']}: {field} must be true or false, without quotes")
    return value


def _texts(metadata: Mapping[str, Any], field: str, name: str) -> dict[str, str]:
    value = metadata.get(field) or {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise SealingError(
            f"Secret {name}: metadata.{field} must be a map of texts; put quotes around numbers and booleans"
        )
    return value


def _plaintexts(secret: Mapping[str, Any]) -> dict[str, bytes]:
    title = f"Secret {secret['metadata']['name']}"
    plaintexts: dict[str, bytes] = {}
    for field in ("data", "stringData"):
        values = secret.get(field) or {}
        if not isinstance(values, dict):
            raise SealingError(f"{title}: {field} must be a map of entries")
        for entry, value in values.items():
            if not isinstance(entry, str):
                raise SealingError(f"{title}: in {field} an entry's name is not a text; put quotes around it")
            if not _ENTRY.fullmatch(entry):
                raise SealingError(
                    f"{title}: in {field} an entry's name has more than letters, digits, '-', '_' and '.'"
                )
            if not isinstance(value, str):
                raise SealingError(f"{title}, entry {entry}: {field} has no text there; put quotes around it")
            plaintexts[entry] = value.encode() if field == "stringData" else _decoded(value, f"{title}, entry {entry}")
    if not plaintexts:
        raise SealingError(f"{title} has nothing in data or stringData; there is nothing to seal")
    return plaintexts


def _decoded(value: str, title: str) -> bytes:
    try:
        return base64.b64decode(value.translate({10: None, 13: None}), validate=True)
    except (binascii.Error, ValueError):
        raise SealingError(f"{title}: data is not base64; encode it, or write it under stringData") from None


def _title(name: str, namespace: str) -> str:
    return f"{namespace}/{name}" if namespace else name or "without a name"


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
