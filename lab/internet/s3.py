"""The S3 server that holds the lab's Pulumi state: versitygw over a folder, on loopback only."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote

from lab import LabError
from lab.internet import gateway, process
from lab.internet.gateway import REGION
from lab.internet.pki import write_private

_ADDRESS = "127.0.0.1"
_NAME = "s3"
_WHAT = "S3 server"
_PORTS = range(17070, 18070)  # below Linux's ephemeral ports, so that no outgoing connection takes ours


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
    server = gateway.Gateway(
        name=_NAME,
        what=_WHAT,
        binary=binary,
        data=lab_dir / "s3",
        sidecar=lab_dir / "sidecar-s3",
        address=_ADDRESS,
        port=kept.port,
        access_key=kept.access_key,
        secret_key=kept.secret_key,
    )
    if server.ensure(folder, lab_dir, f", or write another port into {lab_dir / 's3.json'}."):
        progress(f"S3 server on {_ADDRESS}:{kept.port}")
    gateway.wait(folder, [_NAME], _WHAT, _ADDRESS, kept.port)
    return kept.public()


def load(lab_dir: Path) -> S3 | None:
    """The lab's S3 server, running or not; None if the lab never had one."""
    kept = _load(lab_dir)
    return kept.public() if kept else None


def stop(lab_dir: Path) -> bool:
    """End the server; True if it ran. Its data stays."""
    folder = lab_dir / "services"
    return gateway.stop(folder, _NAME, lab_dir / "s3") if folder.is_dir() else False


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


def _create(lab_dir: Path, lab: str, port: int | None) -> _Kept:
    bucket = f"seedbed-{lab}"
    kept = _Kept(
        port=port or gateway.free_port(_ADDRESS, _PORTS, lab_dir),
        access_key=gateway.access_key(),
        secret_key=gateway.secret_key(),
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
