"""Looks for a stack's secrets in what is about to be shown to others."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping

from seedbed import UserError, passphrase
from stacks.identity import Identity

SHORTEST = 12
"""Letters: something shorter occurs by chance, and protects nothing."""

LINES = 6
"""So many lines of a key are looked for: none leaks without the others."""

DEPLOY_KEYS = 20
"""So many are looked for, the one in use and those before it: a state may still have the one that was replaced."""

# Of the environment of a preview; what has one of these names is a secret.
_VARIABLES = (
    "DIGITALOCEAN_TOKEN",
    "DIGITALOCEAN_ACCESS_TOKEN",
    "SPACES_SECRET_ACCESS_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)


def patterns(
    identity: Identity,
    machines: Iterable[str],
    environment: Mapping[str, str],
    public: str | None = None,
    *,
    deploy_key: int = 1,
) -> dict[str, str]:
    """Text to look for -> the secret that it is a part of: lines of keys and tokens, also as they look in JSON and base64.

    `machines` are full names. `public` is a passphrase that everybody knows: the dev stack's, which is in git. `deploy_key`
    is the number of the one in use.
    """
    from_environment = {passphrase.VARIABLE: _passphrase(environment)}
    from_environment |= {name: environment.get(name) for name in _VARIABLES}
    deploy_keys = range(max(1, deploy_key - DEPLOY_KEYS + 1), deploy_key + 1)
    secrets = {
        "the operator's key": identity.operator_key + identity.operator_key_pkcs8,
        "the admin's key": identity.admin.key,
        "the seed of the host keys": identity.host_key_seed,
        "the servers' token": identity.server_token,
        "the agents' token": identity.agent_token,
        **{f"deploy key {number}": identity.deploy_key(number).private for number in deploy_keys},
        **{f"sealing key {number}": pair.key for number, pair in enumerate(identity.sealing_keys, 1)},
        **{name: text for name, text in identity.files.items() if name.endswith(".key")},
        **{f"the host key of {machine}": identity.host_key(machine).private for machine in machines},
        **{name: text for name, text in from_environment.items() if text and text != public},
    }
    every_key_has = set(identity.host_key("another").private.splitlines())
    return {
        form: name
        for name, text in secrets.items()
        for line in _told([line for line in text.splitlines() if line not in every_key_has])
        for form in _forms(line)
    }


def found(text: str, secrets: Mapping[str, str]) -> list[str]:
    """The secrets of which a part stands in the text."""
    return sorted({name for form, name in secrets.items() if form in text})


def without(text: str, secrets: Mapping[str, str]) -> str:
    """The text, for a person, with the lines left out in which a part of a secret stands."""
    return "\n".join(
        f"[a line with {', '.join(names)}]" if (names := found(line, secrets)) else line for line in text.splitlines()
    )


def _passphrase(environment: Mapping[str, str]) -> str | None:
    try:
        return passphrase.from_environment(environment)
    except UserError:
        return None  # then there is none to be found, and whatever needs one says so


def _told(lines: list[str]) -> list[str]:
    long = [line for line in lines if len(line) >= SHORTEST and not line.startswith("-----")]
    # The first lines of a long key are public: those of RSA are its modulus.
    return long[-LINES:]


def _forms(line: str) -> Iterator[str]:
    """As it is, as it looks in JSON, and what of these looks the same wherever it stands in base64, for each alignment to
    three bytes."""
    raw = json.dumps(line, ensure_ascii=False)[1:-1]
    # The engine's JSON has these letters escaped as well. Source: https://pkg.go.dev/encoding/json#HTMLEscape
    engines = re.sub("[<>&\u2028\u2029]", lambda letter: f"\\u{ord(letter[0]):04x}", raw)
    for form in {line, raw, engines, json.dumps(line)[1:-1]}:
        yield form
        for offset in range(3):
            rest = form.encode(errors="replace")[offset:]
            yield base64.b64encode(rest[: len(rest) // 3 * 3]).decode()
