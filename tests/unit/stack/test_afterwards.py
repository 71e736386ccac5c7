"""What is said when the engine has planned all deletions."""

from types import SimpleNamespace

import pytest
from pulumi.runtime.proto import engine_pb2

from stacks import afterwards


@pytest.fixture
def engine(monkeypatch):
    """The engine's two ends as the SDK has them: `events` is what came to pass, in order."""
    events = []

    def wait(request, **options):
        events.append(("waited", request, options))
        return "reply"

    monitor = SimpleNamespace(SignalAndWaitForShutdown=wait)
    log = SimpleNamespace(Log=lambda request: events.append((request.severity, request.message)))
    monkeypatch.setattr(afterwards.settings, "get_monitor", lambda: monitor)
    monkeypatch.setattr(afterwards.settings, "get_engine", lambda: log)
    return SimpleNamespace(events=events, monitor=monitor)


def test_the_lines_are_asked_for_and_shown_only_when_the_engine_has_let_the_program_end(engine):
    lines = ["too early"]
    afterwards.warn_when_done(lambda: lines)
    lines[:] = ["one", "another"]
    assert engine.events == []
    assert engine.monitor.SignalAndWaitForShutdown("request", timeout=7) == "reply"
    assert engine.events == [
        ("waited", "request", {"timeout": 7}),
        (engine_pb2.WARNING, "one"),
        (engine_pb2.WARNING, "another"),
    ]


def test_nothing_is_shown_where_there_is_nothing_to_say(engine):
    afterwards.warn_when_done(list)
    engine.monitor.SignalAndWaitForShutdown("request")
    assert [event[0] for event in engine.events] == ["waited"]
