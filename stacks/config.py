"""Where a stack's settings and identity are read from: the engine's configuration inside the program, the stack's file outside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stacks.files import PROJECT, SettingsError
from stacks.files import ROOT as ROOT
from stacks.files import read_document as read_document
from stacks.files import stack_file as stack_file
from stacks.identity import Identity, IdentityError
from stacks.sealing import SealingError, unopenable
from stacks.seed_settings import Seed
from stacks.settings import Settings, parse, split


def from_engine(root: Path = ROOT) -> tuple[Settings, Identity]:
    """The settings and the identity of the stack that the engine runs.

    Raises `pulumi.RunError`, which the engine shows without a traceback, with every problem of both.
    """
    # The SDK takes a third of a second to import, and most of the command line needs the rest of this module only.
    import pulumi

    stack = pulumi.get_stack()
    raw, others = split(_engine_config())
    problems: list[str] = []
    settings: Settings | None = None
    try:
        settings = parse(raw, f"Pulumi.{stack}.yaml", root, others=others, stack=stack)
    except SettingsError as error:
        problems.append(str(error))
    try:
        identity = _identity(raw, stack, root)
    except IdentityError as error:
        problems.append(str(error))
    if not problems and settings is not None and settings.seed is not None:
        problems += _sealed_for_others(settings.seed, identity, stack)
    if problems or settings is None:
        raise pulumi.RunError("\n".join(problems))
    return settings, identity


def from_file(stack: str, root: Path = ROOT, *, lab_is_made: bool = True) -> Settings:
    """The settings of a stack from its file, without an engine; its secrets stay encrypted and are not looked at.

    `lab_is_made` as for `parse`. Raises `SettingsError`.
    """
    path = stack_file(stack, root)
    own, others = split(read_document(path).get("config") or {})
    return parse(own, path.name, root, others=others, lab_is_made=lab_is_made, stack=stack)


def _engine_config() -> dict[str, Any]:
    from pulumi.runtime.config import CONFIG, get_config_env

    # `pulumi.Config` can look keys up but not list them, and an unknown key is what a typing error makes. Structured
    # values arrive as JSON, all others as text.
    return {key: _value(value) for key, value in {**get_config_env(), **CONFIG.get()}.items()}


def _value(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _sealed_for_others(seed: Seed, identity: Identity, stack: str) -> list[str]:
    """Nothing is planted with keys that do not open what git will bring."""
    try:
        problems = unopenable(seed.tree, seed.environments, identity.sealing_keys, stack=stack)
    except SealingError as error:
        problems = [str(error)]
    return [str(SettingsError(f"the secrets in {seed.tree.name}/", problems))] if problems else []


def _identity(raw: Mapping[str, Any], stack: str, root: Path) -> Identity:
    if raw.get("identityFile"):
        return Identity.from_file(root / str(raw["identityFile"]))
    if "identity" not in raw:
        raise IdentityError(f"stack {stack} has no identity; make one with `seedbed init {stack}`")
    value = raw["identity"]
    return Identity.from_json(value if isinstance(value, str) else json.dumps(value), f"{PROJECT}:identity of {stack}")
