"""What is left to say when the engine has planned or done all that it will, deletions included."""

from collections.abc import Callable, Iterable

from pulumi.runtime import settings
from pulumi.runtime.proto import engine_pb2


def warn_when_done(lines: Callable[[], Iterable[str]]) -> None:
    """Shows each of `lines()` as a warning of the stack, when the engine has let the program end.

    Hooks of deletions run after the program's own last line, and the SDK has no place for what comes after them. It ends by
    asking the monitor to wait for them (pulumi 3.272.0, `_wait_for_shutdown` in runtime/stack.py): that is where this goes.
    """
    monitor, engine = settings.get_monitor(), settings.get_engine()
    assert monitor is not None  # noqa: S101  for the type checker: programs run with both
    assert engine is not None  # noqa: S101
    wait = monitor.SignalAndWaitForShutdown

    def then(request: object, **options: object) -> object:
        reply = wait(request, **options)
        for line in lines():
            engine.Log(engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=line))
        return reply

    monitor.SignalAndWaitForShutdown = then
