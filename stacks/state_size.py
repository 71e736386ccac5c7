"""Keeps out of the engine's state what nobody reads there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_stack_traces() -> Iterator[None]:
    """Resources that are made inside are registered without the Python stack that made them.

    The SDK sends the whole of it, down to the event loop, with every resource, and the engine keeps it: a fifth of the
    state, with paths of the machine that ran the program. Errors that leave the block are shown with all of theirs.
    Source: pulumi 3.272.0, `_get_stack_trace` in runtime/resource.py; sys.tracebacklimit bounds what it sees.
    """
    there = hasattr(sys, "tracebacklimit")
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = 1
    try:
        yield
    finally:
        if there:
            sys.tracebacklimit = before
        else:
            del sys.tracebacklimit
