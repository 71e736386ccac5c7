import io

import pytest

from lab.cloud.spaces_front import _chunks, complaint

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def rules(*texts: str, namespace: str = NAMESPACE) -> bytes:
    return f"<LifecycleConfiguration {namespace}>{''.join(texts)}</LifecycleConfiguration>".encode()


@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
def test_rules_that_expire_by_time_can_be_kept(namespace: str) -> None:
    expire = "<Rule><Status>Enabled</Status><Expiration><Days>3</Days></Expiration></Rule>"
    old = "<Rule><Status>Disabled</Status><NoncurrentVersionExpiration/></Rule>"
    assert complaint(rules(expire, old, namespace=namespace)) is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{}", "not XML"),
        (rules(), "at least one Rule"),
        (b"<Other><Rule/></Other>", "at least one Rule"),
        (rules("<Rule><Expiration/></Rule>"), "Enabled or Disabled"),
        (rules("<Rule><Status>on</Status><Expiration/></Rule>"), "Enabled or Disabled"),
        (rules("<Rule><Status>Enabled</Status></Rule>"), "Each Rule has one of"),
        (rules("<Rule><Status>Enabled</Status><Expiration><Days>0</Days></Expiration></Rule>"), "positive"),
        (rules("<Rule><Status>Enabled</Status><Expiration><Days>soon</Days></Expiration></Rule>"), "positive"),
    ],
)
def test_rules_that_cannot_be_are_refused_with_the_reason(body: bytes, reason: str) -> None:
    said = complaint(body)
    assert said is not None
    assert reason in said


def test_a_chunked_body_is_read_to_its_end_and_no_further() -> None:
    source = io.BytesIO(b"5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\nNEXT")
    assert b"".join(_chunks(source)) == b"hello!"
    assert source.read() == b"NEXT"
