"""Where this machine's apt gets Debian from, so that the lab's hosts get it from there too."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab import LabError, shell

ETC_APT = Path("/etc/apt")
SUITE = "bookworm"

CODENAMES = {"bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"}

# Settings of apt that say how a mirror is reached and how far it is trusted; all others are the machine's own taste.
CARRIED = ("Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::Retries")
CARRIED_BELOW = ("Acquire::http::Proxy", "Acquire::https::Proxy")


@dataclass(frozen=True)
class Source:
    """One entry of apt's sources: first address, suites and components, and the keyring it is signed by."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str


@dataclass(frozen=True)
class Mirrors:
    """The addresses of Debian's archive and, where the machine has one, of its security archive."""

    archive: str
    security: str | None

    def sources(self) -> str:
        """The ``debian.sources`` of a lab host."""
        text = _stanza(self.archive, f"{SUITE} {SUITE}-updates")
        return text + ("\n" + _stanza(self.security, f"{SUITE}-security") if self.security else "")


def mirrors() -> Mirrors:
    """This machine's Debian mirrors; ``LabError`` where its apt knows none."""
    override = os.environ.get("SEEDBED_DEBIAN_MIRROR")
    if override:
        return Mirrors(override, None)
    found = choose(read_sources(ETC_APT))
    if found is None:
        raise LabError(
            f"the lab's hosts are Debian {SUITE}, and {ETC_APT} of this machine names no Debian archive: "
            "set SEEDBED_DEBIAN_MIRROR to the address of one"
        )
    return found


def settings() -> str:
    """An ``apt.conf`` with those of this machine's settings that a mirror needs."""
    return carried(shell.run("apt-config", "dump").splitlines())


def carried(dump: Iterable[str]) -> str:
    """Those lines of ``apt-config dump`` that say how mirrors are reached, and that are set."""
    lines = []
    for line in dump:
        name, _, value = line.partition(" ")
        if (name in CARRIED or name.startswith(CARRIED_BELOW)) and value != '"";':
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def read_sources(folder: Path) -> list[Source]:
    """All enabled ``deb`` entries below ``folder``, in both of apt's formats."""
    found: list[Source] = []
    one_line = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]
    for path in one_line:
        if path.is_file():
            found += parse_one_line(path.read_text(errors="replace"))
    for path in sorted((folder / "sources.list.d").glob("*.sources")):
        found += parse_deb822(path.read_text(errors="replace"))
    return found


def parse_one_line(text: str) -> list[Source]:
    """``deb [options] uri suite component…``, see sources.list(5)."""
    found = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        signed_by, rest = "", words[1:]
        if rest and rest[0].startswith("["):
            end = next((i for i, word in enumerate(rest) if word.endswith("]")), 0)
            options = " ".join(rest[: end + 1]).strip("[] ").split()
            signed_by = next((o.partition("=")[2] for o in options if o.startswith("signed-by=")), "")
            rest = rest[end + 1 :]
        if len(rest) >= 3:
            found.append(Source(_address(rest[0]), (rest[1],), tuple(rest[2:]), signed_by))
    return found


def parse_deb822(text: str) -> list[Source]:
    """Stanzas of ``Field: value``, see sources.list(5)."""
    found = []
    for stanza in text.split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        uris = fields.get("uris", "").split()
        if "deb" in fields.get("types", "").split() and uris and fields.get("enabled", "yes") != "no":
            suites, components = fields.get("suites", "").split(), fields.get("components", "").split()
            found.append(Source(_address(uris[0]), tuple(suites), tuple(components), fields.get("signed-by", "")))
    return found


def choose(sources: Iterable[Source]) -> Mirrors | None:
    """The Debian archives among ``sources``; none where there is no main archive."""
    archive = security = None
    for source in sources:
        if not _is_debian(source):
            continue
        if any(suite.endswith(("-security", "/updates")) for suite in source.suites):
            security = security or source.uri
        else:
            archive = archive or source.uri
    return Mirrors(archive, security) if archive else None


def _is_debian(source: Source) -> bool:
    """Others use Debian's suite names too: what they lack is ``main`` signed by Debian's keyring, or its path."""
    suites = {suite.partition("/")[0].removesuffix("-updates").removesuffix("-security") for suite in source.suites}
    if "main" not in source.components or not suites & CODENAMES:
        return False
    if source.signed_by:
        return "debian-archive" in source.signed_by
    return source.uri.rstrip("/").rpartition("/")[2] in ("debian", "debian-security")


def _address(uri: str) -> str:
    """The address itself, also where a file names it (``mirror+file:``, as in Debian's cloud images)."""
    if not uri.startswith("mirror+file:"):
        return uri
    path = Path("/" + uri.removeprefix("mirror+file:").lstrip("/"))
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.split()[0] for line in lines if line.strip() and not line.startswith("#")), uri)


def _stanza(uri: str, suites: str) -> str:
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    return f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {keyring}\n"
