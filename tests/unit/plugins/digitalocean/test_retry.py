import pytest

from lab.plugins.digitalocean.retry import LONGEST_PAUSE, Pace, Retries, Trouble, pause

RETRIES = Retries()


@pytest.mark.parametrize(
    ("trouble", "repeatable", "seconds"),
    [
        (Trouble(429, retry_after=7), True, 7.0),
        (Trouble(429, retry_after=7), False, 7.0),
        (Trouble(429, reset=40), False, 40.0),
        (Trouble(429), True, 1.0),
        (Trouble(429, retry_after=LONGEST_PAUSE + 1), True, None),
        (Trouble(503, retry_after=3), True, 3.0),
        (Trouble(500), True, 1.0),
        (Trouble(500), False, None),
        (Trouble(501), True, None),
        (Trouble(None, sent=True), True, 1.0),
        (Trouble(None, sent=True), False, None),
        (Trouble(None, sent=False), False, 1.0),
        (Trouble(404), True, None),
        (Trouble(422), True, None),
    ],
)
def test_a_request_is_sent_again_only_where_it_had_no_effect_or_may_have_it_twice(
    trouble: Trouble, repeatable: bool, seconds: float | None
) -> None:
    assert pause(RETRIES, 1, trouble, repeatable=repeatable) == seconds


def test_pauses_double_up_to_the_longest_and_end_after_as_many_as_are_set() -> None:
    retries = Retries(most=6, wait_min=1.0, wait_max=10.0)
    pauses = [pause(retries, tried, Trouble(500), repeatable=True) for tried in range(1, 8)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, None]


def test_what_the_api_asks_for_is_waited_even_if_it_is_longer_than_the_longest_pause() -> None:
    assert pause(Retries(wait_max=2.0), 1, Trouble(429, retry_after=60), repeatable=True) == 60.0


def test_no_minute_has_more_requests_than_allowed() -> None:
    pace = Pace(per_minute=3)
    at = [now + pace.wait(now) for now in (0.0, 0.0, 1.0, 1.0, 2.0, 70.0, 130.0)]
    assert at == [0.0, 0.0, 1.0, 60.0, 60.0, 70.0, 130.0]
    assert all(later - earlier >= 60.0 for earlier, later in zip(at, at[3:], strict=False))


def test_requests_per_second_keep_their_distance() -> None:
    pace = Pace(per_second=2.0)
    assert [now + pace.wait(now) for now in (0.0, 0.0, 0.1, 5.0)] == [0.0, 0.5, 1.0, 5.0]
