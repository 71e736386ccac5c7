"""The encryption of sealed-secrets: one value for the holder of an RSA key, bound to a label.

A value is base64 of: the length of the RSA part (2 bytes, big endian); a random key of 32 bytes, encrypted by RSA-OAEP
with SHA-256 and the label; the plaintext, encrypted with that key by AES-256-GCM with a nonce of twelve zero bytes (the
key is used once).
Source: https://github.com/bitnami-labs/sealed-secrets/blob/v0.40.0/pkg/crypto/crypto.go
"""

import base64
import binascii
import os
import struct
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = bytes(12)
_LENGTH = struct.Struct(">H")


class NotSealedError(ValueError):
    """The text has not the form of a sealed value."""


class OtherKeyError(ValueError):
    """None of the keys opens the value under this label."""


class DamagedError(ValueError):
    """A key opens the value under this label, but its content is not what was sealed."""


def encrypt(key: rsa.RSAPublicKey, label: bytes, plaintext: bytes) -> str:
    """Seals `plaintext`; each call gives another text."""
    session = os.urandom(32)
    head = key.encrypt(session, _oaep(label))
    return base64.b64encode(_LENGTH.pack(len(head)) + head + AESGCM(session).encrypt(_NONCE, plaintext, None)).decode()


def decrypt(keys: Sequence[rsa.RSAPrivateKey], label: bytes, text: str) -> bytes:
    """The plaintext. Raises NotSealedError, OtherKeyError or DamagedError, none of which quotes the text."""
    try:
        # Go's decoder, which the controller uses, passes over line breaks.
        blob = base64.b64decode(text.translate({10: None, 13: None}), validate=True)
        (length,) = _LENGTH.unpack_from(blob)
    except (binascii.Error, ValueError, struct.error):
        raise NotSealedError from None
    head, body = blob[2 : 2 + length], blob[2 + length :]
    if len(head) < length or not body:
        raise NotSealedError
    for key in keys:
        try:
            session = key.decrypt(head, _oaep(label))
        except ValueError:
            continue
        try:
            return AESGCM(session).decrypt(_NONCE, body, None)
        except (InvalidTag, ValueError):
            raise DamagedError from None
    raise OtherKeyError


def _oaep(label: bytes) -> padding.OAEP:
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label or None)
