"""What a part of the small internet answers to a request, before it is put on the wire."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Stream(Protocol):
    """A body that is still arriving."""

    @property
    def length(self) -> int | None:
        """Bytes in all; None when the sender did not say."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes from the first on, as they come; raises OSError when the rest does not."""

    def finish(self) -> "FilePart":
        """Wait for the end; the whole as a file. Raises OSError when the rest does not come."""


@dataclass(frozen=True)
class FilePart:
    """`length` bytes of a file from `offset` on: a whole file, or a member of a tar."""

    path: Path
    offset: int
    length: int

    def read(self) -> bytes:
        """All of it; for small ones."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


@dataclass(frozen=True)
class Answer:
    """Status, body and headers; the length is the server's business."""

    status: int
    body: bytes | FilePart | Stream
    headers: Mapping[str, str] = field(default_factory=dict)


def text(status: int, message: str) -> Answer:
    """A plain-text answer."""
    return Answer(status, message.encode(), {"Content-Type": "text/plain; charset=utf-8"})


def document(status: int, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    """A JSON answer."""
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})
