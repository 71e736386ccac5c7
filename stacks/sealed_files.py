"""The SealedSecrets in a tree of manifests: where they are, where they go, and how to change a value in its place.

A file is found by its text first: no file that holds no SealedSecret is ever parsed, because every preview looks.
"""

import os.path
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
    empty where there is none. `manifest` is the file's, with the scope's annotations that kustomize adds.
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

    That is all of `base` and `observability`, of each app its base and the overlays of the environments, and what their
    kustomizations name elsewhere in the tree: components, or an overlay that others share. What several bring comes once
    for each of them.
    """
    files = {file: file.parent.resolve() / file.name for file in sorted(tree.rglob("*")) if _mentions(file)}
    if not files:
        return
    for folders, namespace in _applications(tree, environments):
        patches = {patch for folder in folders for patch in _patches(folder)}
        for file, path in files.items():
            depth = next((depth for depth, folder in enumerate(path.parents) if folder in folders), None)
            if depth is not None and (above := folders[path.parents[depth]]):
                yield from _in_file(file, [*path.parents[:depth], *above], namespace, is_patch=path in patches)


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


_Folders = dict[Path, tuple[Path, ...]]
"""Folders whose files an Application brings, each with the kustomizations that change what is in it, the innermost first;
none for a folder that it does not bring. All are resolved; what lies deeper belongs to the nearest one."""


def _applications(tree: Path, environments: Sequence[str]) -> Iterator[tuple[_Folders, str]]:
    """What brings SealedSecrets to a cluster, with the namespace that it deploys to."""
    for group, namespace in (("base", ""), ("observability", "observability")):
        top = (tree / group).resolve()
        inner = _subfolders(top)
        yield {top: (top,), **dict.fromkeys(inner, ())}, namespace
        for folder in inner:
            yield _brought(folder), namespace
    for app in _subfolders((tree / "apps").resolve()):
        for environment in environments:
            overlay = (app / "overlays" / environment).resolve()
            if overlay.is_dir():
                # The base counts even where no kustomization names it.
                base = _brought((app / "base").resolve(), (overlay,))
                yield {app / "overlays": (), **base, **_brought(overlay)}, environment


def _subfolders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _brought(folder: Path, above: tuple[Path, ...] = ()) -> _Folders:
    """The folder, and those that its kustomization names and theirs name."""
    folders: _Folders = {folder: (folder, *above)}
    kustomization = _kustomization_or_none(folder)
    for field in ("resources", "components", "bases"):
        for other in _paths(folder, _list(kustomization.get(field))):
            # One that comes back to itself does not render.
            if other.is_dir() and other not in folders[folder]:
                folders |= _brought(other, folders[folder])
    return folders


def _patches(folder: Path) -> list[Path]:
    """The files with which a folder's kustomization changes objects, and which are none themselves."""
    kustomization = _kustomization_or_none(folder)
    named = [patch.get("path") for patch in _list(kustomization.get("patches")) if isinstance(patch, dict)]
    return _paths(folder, [*named, *_list(kustomization.get("patchesStrategicMerge"))])


def _paths(folder: Path, entries: Sequence[object]) -> list[Path]:
    """Those that are there; an entry may be an address, or what a file would hold, as well."""
    paths = [folder / entry for entry in entries if isinstance(entry, str)]
    return [path.resolve() for path in paths if os.path.exists(path)]  # noqa: PTH110 - Path's raises for a long text


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mentions(file: Path) -> bool:
    return file.suffix.lower() in _SUFFIXES and file.is_file() and bool(_MENTION.search(file.read_bytes()))


def _in_file(file: Path, folders: Sequence[Path], namespace: str, *, is_patch: bool) -> Iterator[Found | Unreadable]:
    try:
        for position, (manifest, _) in enumerate(sealed_secrets(read(file))):
            # A patch may bring other values; what only changes a label has none of its own.
            if not is_patch or _map(manifest.get("spec")).get("encryptedData"):
                yield _placed(Found(file, position, manifest, "", namespace), folders)
    except UnreadableError as error:
        yield Unreadable(file, str(error))


def _placed(found: Found, folders: Sequence[Path]) -> Found:
    """The same with name, namespace and scope after the kustomizations of `folders`, the innermost first.

    Source: https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/namespace/, …/nameprefix/,
    …/commonannotations/
    """
    metadata = _map(found.manifest.get("metadata"))
    name, namespace = str(metadata.get("name") or ""), str(metadata.get("namespace") or "")
    annotations = dict(_map(metadata.get("annotations")))
    for folder in folders:
        kustomization = _kustomization(folder)
        name = f"{kustomization.get('namePrefix') or ''}{name}{kustomization.get('nameSuffix') or ''}"
        namespace = str(kustomization.get("namespace") or namespace)
        added = _map(kustomization.get("commonAnnotations"))
        annotations |= {key: value for key, value in added.items() if str(key).startswith(f"sealedsecrets.{GROUP}/")}
    manifest = {**found.manifest, "metadata": {**metadata, "annotations": annotations}}
    return replace(found, manifest=manifest, name=name, namespace=namespace or found.namespace)


def _kustomization_or_none(folder: Path) -> dict[str, Any]:
    """Empty where it cannot be read, which is told of what it would change."""
    try:
        return _kustomization(folder)
    except UnreadableError:
        return {}


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
            for item in items.value:
                yield from _items(item)
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


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
