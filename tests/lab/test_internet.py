"""The small internet as a lab's hosts meet it: in a namespace of its own, with the real ports."""

import hashlib
import http.client
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import boto3
import pytest
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from lab import LabError
from lab.internet import dns, gateway, netns, process, s3, service
from lab.internet.mirror import publish_k3s
from lab.internet.names import UPSTREAM_HOSTS
from tools import toolchain
from tools.progress import Progress

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc/self/ns/net").exists(), reason="needs Linux and root"),
]

ADDRESS, OUTER = "10.77.250.2", "10.77.250.3"
VERSION = "v1.34.2+k3s1"
T = TypeVar("T")


class Outside:
    """The lab's services in a scratch namespace without a way out, and a resolver in it that stands for the outer one."""

    def __init__(self, name: str, lab_dir: Path) -> None:
        self.netns = name
        self.lab_dir = lab_dir
        self.tree = lab_dir.parent / "tree"
        self.asked: list[str] = []

    def start(self, **changes: object) -> service.Started:
        arguments = {"serve": {"github.com": self.tree}, "archives": [], "resolvers": [OUTER], **changes}
        return service.start(self.lab_dir, self.netns, ADDRESS, **arguments)  # type: ignore[arg-type]

    def inside(self, function: Callable[[], T]) -> T:
        return netns.call(self.netns, function)

    def resolve(self, name: str) -> list[str]:
        return self.inside(lambda: dns.lookup(name, [ADDRESS]))

    def records(self, name: str, kind: int) -> tuple[int, int]:
        """(response code, number of answers) for a record type, as a client sees them."""

        def ask() -> tuple[int, int]:
            labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
            query = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.settimeout(5)
                udp.sendto(query, (ADDRESS, 53))
                answer = udp.recv(4096)
            return answer[3] & 0xF, struct.unpack_from(">H", answer, 6)[0]

        return self.inside(ask)

    def get(self, host: str, path: str) -> tuple[int, bytes]:
        """As a host does: the name by the lab's DNS, the certificate by the lab's CA."""

        def ask() -> tuple[int, bytes]:
            context = ssl.create_default_context(cafile=str(self.lab_dir / "ca.crt"))
            plain = socket.create_connection((dns.lookup(host, [ADDRESS])[0], 443), timeout=10)
            connection = http.client.HTTPConnection(host)
            connection.sock = context.wrap_socket(plain, server_hostname=host)
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read()
            finally:
                connection.close()

        return self.inside(ask)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    name = f"sb-t{os.getpid() % 100000}-inet"
    lab = Outside(name, tmp_path_factory.mktemp("internet") / "lab")
    lab.tree.mkdir()
    subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)
    try:
        batch = f"link set lo up\naddress add {ADDRESS}/32 dev lo\naddress add {OUTER}/32 dev lo\n"
        subprocess.run(["ip", "-n", name, "-b", "-"], input=batch.encode(), check=True, timeout=10)
        udp = lab.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind((OUTER, 53))
        thread = threading.Thread(target=answer_everything, args=(udp, lab.asked))
        thread.start()
        try:
            yield lab
        finally:
            service.stop(lab.lab_dir)
            lab.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).sendto(b".", (OUTER, 53))
            thread.join()
            udp.close()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True, timeout=10)


def answer_everything(udp: socket.socket, asked: list[str]) -> None:
    """Each name has the address 192.0.2.99."""
    while True:
        query, client = udp.recvfrom(512)
        if len(query) == 1:
            return
        end, labels = 12, []
        while length := query[end]:
            labels.append(query[end + 1 : end + 1 + length].decode())
            end += 1 + length
        asked.append(".".join(labels))
        answer = query[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0) + query[12 : end + 5]
        answer += b"\xc0\x0c" + struct.pack(">2HIH", 1, 1, 60, 4) + bytes([192, 0, 2, 99])
        udp.sendto(answer, client)


@pytest.fixture
def started(outside: Outside) -> Outside:
    outside.start()
    return outside


@pytest.mark.parametrize("name", sorted(UPSTREAM_HOSTS))
def test_an_upstream_name_leads_to_the_lab_and_has_no_ipv6_address(started: Outside, name: str) -> None:
    assert started.resolve(name) == [ADDRESS]
    assert started.records(name, 28) == (0, 0)
    assert name not in started.asked


def test_other_names_are_asked_of_the_outer_resolver_also_below_the_labs_own(started: Outside) -> None:
    assert started.resolve("archive.example.org") == ["192.0.2.99"]
    assert started.resolve("api.github.com") == ["192.0.2.99"]


def test_without_an_outer_resolver_the_labs_names_still_resolve_and_others_fail_at_once(outside: Outside) -> None:
    outside.start(resolvers=[])
    assert outside.resolve("github.com") == [ADDRESS]
    with pytest.raises(dns.NameNotFoundError):
        outside.resolve("archive.example.org")


def test_a_host_downloads_the_k3s_release_and_its_checksum(started: Outside) -> None:
    binary = started.lab_dir / "k3s"
    binary.write_bytes(os.urandom(1 << 20))
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    publish_k3s(started.tree, VERSION, "amd64", binary, digest)
    base = f"/k3s-io/k3s/releases/download/{VERSION.replace('+', '%2B')}"
    assert started.get("github.com", f"{base}/k3s") == (200, binary.read_bytes())
    assert started.get("github.com", f"{base}/sha256sum-amd64.txt") == (200, f"{digest}  k3s\n".encode())


def test_what_nobody_has_is_a_404_that_says_so(started: Outside) -> None:
    status, body = started.get("registry-1.docker.io", "/v2/library/redis/manifests/7")
    assert (status, b"cannot be reached from here" in body) == (404, True)


def test_starting_again_leaves_running_services_alone(started: Outside) -> None:
    before = service.status(started.lab_dir)
    assert started.start().restarted == ()
    assert service.status(started.lab_dir) == before
    assert before.answers


def test_a_changed_configuration_restarts_only_what_it_concerns(started: Outside) -> None:
    assert started.start(archives=[started.tree / "new.tar"]).restarted == ("internet",)
    assert started.start(serve={"github.com": started.tree, "new.example": started.tree}).restarted == (
        "dnsmasq",
        "internet",
    )
    (started.tree / "file").write_text("new")
    assert started.get("new.example", "/file") == (200, b"new")
    started.start()


def test_a_service_that_died_comes_back_and_the_other_stays(started: Outside) -> None:
    before = service.status(started.lab_dir)
    daemon = process.running(process.services_dir(started.lab_dir), "internet")
    assert daemon is not None
    process._end(daemon.pid, daemon.start_time)
    assert not service.status(started.lab_dir).answers
    assert started.start().restarted == ("internet",)
    assert service.status(started.lab_dir).dns == before.dns


def test_stopping_leaves_no_process_and_is_harmless_twice(started: Outside) -> None:
    before = service.status(started.lab_dir)
    assert service.stop(started.lab_dir)
    assert not service.stop(started.lab_dir)
    assert not any(Path(f"/proc/{pid}").exists() for pid in (before.dns, before.https))
    assert service.status(started.lab_dir) == service.Status(None, None, False, ())


def test_a_taken_port_is_an_error_with_the_logs_last_lines(outside: Outside) -> None:
    service.stop(outside.lab_dir)
    with outside.inside(socket.socket) as taken:
        taken.bind((ADDRESS, 443))
        taken.listen()
        with pytest.raises(LabError, match=r"internet has ended; the last lines of (.|\n)*Address already in use"):
            outside.start()


def test_an_archive_that_cannot_be_read_is_named_and_does_no_other_harm(outside: Outside) -> None:
    broken = outside.tree.parent / "broken.tar"
    broken.write_text("no tar")
    outside.start(archives=[broken])
    status = service.status(outside.lab_dir)
    assert status.answers
    assert [line.partition(" is not")[0] for line in status.problems] == [str(broken)]


def test_a_namespace_that_is_missing_is_named(outside: Outside, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no network namespace sb-none-inet"):
        service.start(tmp_path, "sb-none-inet", ADDRESS, {}, [])


def test_nothing_listens_outside_the_namespace(started: Outside) -> None:
    status = service.status(started.lab_dir)
    here = Path("/proc/self/ns/net").readlink()
    assert all(Path(f"/proc/{pid}/ns/net").readlink() != here for pid in (status.dns, status.https))


@pytest.fixture(scope="module")
def versitygw() -> Path:
    return toolchain.versitygw(Progress())


@pytest.fixture
def s3_lab(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    s3.stop(tmp_path)


def client(server: s3.S3, secret_key: str | None = None) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=s3.REGION,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=secret_key or server.secret_key,
    )


def test_the_state_server_takes_copies_lists_and_deletes_with_the_labs_keys_only(s3_lab: Path, versitygw: Path) -> None:
    server = s3.ensure(s3_lab, "t1", versitygw)
    with_keys = client(server)
    with_keys.put_object(Bucket="seedbed-t1", Key="p/a%b", Body=b"state")
    with_keys.copy_object(Bucket="seedbed-t1", Key="p/c", CopySource={"Bucket": "seedbed-t1", "Key": "p/a%b"})
    listed = with_keys.list_objects_v2(Bucket="seedbed-t1", Prefix="p/")
    assert sorted(entry["Key"] for entry in listed["Contents"]) == ["p/a%b", "p/c"]
    assert with_keys.get_object(Bucket="seedbed-t1", Key="p/c")["Body"].read() == b"state"
    with_keys.delete_object(Bucket="seedbed-t1", Key="p/c")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client(server, "wrong").list_objects_v2(Bucket="seedbed-t1")


def test_keys_port_and_data_outlive_the_state_server(s3_lab: Path, versitygw: Path) -> None:
    first = s3.ensure(s3_lab, "t1", versitygw)
    pid = s3.status(s3_lab)
    client(first).put_object(Bucket=first.bucket, Key="k", Body=b"v")
    assert s3.ensure(s3_lab, "t1", versitygw) == first
    assert s3.status(s3_lab) == pid
    assert s3.stop(s3_lab)
    assert s3.status(s3_lab) is None
    again = s3.ensure(s3_lab, "t1", versitygw)
    assert again == first == s3.load(s3_lab)
    assert client(again).get_object(Bucket=again.bucket, Key="k")["Body"].read() == b"v"


def test_a_bucket_that_was_deleted_is_not_made_again(s3_lab: Path, versitygw: Path) -> None:
    server = s3.ensure(s3_lab, "t1", versitygw)
    shutil.rmtree(s3_lab / "s3" / server.bucket)
    s3.stop(s3_lab)
    s3.ensure(s3_lab, "t1", versitygw)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        client(server).list_objects_v2(Bucket=server.bucket)


def test_the_state_servers_keys_are_in_no_command_line_or_log_and_its_file_is_private(
    s3_lab: Path, versitygw: Path
) -> None:
    server = s3.ensure(s3_lab, "t1", versitygw)
    command_line = Path(f"/proc/{s3.status(s3_lab)}/cmdline").read_bytes()
    log = (s3_lab / "services" / "s3.log").read_bytes()
    assert server.secret_key.encode() not in command_line + log
    assert server.secret_key not in repr(server)
    assert (s3_lab / "s3.json").stat().st_mode & 0o777 == 0o600


def test_a_state_server_whose_port_is_taken_says_so(s3_lab: Path, versitygw: Path) -> None:
    server = s3.ensure(s3_lab, "t1", versitygw)
    s3.stop(s3_lab)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(server.endpoint.rpartition(":")[2])))
        taken.listen()
        with pytest.raises(LabError, match="another program listens on"):
            s3.ensure(s3_lab, "t1", versitygw)


def test_an_s3_server_works_where_files_take_no_attributes(
    s3_lab: Path, versitygw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "takes_attributes", lambda _: False)
    server = s3.ensure(s3_lab, "t1", versitygw)
    client(server).put_object(Bucket=server.bucket, Key="k", Body=b"v", ContentType="text/x-state")
    assert client(server).head_object(Bucket=server.bucket, Key="k")["ContentType"] == "text/x-state"
