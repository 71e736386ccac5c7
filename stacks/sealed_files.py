"""The SealedSecrets in a tree of manifests: where they are, where they go, and how to change a value in its place.

A file is found by its text first: no file that holds no SealedSecret is ever parsed, because every preview looks.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

GROUP = "bitnami.com"
KIND = "SealedSecret"

_SUFFIXES = {".yaml", ".yml", ".json"}
_MENTION = re.compile(rb"""["']?kind["']?\s*:\s*["']?SealedSecret\b""")
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")

Loader = type[yaml.CSafeLoader] | type[yaml.SafeLoader]


class UnreadableError(ValueError):
    """A file is not YAML; the message says where and quotes nothing of it."""


@dataclass(frozen=True)
class Found:
    """One SealedSecret, as one overlay brings it to the cluster.

    `position` counts the SealedSecrets of the file; `name` and `namespace` are those that kustomize and ArgoCD give it,
    empty where there is none.
    """

    file: Path
    position: int
    manifest: Mapping[str, Any]
    name: str
    namespace: str


@dataclass(frozen=True)
class Unreadable:
    """A file that speaks of a SealedSecret and cannot be read; `why` quotes nothing of it."""

    file: Path
    why: str


def find(tree: Path, environments: Sequence[str]) -> Iterator[Found | Unreadable]:
    """Every SealedSecret that a cluster with these environments gets from the tree.

    What lies in an app's base comes once for each environment whose overlay there is.
    """
    for folder in _folders(tree / "base"):
        yield from _in_folder(folder, (), "")
    for folder in _folders(tree / "observability"):
        yield from _in_folder(folder, (), "observability")
    for app in _folders(tree / "apps"):
        for environment in environments:
            overlay = app / "overlays" / environment
            if overlay.is_dir():
                yield from _in_folder(app / "base", (overlay,), environment)
                yield from _in_folder(overlay, (), environment)


def sealed_secrets(text: str, loader: Loader = yaml.CSafeLoader) -> Iterator[tuple[dict[str, Any], yaml.MappingNode]]:
    """The SealedSecrets of a file with their nodes, those inside of lists too. Raises UnreadableError."""
    for manifest, node in documents(text, loader):
        if is_sealed_secret(manifest):
            yield manifest, node


def is_sealed_secret(manifest: Mapping[str, Any]) -> bool:
    """Whether it says that it is one."""
    return manifest.get("kind") == KIND and str(manifest.get("apiVersion", "")).startswith(f"{GROUP}/")


def documents(text: str, loader: Loader = yaml.CSafeLoader) -> Iterator[tuple[dict[str, Any], yaml.MappingNode]]:
    """The manifests of a YAML or JSON text with their nodes; a `List` gives its items. Raises UnreadableError."""
    stream = loader(text)
    try:
        while stream.check_node():
            for part in _items(stream.get_node()):
                manifest = stream.construct_document(part)
                if isinstance(manifest, dict) and isinstance(part, yaml.MappingNode):
                    yield manifest, part
                elif manifest is not None:
                    raise UnreadableError(f"line {part.start_mark.line + 1}: not a manifest")
    except yaml.MarkedYAMLError as error:
        # Its own text quotes what it stumbled over, which may be a secret.
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise UnreadableError(f"{where}: not YAML") from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError("not YAML") from None
    finally:
        stream.dispose()


def read(file: Path) -> str:
    """The file's text, its line ends as they are. Raises UnreadableError."""
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError:
        raise UnreadableError("not UTF-8") from None


def with_values(text: str, position: int, values: Mapping[str, str]) -> str:
    """The file's text with other sealed values for some entries of one SealedSecret, and not a character else changed.

    Raises UnreadableError where the file has no such SealedSecret or it does not spell such an entry out.
    """
    # libyaml counts differently where a text begins with a byte order mark.
    nodes = [node for _, node in sealed_secrets(text, yaml.SafeLoader)]
    if position >= len(nodes):
        raise UnreadableError(f"there is no SealedSecret {position + 1} in it")
    places = _value_nodes(nodes[position])
    missing = sorted(values.keys() - places.keys())
    if missing:
        raise UnreadableError(f"{', '.join(missing)} is not spelled out below spec.encryptedData")
    tokens = {
        token.end_mark.index: token.start_mark.index
        for token in yaml.scan(text, yaml.SafeLoader)
        if isinstance(token, yaml.ScalarToken)
    }
    edits: dict[tuple[int, int], str] = {}
    for entry, value in values.items():
        node = places[entry]
        end = node.end_mark.index
        start = tokens.get(end, end) if node.value or end > node.start_mark.index else end
        edits[start, end] = _scalar(text[start:end], value)
    for (start, end), value in sorted(edits.items(), reverse=True):
        text = text[:start] + value + text[end:]
    return text


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _in_folder(folder: Path, overlays: tuple[Path, ...], default_namespace: str) -> Iterator[Found | Unreadable]:
    for file in sorted(folder.rglob("*")):
        if file.suffix not in _SUFFIXES or not file.is_file():
            continue
        if not _MENTION.search(file.read_bytes()):
            continue
        above = [parent for parent in file.parents if parent.is_relative_to(folder)]
        try:
            for position, (manifest, _) in enumerate(sealed_secrets(read(file))):
                name, namespace = _placed(manifest, [*above, *overlays])
                yield Found(file, position, manifest, name, namespace or default_namespace)
        except UnreadableError as error:
            yield Unreadable(file, str(error))


def _placed(manifest: Mapping[str, Any], folders: Sequence[Path]) -> tuple[str, str]:
    """Name and namespace after the kustomizations of `folders`, the innermost first.

    Source: https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/namespace/, …/nameprefix/
    """
    metadata = manifest.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name, namespace = str(metadata.get("name") or ""), str(metadata.get("namespace") or "")
    for folder in folders:
        kustomization = _kustomization(folder)
        name = f"{kustomization.get('namePrefix') or ''}{name}{kustomization.get('nameSuffix') or ''}"
        namespace = str(kustomization.get("namespace") or namespace)
    return name, namespace


def _kustomization(folder: Path) -> dict[str, Any]:
    for file in _KUSTOMIZATIONS:
        if (folder / file).is_file():
            try:
                return next((manifest for manifest, _ in documents(read(folder / file))), {})
            except UnreadableError as error:
                raise UnreadableError(f"{folder.name}/{file}, {error}") from None
    return {}


def _items(node: yaml.Node | None) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        fields = {key.value: value for key, value in node.value}
        kind, items = fields.get("kind"), fields.get("items")
        if isinstance(kind, yaml.ScalarNode) and kind.value.endswith("List") and isinstance(items, yaml.SequenceNode):
            yield from items.value
            return
    if node is not None:
        yield node


def _value_nodes(node: yaml.MappingNode) -> dict[str, yaml.ScalarNode]:
    for name in ("spec", "encryptedData"):
        inner = next((value for key, value in node.value if key.value == name), None)
        if not isinstance(inner, yaml.MappingNode):
            return {}
        node = inner
    return {key.value: value for key, value in node.value if isinstance(value, yaml.ScalarNode)}


def _scalar(old: str, value: str) -> str:
    """The new value in the old one's style: quotes, or the head and the indentation of a block."""
    if not old:
        return f" {value}"
    if old[0] in "'\"":
        return f"{old[0]}{value}{old[0]}"
    if old[0] in "|>":
        head, newline, body = old.partition("\n")
        before, after = body[: len(body) - len(body.lstrip())], body[len(body.rstrip()) :]
        return f"{head}{newline}{before}{value}{after}"
    return value
