"""Seal a Secret for a stack, offline, with the stack's public certificate TREE/sealing/STACK.pem.

  kubectl create secret generic web --dry-run=client -o yaml --from-file=password=FILE \\
    | seedbed seal --stack prod --namespace prod > k8s/apps/web/overlays/prod/sealed-secret.yaml

Takes manifests of Secrets on standard input, YAML or JSON, and writes SealedSecrets to standard output. With --into and
--entry it takes one bare value instead, and seals it in its place in a file that is there.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from seedbed import UserError, sealing, stackfile
from stacks.resealing import seal_entry
from stacks.sealed_files import Found, Unreadable, UnreadableError, documents, find
from stacks.sealing import Scope, scope_of, seal, shown
from tools.files import write_all

NAME = "seal"
HELP = "seal a Secret for a stack: a manifest in, a SealedSecret out"

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/+=-]+")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--stack", help="whose certificate to seal for")
    whose.add_argument("--cert", type=Path, metavar="FILE", help="a certificate to seal for")
    parser.add_argument(
        "--scope", choices=[str(scope) for scope in Scope], help="default: the Secret's annotations, else strict"
    )
    parser.add_argument("--namespace", metavar="NS", help="the namespace, where the Secret does not name it")
    parser.add_argument("--name", help="the name, where the Secret does not have one")
    parser.add_argument("--into", type=Path, metavar="FILE", help="seal one value in this file of the stack's tree")
    parser.add_argument("--entry", help="with --into: which value")


def run(arguments: argparse.Namespace) -> int:
    if (arguments.into is None) != (arguments.entry is None):
        raise UserError("--into and --entry belong together: the file, and which of its values")
    if arguments.into is not None and (arguments.stack is None or arguments.scope is not None):
        raise UserError("--into takes --stack, and the scope from the file: give neither --cert nor --scope")
    if sys.stdin.isatty():
        raise UserError(
            "there is nothing on standard input: what is sealed comes through a pipe or from a file, as in "
            "`kubectl create secret generic … --dry-run=client -o yaml | seedbed seal …`; see `seedbed seal --help`"
        )
    given = sys.stdin.buffer.read()
    if not given:
        raise UserError("standard input is empty; did the command before the pipe fail?")
    if arguments.stack is None:
        certificate = sealing.certificate(arguments.cert, "give another --cert, or --stack")
    else:
        stack = stackfile.load(arguments.stack)
        certificate = sealing.certificate(
            sealing.certificate_file(stack), f"run `seedbed unseal-check {stack.name} --write-certificate`"
        )
    if arguments.into is not None:
        seed = sealing.seed_of(stack)
        found = _found(find(seed.tree, seed.environments), arguments.into, arguments.name, arguments.namespace)
        write_all(seal_entry(found, arguments.entry, given, certificate))
        if given.endswith(b"\n"):
            print("note: the value ends with a line break, which is sealed with it", file=sys.stderr)
        print(f"sealed {arguments.entry} of {found.namespace}/{found.name} in {shown(found.file)}", file=sys.stderr)
        return 0
    scope = None if arguments.scope is None else Scope(arguments.scope)
    sys.stdout.write(sealed(given, certificate, scope, arguments.name, arguments.namespace))
    return 0


def sealed(given: bytes, certificate: str, scope: Scope | None, name: str | None, namespace: str | None) -> str:
    """SealedSecrets as YAML from manifests of Secrets; `scope` None: what each one's annotations say.

    Raises UserError or SealingError; neither quotes what was given.
    """
    try:
        secrets = [manifest for manifest, _ in documents(given.decode())]
    except (UnicodeDecodeError, UnreadableError) as error:
        why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise UserError(f"standard input has no manifest of a Secret: {why}") from None
    if not secrets:
        raise UserError("standard input has no manifest of a Secret: there are only comments")
    made = [
        seal(secret, certificate, scope or scope_of(secret))
        for secret in (_named(_named(secret, "name", name), "namespace", namespace) for secret in secrets)
    ]
    return "".join(f"---\n{yaml.dump(one, Dumper=_Dumper, sort_keys=False, width=1_000_000)}" for one in made)


class _Dumper(yaml.SafeDumper):
    """Quotes every text but the plainest: Go reads `y` and `1e3`, which PyYAML writes bare, as no texts."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _PLAIN.fullmatch(text) else "'")


_Dumper.add_representer(str, _text)


def _named(secret: dict[str, Any], field: str, value: str | None) -> dict[str, Any]:
    metadata = secret.get("metadata") or {}
    if value is None or not isinstance(metadata, dict):
        return secret
    there = metadata.get(field)
    # An empty one is what the option is for.
    if there not in (None, "", value):
        raise UserError(f"the Secret's metadata.{field} is {there!r}, but --{field} says {value!r}; leave one out")
    return {**secret, "metadata": {**metadata, field: value}}


def _found(everything: Iterable[Found | Unreadable], file: Path, name: str | None, namespace: str | None) -> Found:
    """The one SealedSecret of the tree that is meant. Raises UserError where there is none, or more than one."""
    there: dict[tuple[int, bytes], Found] = {}
    for found in everything:
        if found.file.resolve() != file.resolve():
            continue
        if isinstance(found, Unreadable):
            raise UserError(f"{shown(file)}: {found.why}; put the file right")
        if name in (None, found.name) and namespace in (None, found.namespace):
            label = scope_of(found.manifest).label(found.namespace, found.name)
            there[found.position, label] = found
    if not there:
        raise UserError(
            f"{shown(file)}: no such SealedSecret that the stack's cluster gets; its tree and its environments are in its settings"
        )
    if len(there) > 1:
        names = ", ".join(f"{found.namespace}/{found.name}" for found in there.values())
        raise UserError(f"{shown(file)}: which one is meant? There are {names}; give --name and --namespace")
    return next(iter(there.values()))
