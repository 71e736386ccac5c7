import http.client
import socket
import ssl

import pytest

from lab.internet.server import Server
from lab.internet.site import Site

from .conftest import LOOPBACK, Lab, serving

BODY = bytes(range(256)) * 8192  # 2 MiB: more than one write


@pytest.fixture
def published(lab: Lab) -> Lab:
    (lab.tree / "big.bin").write_bytes(BODY)
    (lab.tree / "empty").touch()
    return lab


def test_a_file_arrives_whole(published: Lab) -> None:
    reply = published.client.ask("github.com", "/big.bin")
    assert (reply.status, reply.body) == (200, BODY)
    assert reply.headers["Content-Length"] == str(len(BODY))
    assert reply.headers["Content-Type"] == "application/octet-stream"


def test_an_empty_file_arrives_as_one(published: Lab) -> None:
    reply = published.client.ask("github.com", "/empty")
    assert (reply.status, reply.body) == (200, b"")


def test_head_gives_the_length_and_no_body(published: Lab) -> None:
    reply = published.client.ask("github.com", "/big.bin", "HEAD")
    assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", str(len(BODY)))


@pytest.mark.parametrize(
    ("wanted", "body", "content_range"),
    [
        ("bytes=0-9", BODY[:10], f"bytes 0-9/{len(BODY)}"),
        ("bytes=2097000-", BODY[2097000:], f"bytes 2097000-{len(BODY) - 1}/{len(BODY)}"),
        ("bytes=-5", BODY[-5:], f"bytes {len(BODY) - 5}-{len(BODY) - 1}/{len(BODY)}"),
        ("bytes=10-99999999", BODY[10:], f"bytes 10-{len(BODY) - 1}/{len(BODY)}"),
    ],
)
def test_a_broken_off_download_goes_on_where_it_stopped(
    published: Lab, wanted: str, body: bytes, content_range: str
) -> None:
    reply = published.client.ask("github.com", "/big.bin", headers={"Range": wanted})
    assert (reply.status, reply.body) == (206, body)
    assert reply.headers["Content-Range"] == content_range


@pytest.mark.parametrize("wanted", [f"bytes={len(BODY)}-", "bytes=5-4", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(published: Lab, wanted: str) -> None:
    reply = published.client.ask("github.com", "/big.bin", headers={"Range": wanted})
    assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{len(BODY)}")


def test_a_changed_file_is_not_continued_but_sent_anew(published: Lab) -> None:
    reply = published.client.ask("github.com", "/big.bin", headers={"Range": "bytes=5-", "If-Range": '"old"'})
    assert (reply.status, reply.body) == (200, BODY)


def test_what_the_client_has_already_is_not_sent_again(published: Lab) -> None:
    etag = published.client.ask("github.com", "/big.bin", "HEAD").headers["ETag"]
    reply = published.client.ask("github.com", "/big.bin", headers={"If-None-Match": f'"other", {etag}'})
    assert (reply.status, reply.body) == (304, b"")


def test_one_connection_serves_many_requests(published: Lab) -> None:
    connection = published.client.connect()
    for path, method in [("/big.bin", "GET"), ("/missing", "GET"), ("/big.bin", "HEAD"), ("/empty", "GET")]:
        connection.request(method, path, headers={"Host": "github.com"})
        used = connection.sock
        connection.getresponse().read()
        assert connection.sock is used is not None
    connection.close()


def test_writing_is_refused_and_the_connection_closed(lab: Lab) -> None:
    connection = lab.client.connect()
    connection.request("POST", "/x", body=b"GET /y HTTP/1.1\r\n\r\n", headers={"Host": "github.com"})
    response = connection.getresponse()
    assert (response.status, response.headers["Connection"]) == (405, "close")
    connection.close()


def test_a_request_without_host_is_refused(lab: Lab) -> None:
    connection = lab.client.connect()
    connection.putrequest("GET", "/", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_healthz_answers_at_the_bare_address_and_not_in_an_upstreams_name(lab: Lab) -> None:
    assert lab.client.ask(LOOPBACK, "/healthz").status == 200
    assert lab.client.ask("github.com", "/healthz").status == 404


def test_a_host_that_the_lab_does_not_answer_for_is_said_to_be_one(lab: Lab) -> None:
    reply = lab.client.ask("elsewhere.example", "/file")
    assert (reply.status, b"not a name that the lab answers for" in reply.body) == (404, True)


def test_a_client_that_never_shakes_hands_does_not_hold_up_the_others(published: Lab) -> None:
    with socket.create_connection((LOOPBACK, published.client.port)):
        assert published.client.ask("github.com", "/empty").status == 200


def test_a_client_that_distrusts_the_ca_gets_nothing(lab: Lab) -> None:
    connection = http.client.HTTPSConnection(
        LOOPBACK, lab.client.port, context=ssl.create_default_context(), timeout=10
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/healthz")


def test_tls_before_1_2_is_refused(server_context: ssl.SSLContext) -> None:
    assert server_context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_plain_http_sends_the_client_to_https(lab: Lab) -> None:
    site: Site = lab.site
    with serving(Server((LOOPBACK, 0), site, None, log=lambda _: None)) as port:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
        connection.request("GET", "/a%2Bb?c=d", headers={"Host": "github.com:80"})
        response = connection.getresponse()
        assert (response.status, response.headers["Location"]) == (301, "https://github.com/a%2Bb?c=d")
        connection.close()
