"""Images of what the tree `k8s/` runs beside the seed, under their upstream names, for hosts that cannot pull them.

How they differ from upstream's: docs/explanation/stand-ins.md.
"""

import shutil
from pathlib import Path

from lab import apt, oci
from tools import cache, gobuild
from tools.debian import ensure_packages
from tools.process import run
from tools.progress import Progress

METRICS_SERVER_MODULE = "sigs.k8s.io/metrics-server"
METRICS_SERVER_VERSION = "v0.9.0"
METRICS_SERVER_IMAGE = f"registry.k8s.io/metrics-server/metrics-server:{METRICS_SERVER_VERSION}"

PODINFO_MODULE = "github.com/stefanprodan/podinfo"
PODINFO_VERSION = "6.9.2"
"""What the program says that it is. Its go.mod names the commit: the module has no version tags that Go would take."""

PODINFO_IMAGE = f"ghcr.io/stefanprodan/podinfo:{PODINFO_VERSION}"
NGINX_IMAGE = "docker.io/nginxinc/nginx-unprivileged:1.28.0-alpine"

IMAGES = (METRICS_SERVER_IMAGE, PODINFO_IMAGE, NGINX_IMAGE)

NGINX_USER = 101
NGINX_CONFIG = b"""\
worker_processes auto;
error_log /dev/stderr notice;
pid /tmp/nginx.pid;

events {}

http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  access_log /dev/stdout;
  client_body_temp_path /tmp/client_temp;
  proxy_temp_path /tmp/proxy_temp;
  fastcgi_temp_path /tmp/fastcgi_temp;
  uwsgi_temp_path /tmp/uwsgi_temp;
  scgi_temp_path /tmp/scgi_temp;

  server {
    listen 8080;
    root /usr/share/nginx/html;
  }
}
"""
"""What the image serves when nobody mounts another configuration."""

STAND_IN = {"org.opencontainers.image.description": "stand-in for the image of that name"}

EXTRACT_SECONDS = 600

# Read by nobody in a container.
_SLIM = """\
set -eu
rm -rf "$1"/usr/share/doc "$1"/usr/share/man "$1"/usr/share/locale "$1"/usr/lib/*/gconv
rm -rf "$1"/var/cache "$1"/var/lib/apt "$1"/var/lib/dpkg "$1"/etc/resolv.conf "$1"/etc/hostname
"""

_GITOPS = Path(__file__).parent / "gitops"


def ensure(progress: Progress) -> list[Path]:
    """OCI-layout tars with the images; built when they are not in the cache.

    Raises ToolError where a build fails, LabError where apt names no Debian mirror.
    """
    metrics_server = _metrics_server(progress)
    podinfo = _podinfo(progress)
    nginx = _nginx(progress)
    return [
        _archive("metrics-server", metrics_server_image(metrics_server), [metrics_server], progress),
        _archive("podinfo", podinfo_image(podinfo, _podinfo_page(progress)), [podinfo], progress),
        _archive("nginx", nginx_image(nginx), [nginx], progress),
    ]


def metrics_server_image(program: Path) -> oci.Image:
    """metrics-server as upstream's Dockerfile has it, on nothing."""
    return oci.Image(
        names=(METRICS_SERVER_IMAGE,),
        layers=(oci.Layer((oci.Directory("tmp", 0o1777), oci.File("metrics-server", program, 0o755))),),
        entrypoint=("/metrics-server",),
        user="65534",
        labels=STAND_IN,
    )


def podinfo_image(program: Path, ui: Path) -> oci.Image:
    """podinfo where upstream's Dockerfile puts it, on nothing."""
    return oci.Image(
        names=(PODINFO_IMAGE,),
        layers=(
            oci.Layer(
                (
                    oci.Directory("tmp", 0o1777),
                    oci.File("home/app/podinfo", program, 0o755),
                    oci.File("home/app/ui/vue.html", ui),
                )
            ),
        ),
        command=("./podinfo",),
        working_dir="/home/app",
        user="100:101",
        labels=STAND_IN,
    )


def nginx_image(root: Path) -> oci.Image:
    """nginx on port 8080, as the user that upstream's image has."""
    passwd = f"root:x:0:0:root:/root:/bin/sh\nnginx:x:{NGINX_USER}:{NGINX_USER}:nginx:/nonexistent:/bin/false\n"
    group = f"root:x:0:\nnginx:x:{NGINX_USER}:\n"
    return oci.Image(
        names=(NGINX_IMAGE,),
        layers=(
            root,
            oci.Layer(
                (
                    oci.File("etc/nginx/nginx.conf", NGINX_CONFIG),
                    oci.File("etc/passwd", passwd.encode()),
                    oci.File("etc/group", group.encode()),
                )
            ),
        ),
        command=("nginx", "-e", "/dev/stderr", "-g", "daemon off;"),
        user=str(NGINX_USER),
        ports=("8080/tcp",),
        labels=STAND_IN,
    )


def _archive(name: str, image: oci.Image, sources: list[Path], progress: Progress) -> Path:
    def write(folder: Path) -> None:
        with progress.phase(f"images of the lab: {name}"):
            oci.write(folder / f"{name}.tar", [image])

    # The sources' own folders are named by the hash of what they were made from.
    parts: list[str | bytes] = [repr(image), *map(str, sources), Path(oci.__file__).read_bytes()]
    return cache.entry(f"images-{name}", cache.digest(parts), write) / f"{name}.tar"


def _metrics_server(progress: Progress) -> Path:
    facts = {"gitVersion": METRICS_SERVER_VERSION, "gitTreeState": "clean"}
    flags = " ".join(f"-X k8s.io/client-go/pkg/version.{name}={value}" for name, value in facts.items())
    package = f"{METRICS_SERVER_MODULE}/cmd/metrics-server"
    return gobuild.build(_GITOPS / "metrics-server", package, "metrics-server", f"-s -w {flags}", progress=progress)


def _podinfo_page(progress: Progress) -> Path:
    """The page that podinfo serves to browsers, out of its module."""
    module = _GITOPS / "podinfo"

    def copy(folder: Path) -> None:
        sources = gobuild.module_folder(module, PODINFO_MODULE, progress=progress)
        shutil.copyfile(sources / "ui" / "vue.html", folder / "vue.html")  # without the mode: modules are read-only

    return cache.entry("podinfo-page", cache.digest([(module / "go.sum").read_bytes()]), copy) / "vue.html"


def _podinfo(progress: Progress) -> Path:
    flags = f"-s -w -X {PODINFO_MODULE}/pkg/version.REVISION=seedbed-lab"
    return gobuild.build(_GITOPS / "podinfo", f"{PODINFO_MODULE}/cmd/podinfo", "podinfo", flags, progress=progress)


def _nginx(progress: Progress) -> Path:
    """A tar of Debian's nginx with the libraries that it needs, neither installed nor configured."""
    sources, settings = apt.mirrors().sources(), apt.settings()

    def make(folder: Path) -> None:
        ensure_packages(["mmdebstrap"], progress)
        (folder / "debian.sources").write_text(sources)
        (folder / "apt.conf").write_text(settings)
        with progress.phase(f"Debian {apt.SUITE}'s nginx"):
            run(_extract(folder), "extraction of nginx", timeout=EXTRACT_SECONDS)

    recipe = [*_extract(Path()), sources, settings]
    return cache.entry("nginx-root", cache.digest(recipe), make) / "root.tar"


def _extract(folder: Path) -> list[str]:
    return [
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=extract", "--skip=output/dev", "--include=nginx"),
        f"--aptopt={folder / 'apt.conf'}",
        f"--customize-hook={_SLIM}",
        *(apt.SUITE, str(folder / "root.tar"), str(folder / "debian.sources")),
    ]
