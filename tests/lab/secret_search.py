"""Every secret of a stack as the strings that a search finds it by, and searches for them here and on hosts."""

import base64
import os
import subprocess
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from lab.lab import Lab
from stacks.identity import Identity

SHORTEST = 16
"""A shorter line, such as the last of a PEM text, also occurs by chance."""

Patterns = Mapping[str, str]
"""A string to search for -> the secret that it is a part of."""

# `-D skip`: no devices and sockets. The patterns come on standard input, because a command line can be read by everybody.
GREP = "grep -raoF -D skip -f /dev/stdin --"
EVERYTHING = "$(ls -d /* | grep -vx -e /proc -e /sys -e /usr) /usr/local"


def patterns(identity: Identity, hosts: Iterable[str], **others: str) -> Patterns:
    """Each line of each private key, each token and each of `others`, as it is and as it looks inside base64."""
    texts = {
        "operator key": identity.operator_key + identity.operator_key_pkcs8,
        "admin key": identity.admin.key,
        "host key seed": identity.host_key_seed,
        "server token": identity.server_token,
        "agent token": identity.agent_token,
        "deploy key": identity.deploy_key(1).private,
        **{f"sealing key {i}": pair.key for i, pair in enumerate(identity.sealing_keys)},
        **{name: text for name, text in identity.files.items() if name.endswith(".key")},
        **{f"host key of {host}": identity.host_key(host).private for host in hosts},
        **others,
    }
    every_key_has = set(identity.host_key("another").private.splitlines())
    found: dict[str, str] = {}
    for name, text in texts.items():
        for line in text.splitlines():
            if len(line) >= SHORTEST and not line.startswith("-----") and line not in every_key_has:
                found |= dict.fromkeys((line, *_inside_base64(line)), name)
        assert name in found.values(), f"nothing to search for of {name}"
    return found


def _inside_base64(text: str) -> list[str]:
    """What of `text` looks the same wherever it stands in what is encoded: one form for each alignment to three bytes."""
    forms = []
    for offset in range(3):
        rest = text[offset:].encode()
        forms.append(base64.b64encode(rest[: len(rest) // 3 * 3]).decode())
    return forms


def in_text(text: str, secrets: Patterns) -> set[str]:
    """The secrets of which a part stands in the text."""
    return {name for string, name in secrets.items() if string in text}


def on_host(lab: Lab, host: str, secrets: Patterns, where: str = EVERYTHING) -> dict[str, set[str]]:
    """The files of a host that hold a part of a secret -> the secrets; `where` is for the host's shell."""
    command = f"set -o pipefail; {GREP} {where} 2>/dev/null"
    done = lab.ssh(host, f"bash -c '{command}'", stdin=_lines(secrets), check=False, timeout=120)
    assert done.returncode in (0, 1, 2), done.stderr  # 2: a file went away meanwhile
    return _by_file(done.stdout, secrets)


def in_folder(folder: Path, secrets: Patterns, skip: Iterable[str] = ()) -> dict[str, set[str]]:
    """As `on_host` for a folder of this machine; folders of the names `skip` are not looked into."""
    argv = [*GREP.split()[:-1], *(f"--exclude-dir={name}" for name in skip), "--", "."]
    done = subprocess.run(
        argv, cwd=folder, input=_lines(secrets), capture_output=True, text=True, errors="replace", timeout=120, check=False
    )  # fmt: skip
    assert done.returncode in (0, 1, 2), done.stderr
    return {path.removeprefix("./"): names for path, names in _by_file(done.stdout, secrets).items()}


def _lines(secrets: Patterns) -> str:
    return "".join(f"{string}\n" for string in secrets)


def _by_file(output: str, secrets: Patterns) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in output.splitlines():
        path, _, string = line.rpartition(":")
        if string in secrets:
            found.setdefault(path, set()).add(secrets[string])
    return found


class ProcessWatch:
    """Collects the command lines of all processes of this machine while it is open; a host's are among them.

    New processes are looked at every few hundredths of a second, and again soon, for they may execute something else.
    """

    def __init__(self) -> None:
        self._lines: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "ProcessWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10)

    @property
    def text(self) -> str:
        """All command lines, one a line."""
        return "\n".join(sorted(self._lines))

    def _watch(self) -> None:
        looks: dict[str, int] = {}
        while not self._stop.wait(0.025):
            pids = {name for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208  a hundred times faster
            looks = {pid: looks.get(pid, 0) + 1 for pid in pids}
            for pid, count in looks.items():
                if count <= 4 or count % 40 == 0:
                    self._look(pid)

    def _look(self, pid: str) -> None:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return  # it has ended
        self._lines.add(line.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace"))
