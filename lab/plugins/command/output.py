"""What a command printed: kept for the outputs and for the error, and logged line by line while it runs."""

import asyncio
import codecs
import contextlib
import json
from collections.abc import Callable
from enum import StrEnum

from lab.plugins.protocol.log import Log, Severity

LONGEST_LINE = 32 * 1024
"""Characters that are logged as one line; a longer line is logged in pieces of this size. The official 1.2.1
stops reading its own pipe at a line of more than 64 KiB and hangs (util/util.go, `bufio.Scanner`)."""

_FLUSH_SECONDS = 5.0


class Stream(StrEnum):
    """One of the two streams of a command."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Output:
    """Collects both streams of one command.

    `logging` is the input of that name: `stdout`, `stderr`, `stdoutAndStderr` (also when absent) or `none`.
    """

    def __init__(self, logging: str | None, log: Log) -> None:
        self._both = bytearray()
        self._streams = {stream: bytearray() for stream in Stream}
        logged = {stream for stream in Stream if logging in (None, "stdoutAndStderr", stream)}
        self._lines = {stream: _Lines(self._queue) for stream in logged}
        self._queued: asyncio.Queue[str | None] = asyncio.Queue()
        self._logger = asyncio.create_task(self._write_log(log)) if logged else None

    def feed(self, stream: Stream, data: bytes) -> None:
        """Takes what arrived."""
        self._streams[stream] += data
        self._both += data
        if stream in self._lines:
            self._lines[stream].feed(data)

    async def finish(self) -> None:
        """Logs what is left and waits until the engine has it, for a few seconds at most."""
        for lines in self._lines.values():
            lines.finish()
        self._queued.put_nowait(None)
        if self._logger is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._logger, _FLUSH_SECONDS)

    @property
    def stdout(self) -> str:
        """The output property `stdout`: the text without one trailing newline."""
        return _text(self._streams[Stream.STDOUT]).removesuffix("\n")

    @property
    def stderr(self) -> str:
        """The output property `stderr`: the text without one trailing newline."""
        return _text(self._streams[Stream.STDERR]).removesuffix("\n")

    def failure(self, reason: str, command: str) -> str:
        """The message for a failed command: reason, command and both streams as they came.

        As in remote/commandOutputs.go and local/commandOutputs.go.
        """
        return f"{reason}: running {json.dumps(command, ensure_ascii=False)}:\n{_text(self._both)}"

    def _queue(self, line: str) -> None:
        self._queued.put_nowait(line)

    async def _write_log(self, log: Log) -> None:
        while (line := await self._queued.get()) is not None:
            await log(Severity.INFO, line, status=True)


def _text(data: bytes | bytearray) -> str:
    # The protocol carries no bytes that are not UTF-8.
    return data.decode("utf-8", "replace")


class _Lines:
    """Cuts a stream of bytes into lines."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> None:
        *complete, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        for line in complete:
            self._emit(line.removesuffix("\r"))
        while len(self._rest) > LONGEST_LINE:
            self._line(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]

    def finish(self) -> None:
        rest = self._rest + self._decoder.decode(b"", final=True)
        self._rest = ""
        if rest:
            self._emit(rest)

    def _emit(self, line: str) -> None:
        for start in range(0, max(len(line), 1), LONGEST_LINE):
            self._line(line[start : start + LONGEST_LINE])
