"""What is kept of a command's output and what is logged of it."""

import asyncio
from collections.abc import Iterable

import pytest

from lab.plugins.command.output import LONGEST_LINE, Output, Stream
from lab.plugins.protocol.log import Severity


def logged(logging: str | None, parts: Iterable[tuple[Stream, bytes]]) -> tuple[Output, list[str]]:
    messages: list[str] = []

    async def log(severity: Severity, message: str, *, status: bool = False) -> None:
        assert (severity, status) == (Severity.INFO, True)
        messages.append(message)

    async def run() -> Output:
        output = Output(logging, log)
        for stream, data in parts:
            output.feed(stream, data)
        await output.finish()
        return output

    return asyncio.run(run()), messages


def test_lines_are_logged_whole_however_they_arrive() -> None:
    parts = [b"fir", b"st\r\nsec\xc3", b"\xa4ond\n\nlast"]
    _, messages = logged(None, [(Stream.STDOUT, part) for part in parts])
    assert messages == ["first", "secäond", "", "last"]


def test_a_line_without_end_is_logged_in_pieces() -> None:
    text = b"x" * (LONGEST_LINE * 2 + 5)
    output, messages = logged(None, [(Stream.STDOUT, text), (Stream.STDERR, text + b"\n")])
    assert [len(message) for message in messages] == [LONGEST_LINE, LONGEST_LINE, LONGEST_LINE, LONGEST_LINE, 5, 5]
    assert len(output.stdout) == len(text)


@pytest.mark.parametrize(
    ("logging", "expected"),
    [
        (None, ["out", "err"]),
        ("stdoutAndStderr", ["out", "err"]),
        ("stdout", ["out"]),
        ("stderr", ["err"]),
        ("none", []),
    ],
)
def test_only_the_chosen_streams_are_logged(logging: str | None, expected: list[str]) -> None:
    output, messages = logged(logging, [(Stream.STDOUT, b"out\n"), (Stream.STDERR, b"err\n")])
    assert messages == expected
    assert (output.stdout, output.stderr) == ("out", "err")


def test_a_failure_shows_both_streams_in_the_order_in_which_they_came() -> None:
    output, _ = logged("none", [(Stream.STDERR, b"one\n"), (Stream.STDOUT, b"two\n"), (Stream.STDERR, b"three")])
    assert output.failure("exit status 1", 'say "a"') == 'exit status 1: running "say \\"a\\"":\none\ntwo\nthree'


def test_a_log_without_an_answer_does_not_lose_the_output() -> None:
    async def log(severity: Severity, message: str, *, status: bool = False) -> None:
        raise TimeoutError

    async def run() -> str:
        output = Output(None, log)
        output.feed(Stream.STDOUT, b"kept\n")
        await output.finish()
        return output.stdout

    assert asyncio.run(run()) == "kept"
