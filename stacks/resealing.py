"""Seal the values of SealedSecrets that are in files, each in its place: comments, order and every other character stay.

Nothing is written here: the new texts of the files are given back, after each was read again.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stacks import hybrid
from stacks.identity import KeyPair
from stacks.sealed_files import Found, Unreadable, UnreadableError, documents, find, is_sealed_secret, read, with_values
from stacks.sealing import Opener, SealingError, entries, public_key, scope_of, shown

_Changes = dict[Path, dict[int, dict[str, str]]]
"""By file and by the position in it: the new values by entry."""


def reseal(
    tree: Path, environments: Sequence[str], keys: Sequence[KeyPair], new: KeyPair, stack: str
) -> dict[Path, str]:
    """The new texts of the tree's files, every value that one of `keys` opens sealed for `new` instead.

    `stack` is named in remedies. Raises SealingError with a line for each value that none of `keys` opens.
    """
    opener = Opener(keys, stack)
    everything = list(find(tree, environments))
    problems = [line for one in everything for line in opener.problems(one)]
    if problems:
        raise SealingError("\n  ".join(["not everything opens now, so nothing was changed:", *dict.fromkeys(problems)]))
    changes: _Changes = {}
    for found in everything:
        # What lies in an app's base is found once for each environment, and opens in all of them.
        if isinstance(found, Found) and found.position not in changes.get(found.file, {}):
            plaintexts, _ = opener.open(found.manifest, found.name, found.namespace)
            values = {entry: _sealed(found, plaintext, new.crt) for entry, plaintext in plaintexts.items()}
            changed = {**found.manifest, "spec": {"encryptedData": values}}
            if Opener([new]).open(changed, found.name, found.namespace)[0] != plaintexts:
                raise SealingError("the new sealing key does not open what is sealed for its certificate; report it")
            changes.setdefault(found.file, {})[found.position] = values
    return _texts(changes)


def seal_entry(found: Found, entry: str, plaintext: bytes, certificate: str) -> dict[Path, str]:
    """The new text of the file with one value sealed for the PEM `certificate`. Raises SealingError."""
    known = entries(found.manifest)
    if entry not in known:
        there = f"there are {', '.join(known)}" if known else "there is none"
        raise SealingError(
            f'{shown(found.file)}: no entry {entry}, {there}; write `{entry}: ""` under encryptedData first'
        )
    return _texts({found.file: {found.position: {entry: _sealed(found, plaintext, certificate)}}})


def fill(
    tree: Path,
    environments: Sequence[str],
    keys: Sequence[KeyPair],
    certificate: str,
    *,
    before: Path,
    value: Callable[[], bytes],
    replace: bool = False,
) -> dict[Path, str]:
    """The new texts of the tree's files in which something is not sealed yet, or with `replace` for none of `keys`.

    A value that the same file below the folder `before` has, and that opens with `keys`, is taken from there as it is; each
    other one is `value()`, sealed for the PEM `certificate`. Raises SealingError.
    """
    opener = Opener(keys)
    known = {
        (one.file.relative_to(before), one.position): entries(one.manifest)
        for one in find(before, environments)
        if isinstance(one, Found)
    }
    changes: _Changes = {}
    for one in find(tree, environments):
        if isinstance(one, Unreadable):
            raise SealingError(opener.problems(one)[0])
        missing = [entry for entry, sealed in entries(one.manifest).items() if not sealed]
        if replace:
            opens, _ = opener.open(one.manifest, one.name, one.namespace)
            missing = [entry for entry in entries(one.manifest) if entry not in opens]
        if not missing or one.position in changes.get(one.file, {}):
            continue
        old = known.get((one.file.relative_to(tree), one.position), {})
        opened, _ = opener.open({**one.manifest, "spec": {"encryptedData": old}}, one.name, one.namespace)
        changes.setdefault(one.file, {})[one.position] = {
            entry: old[entry] if entry in opened else _sealed(one, value(), certificate) for entry in missing
        }
    return _texts(changes)


def _sealed(found: Found, plaintext: bytes, certificate: str) -> str:
    scope = scope_of(found.manifest)
    return hybrid.encrypt(public_key(certificate), scope.label(found.namespace, found.name), plaintext)


def _texts(changes: Mapping[Path, Mapping[int, Mapping[str, str]]]) -> dict[Path, str]:
    texts: dict[Path, str] = {}
    for file, positions in changes.items():
        try:
            old = text = read(file)
            for position, values in positions.items():
                text = with_values(text, position, values)
            whole = _with(old, positions) == _with(text, {})
        except UnreadableError as error:
            raise SealingError(f"{shown(file)}: {error}; put the file right") from None
        if not whole:
            raise SealingError(
                f"{shown(file)}: its values cannot be changed in their places; write them without anchors and aliases"
            )
        texts[file] = text
    return texts


def _with(text: str, positions: Mapping[int, Mapping[str, str]]) -> list[object]:
    """What the text says with other values in its SealedSecrets, whose own line breaks do not count."""
    manifests = [manifest for manifest, _ in documents(text)]
    for position, manifest in enumerate(filter(is_sealed_secret, manifests)):
        values = {**entries(manifest), **positions.get(position, {})}
        if values:
            manifest["spec"] |= {"encryptedData": {entry: value.strip() for entry, value in values.items()}}
    return list(manifests)
