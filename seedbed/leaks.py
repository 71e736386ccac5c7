"""Looks for a stack's secrets in what is about to be shown to others."""

import base64
from collections.abc import Iterable, Iterator, Mapping

from seedbed import passphrase
from stacks.identity import Identity

SHORTEST = 12
"""Letters: something shorter occurs by chance, and protects nothing."""

LINES = 6
"""So many lines of a key are looked for: none leaks without the others."""

# Of the environment of a preview; what has one of these names is a secret.
_VARIABLES = (
    passphrase.VARIABLE,
    "DIGITALOCEAN_TOKEN",
    "DIGITALOCEAN_ACCESS_TOKEN",
    "SPACES_SECRET_ACCESS_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)


def patterns(
    identity: Identity, machines: Iterable[str], environment: Mapping[str, str], public: str | None = None
) -> dict[str, str]:
    """Text to look for -> the secret that it is a part of: lines of keys and tokens, also as they look inside base64.

    `machines` are full names. `public` is a passphrase that everybody knows: the dev stack's, which is in git.
    """
    secrets = {
        "the operator's key": identity.operator_key + identity.operator_key_pkcs8,
        "the admin's key": identity.admin.key,
        "the seed of the host keys": identity.host_key_seed,
        "the servers' token": identity.server_token,
        "the agents' token": identity.agent_token,
        "the deploy key": identity.deploy_key(1).private,
        **{f"sealing key {number}": pair.key for number, pair in enumerate(identity.sealing_keys, 1)},
        **{name: text for name, text in identity.files.items() if name.endswith(".key")},
        **{f"the host key of {machine}": identity.host_key(machine).private for machine in machines},
        **{name: environment[name] for name in _VARIABLES if environment.get(name) not in (None, "", public)},
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


def _told(lines: list[str]) -> list[str]:
    long = [line for line in lines if len(line) >= SHORTEST and not line.startswith("-----")]
    # The first lines of a long key are public: those of RSA are its modulus.
    return long[-LINES:]


def _forms(line: str) -> Iterator[str]:
    """As it is, and what of it looks the same wherever it stands in what is encoded, for each alignment to three bytes."""
    yield line
    for offset in range(3):
        rest = line[offset:].encode()
        yield base64.b64encode(rest[: len(rest) // 3 * 3]).decode()
