"""How a report says things: names, lists and numbers in Markdown that no name can break out of."""

import re
from collections.abc import Iterable, Sequence

MOST_NAMES = 8
"""Longer lists end with how many more there are."""

LONGEST_TEXT = 400
"""Characters of what the engine or the program says."""

SECRET = "[secret]"  # noqa: S105  the engine's word in place of one

_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_MARKUP = re.compile(r"([\\`*_\[\]<>#|~!])")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m|<\{%[^%]*%\}>")
_KEY = re.compile(r"-----BEGIN [^-]*-----.*?(-----END [^-]*-----|\Z)", re.DOTALL)


def code(name: str) -> str:
    """A name as it is: in a code span, where no forge looks for markup, people or numbers of issues."""
    text = _NOT_SHOWN.sub("�", name)
    if "`" not in text:
        return f"`{text}`"
    # A span begins and ends with more backticks than follow each other in it.
    # Source: https://spec.commonmark.org/0.31.2/#code-spans
    fence = "`" * (max(len(run) for run in re.findall("`+", text)) + 1)
    return f"{fence} {text} {fence}"


def prose(text: str) -> str:
    """One line of somebody else's words: no markup of its own, no colours, no key, and not without an end."""
    text = uncoloured(_KEY.sub(SECRET, text))
    text = _NOT_SHOWN.sub("�", " ".join(text.split()))
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT].rstrip() + " …"
    # Nobody is called by a preview: a word joiner after the sign.
    return _MARKUP.sub(r"\\\1", text).replace("@", "@\u2060")


def uncoloured(text: str) -> str:
    """Without the engine's colours."""
    return _COLOUR.sub("", text)


def plain(markdown: str) -> str:
    """What `code` and `prose` made, for a terminal."""
    text = re.sub(r"\\([\\`*_\[\]<>#|~!])", r"\1", markdown.replace("**", ""))
    return text.replace("`", "").replace("\u2060", "")


def names(found: Iterable[str]) -> str:
    """Names in code spans, as a sentence lists them."""
    listed = [code(name) for name in found]
    if len(listed) > MOST_NAMES:
        listed = [*listed[: MOST_NAMES - 1], f"{len(listed) - MOST_NAMES + 1} more"]
    return sentence(listed)


def sentence(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def count(number: int, noun: str) -> str:
    """`1 machine`, `2 machines`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if re.search(r"[^aeiou]y$", noun) else f"{number} {noun}s"
