"""The S3 server that holds the lab's Pulumi state: versitygw over a folder, on loopback only."""

import errno
import http.client
import json
import os
import secrets
import shutil
import socket
import string
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote

from lab import LabError
from lab.internet import process
from lab.internet.pki import write_private

REGION = "us-east-1"
START_SECONDS = 10.0

_ADDRESS = "127.0.0.1"
_NAME = "s3"
_PORTS = range(17070, 18070)  # below Linux's ephemeral ports, so that no outgoing connection takes ours
_HEALTH = "/healthz"
_POLL = 0.02


@dataclass(frozen=True)
class S3:
    """A lab's S3 server and who may use it."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str

    def backend_url(self, prefix: str = "") -> str:
        """The bucket as a Pulumi backend, `s3://…`.

        The parameters are those that every supported CLI takes: before 3.245 unknown ones are an error, so the newer
        names (`use_path_style`, `disable_https`) are not among them; later ones translate the old names (pulumi's
        pkg/backend/diy/backend.go).
        """
        path = "/" + quote(prefix.strip("/")) if prefix.strip("/") else ""
        return (
            f"s3://{self.bucket}{path}?endpoint={self.endpoint}&region={REGION}&s3ForcePathStyle=true&disableSSL=true"
        )

    def environment(self) -> dict[str, str]:
        """What an S3 client needs to log in."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
        }


@dataclass(frozen=True)
class _Kept:
    """What stays the same for the lab's life, in `s3.json` in its folder (0600)."""

    port: int
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str

    def public(self) -> S3:
        return S3(f"http://{_ADDRESS}:{self.port}", self.access_key, self.secret_key, self.bucket)


def ensure(
    lab_dir: Path,
    lab: str,
    binary: Path,
    progress: Callable[[str], None] = lambda _: None,
    port: int | None = None,
) -> S3:
    """Have the server run and answer. The first call for a lab makes its keys, its port and its bucket.

    Later calls make none of them: a bucket that was deleted stays deleted, for whoever asks to see.

    Args:
        lab_dir: the lab's folder.
        lab: its name; the bucket is `seedbed-<lab>`.
        binary: the versitygw executable.
        progress: gets a line when the server is started.
        port: on 127.0.0.1, for the first call; None takes a free one.

    Raises:
        LabError: the port is taken by another program, or the server does not answer in time.
    """
    folder = process.services_dir(lab_dir)
    kept = _load(lab_dir) or _create(lab_dir, lab, port)
    argv = [str(binary), "--port", f"{_ADDRESS}:{kept.port}", "--region", REGION, "--health", _HEALTH]
    argv += ["--keep-alive", *_arguments(lab_dir)]
    if (daemon := process.running(folder, _NAME)) is None or daemon.argv != argv:
        process.stop(folder, _NAME, _arguments(lab_dir))
        _refuse_taken(kept.port, lab_dir)
        # The keys go by environment: a command line can be read by everybody. The names of the variables are those of
        # versitygw v1.8.0 (cmd/versitygw/main.go, posix.go).
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "ROOT_ACCESS_KEY": kept.access_key,
            "ROOT_SECRET_KEY": kept.secret_key,
        }
        if not _takes_attributes(lab_dir / "s3"):
            sidecar = lab_dir / "sidecar-s3"
            sidecar.mkdir(exist_ok=True)
            env["VGW_META_SIDECAR"] = str(sidecar.absolute())
        process.spawn(folder, _NAME, argv, env, lab_dir, fingerprint="")
        progress(f"S3 server on {_ADDRESS}:{kept.port}")
    _await(folder, kept.port)
    return kept.public()


def load(lab_dir: Path) -> S3 | None:
    """The lab's S3 server, running or not; None if the lab never had one."""
    kept = _load(lab_dir)
    return kept.public() if kept else None


def stop(lab_dir: Path) -> bool:
    """End the server; True if it ran. Its data stays."""
    folder = lab_dir / "services"
    return process.stop(folder, _NAME, _arguments(lab_dir)) if folder.is_dir() else False


def lose(lab_dir: Path) -> None:
    """End the server and remove what it held: the bucket with all that was in it, its keys and its port."""
    stop(lab_dir)
    for name in ("s3", "sidecar-s3"):
        shutil.rmtree(lab_dir / name, ignore_errors=True)
    (lab_dir / "s3.json").unlink(missing_ok=True)


def status(lab_dir: Path) -> int | None:
    """The server's pid if it runs."""
    daemon = process.running(lab_dir / "services", _NAME)
    return daemon.pid if daemon else None


def _arguments(lab_dir: Path) -> list[str]:
    """What ends the command line, and no other program's."""
    return ["posix", str((lab_dir / "s3").absolute())]


def _create(lab_dir: Path, lab: str, port: int | None) -> _Kept:
    bucket = f"seedbed-{lab}"
    kept = _Kept(
        port=port or _free_port(lab_dir),
        access_key="".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(20)),
        secret_key=secrets.token_urlsafe(30),
        bucket=bucket,
    )
    # A folder of the gateway's folder is a bucket. It comes before the file that says that the lab has one.
    (lab_dir / "s3" / bucket).mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(lab_dir / "s3.json", json.dumps(asdict(kept)).encode())
    return kept


def _load(lab_dir: Path) -> _Kept | None:
    path = lab_dir / "s3.json"
    try:
        return _Kept(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise LabError(f"{path} is damaged: take the lab down and make it anew") from error


def _free_port(lab_dir: Path) -> int:
    """A free port; where the search begins depends on the folder, so that two labs are not led to the same one."""
    begin = zlib.crc32(str(lab_dir.absolute()).encode()) % len(_PORTS)
    for step in range(len(_PORTS)):
        port = _PORTS[(begin + step) % len(_PORTS)]
        if _is_free(port):
            return port
    raise LabError(f"no free port on {_ADDRESS} between {_PORTS.start} and {_PORTS.stop - 1}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_ADDRESS, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def _refuse_taken(port: int, lab_dir: Path) -> None:
    if not _is_free(port):
        raise LabError(
            f"another program listens on {_ADDRESS}:{port}, the port of this lab's S3 server. End it"
            f" (`ss -ltnp sport = {port}` names it), or write another port into {lab_dir / 's3.json'}."
        )


def _takes_attributes(folder: Path) -> bool:
    """Whether the file system keeps user attributes, where versitygw puts an object's metadata."""
    try:
        os.setxattr(folder, "user.seedbed", b"")
        os.removexattr(folder, "user.seedbed")
    except OSError:
        return False
    return True


def _await(folder: Path, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        reason = _complaint(port)
        if reason is None:
            return
        ended = process.running(folder, _NAME) is None
        if ended or time.monotonic() > deadline:
            what = "has ended" if ended else f"does not answer after {START_SECONDS:.0f} s ({reason})"
            tail = process.log_tail(folder, _NAME)
            raise LabError(f"the lab's S3 server {what}; the last lines of {folder / 's3.log'}:\n{tail}")
        time.sleep(_POLL)


def _complaint(port: int) -> str | None:
    connection = http.client.HTTPConnection(_ADDRESS, port, timeout=1)
    try:
        connection.request("GET", _HEALTH)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    else:
        return None if answer.status == 200 else f"HTTP {answer.status}"
    finally:
        connection.close()
