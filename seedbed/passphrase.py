"""The passphrase of a stack, and the encryption that Pulumi's passphrase secrets manager does with it.

Pulumi's format, so that what is written here is read by `pulumi` and the other way round (pulumi/pulumi,
`pkg/secrets/passphrase/manager.go` and `sdk/go/common/resource/config/crypt.go`): a key of 32 bytes by
PBKDF2-SHA256 with 1,000,000 rounds and a salt of 8 bytes; AES-256-GCM with a nonce of 12 bytes and no additional
data; a value is `v1:<nonce>:<ciphertext>`, all in base64, and the yaml's `encryptionsalt` is `v1:<salt>:<the word
"pulumi", encrypted>`. Nothing here needs the CLI, the network or the state.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from seedbed import UserError

ROUNDS = 1_000_000
SALT_BYTES = 8
NONCE_BYTES = 12
PROOF = "pulumi"

VARIABLE = "PULUMI_CONFIG_PASSPHRASE"
FILE_VARIABLE = "PULUMI_CONFIG_PASSPHRASE_FILE"


class WrongPassphraseError(UserError):
    """The passphrase does not open the stack's salt."""


@dataclass(frozen=True)
class Crypter:
    """Encrypts and decrypts the secrets of one stack's yaml; `salt` is the yaml's `encryptionsalt`."""

    salt: str
    _key: bytes

    def __repr__(self) -> str:
        return "Crypter(…)"

    @staticmethod
    def new(passphrase: str) -> "Crypter":
        """Makes a salt for a stack that has none yet."""
        raw = os.urandom(SALT_BYTES)
        key = _derive(passphrase, raw)
        return Crypter(f"v1:{base64.b64encode(raw).decode()}:{_encrypt(key, PROOF)}", key)

    @staticmethod
    def open(salt: str, passphrase: str) -> "Crypter":
        """Opens a stack's `encryptionsalt`. Raises WrongPassphraseError, or UserError where the salt is malformed."""
        version, _, rest = salt.partition(":")
        encoded, _, proof = rest.partition(":")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raw = b""
        if version != "v1" or not raw or not proof:
            raise UserError("the stack's `encryptionsalt` is not one that Pulumi wrote; take it from git history")
        key = _derive(passphrase, raw)
        if _decrypt(key, proof) != PROOF:
            raise WrongPassphraseError(
                f"the passphrase in {VARIABLE} is not the one this stack was made with; take it from the password manager"
            )
        return Crypter(salt, key)

    def encrypt(self, text: str) -> str:
        """The value of a `secure:` entry."""
        return _encrypt(self._key, text)

    def decrypt(self, value: str) -> str:
        """The text of a `secure:` entry. Raises UserError if it was not made with this salt and passphrase."""
        text = _decrypt(self._key, value)
        if text is None:
            raise UserError(
                "a secret of the stack's yaml was not made with the stack's `encryptionsalt`; "
                "take both from the same commit of git history"
            )
        return text


def from_environment(environment: Mapping[str, str]) -> str:
    """The passphrase as `pulumi` finds it. Raises UserError where none is set, or an empty one."""
    value = environment.get(VARIABLE)
    if value is None and (file := environment.get(FILE_VARIABLE)):
        try:
            value = Path(file).read_text().strip()
        except OSError as error:
            raise UserError(f"{FILE_VARIABLE} names {file}, which cannot be read: {error.strerror}") from error
    if value is None:
        raise UserError(f"no passphrase: export {VARIABLE} (or {FILE_VARIABLE}, the path of a file that holds it)")
    if not value.strip():
        # Pulumi takes an empty one as valid, so a CI variable that expands to nothing would leave keys unprotected.
        raise UserError(f"the passphrase in {VARIABLE} is empty; export the stack's own, from the password manager")
    return value


def public_passphrase(root: Path) -> str | None:
    """The dev stack's passphrase, which `.env.example` publishes; None where there is no such file."""
    try:
        lines = (root / ".env.example").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() == VARIABLE:
            return value.strip().strip("'\"")
    return None


def _derive(passphrase: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, ROUNDS, 32)


def _encrypt(key: bytes, text: str) -> str:
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, text.encode(), None)
    return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"


def _decrypt(key: bytes, value: str) -> str | None:
    version, _, rest = value.partition(":")
    nonce, _, sealed = rest.partition(":")
    if version != "v1":
        return None
    try:
        return (
            AESGCM(key)
            .decrypt(base64.b64decode(nonce, validate=True), base64.b64decode(sealed, validate=True), None)
            .decode()
        )
    except (InvalidTag, binascii.Error, ValueError):
        return None
