"""The Debian root that the seed's images share, made by mmdebstrap and kept in the cache."""

from pathlib import Path

from lab import apt
from tools import cache
from tools.debian import ensure_packages
from tools.process import run
from tools.progress import Progress

# What Argo CD's own image installs, and redis: one root for both, so that a node pulls and unpacks it once.
PACKAGES = ("git", "openssh-client", "ca-certificates", "tini", "gpg", "gpg-agent", "tzdata", "redis-server")

USER = 999
"""The user that Argo CD's image runs as."""

# Read by nobody in a container.
_UNREAD = ("man", "doc", "locale", "i18n", "info", "lintian", "bug")

# git depends on perl for commands that Argo CD does not use; its modules are a third of the root. They go after the
# installation, as scripts of packages need them.
_FINISH = f"""\
set -eu
rm -rf "$1"/usr/share/perl "$1"/usr/share/perl5 "$1"/usr/lib/*/perl "$1"/usr/lib/*/libperl.so.*
rm -rf "$1"/var/lib/dpkg/info "$1"/var/cache/debconf
echo 'argocd:x:{USER}:{USER}::/home/argocd:/bin/sh' >>"$1/etc/passwd"
echo 'argocd:x:{USER}:' >>"$1/etc/group"
"""

BUILD_SECONDS = 1800


def ensure(progress: Progress) -> Path:
    """A tar of the root, made of this machine's Debian mirrors.

    Raises LabError where apt names no mirror, ToolError where it cannot be made.
    """
    sources, settings = apt.mirrors().sources(), apt.settings()

    def make(folder: Path) -> None:
        ensure_packages(["mmdebstrap"], progress)
        (folder / "debian.sources").write_text(sources)
        (folder / "apt.conf").write_text(settings)
        with progress.phase(f"Debian {apt.SUITE} for the seed's images"):
            run(command(folder), "mmdebstrap of the seed's images", timeout=BUILD_SECONDS)

    recipe = [apt.SUITE, *command(Path()), sources, settings]
    return cache.entry("seed-root", cache.digest(recipe), make) / "root.tar"


def command(folder: Path) -> list[str]:
    """mmdebstrap from `debian.sources` and `apt.conf` of the folder to its `root.tar`.

    Without device nodes, which a host that is a container itself may not make: the runtime brings its own.
    """
    return [
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=essential", "--skip=output/dev"),
        f"--include={','.join(PACKAGES)}",
        f"--aptopt={folder / 'apt.conf'}",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _UNREAD),
        f"--customize-hook={_FINISH}",
        *(apt.SUITE, str(folder / "root.tar"), str(folder / "debian.sources")),
    ]
