"""What the lab's hosts are made members of a cluster with: the k3s executable and the images that pods need.

The k3s release is taken where it can be downloaded. Where it cannot, a stand-in is built from `lab/k3s` (upstream
Kubernetes behind k3s's command line) and says so in its version string; its digest is computed from the built file.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from components.versions import K3S_RELEASE_URL, K3S_RELEASES
from lab import LabError, oci, payload, upstream_files
from lab.gitops import images, trust
from tools import cache, gobuild
from tools.download import DownloadError, WrongDigestError, fetch, file_sha256
from tools.progress import Progress

K3S_VERSION = "v1.34.2+k3s1"
"""The release that the stand-in stands for: the Kubernetes version is pinned in lab/k3s/go.mod."""

COREDNS_VERSION = "1.13.1"

PAUSE_IMAGE = "docker.io/rancher/mirrored-pause:3.6"
COREDNS_IMAGE = f"docker.io/rancher/mirrored-coredns-coredns:{COREDNS_VERSION}"
PROBE_IMAGE = "docker.io/seedbed/probe:1"
"""The lab's own image for tests: `hello`, `serve [ADDRESS]`, `get URL`, `dns NAME`, `eat MIB`, `sleep`."""

CONNECT_SECONDS = 3.0
STAND_IN = "stand-in for the image of that name"

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Artifacts:
    """The k3s executable, and the OCI-layout tars with the images that the lab's registry serves.

    `genuine` tells the release from the stand-in. Where the release can be had the registries can be too: then only
    images that no registry has are in the archives. `argocd` is what Argo CD's image of a lab is made from. `files` is
    the folder of the manifests that the tree names by URL; None where the lab takes them from their hosts.
    """

    k3s: Path
    k3s_version: str
    k3s_sha256: str
    genuine: bool
    archives: list[Path]
    argocd: oci.Parent
    files: Path | None


def ensure(progress: Progress) -> Artifacts:
    """Download or build what is missing in the cache.

    Raises ToolError where a download is not what its digest says or a build fails, LabError on an architecture without
    a pinned release, or where Argo CD's image cannot be had although the release can.
    """
    release = _release(progress)
    if release is not None:
        sha256 = K3S_RELEASES[K3S_VERSION][oci.architecture()]
        argocd = trust.of_registry(progress)
        return Artifacts(release, K3S_VERSION, sha256, True, [_probe(progress)], argocd, files=None)
    stand_in = build_stand_in(progress)
    seed = images.ensure(progress)
    archives = [_system_images(progress), _probe(progress), seed, *payload.ensure(progress)]
    files = upstream_files.ensure(progress)
    sha256 = file_sha256(stand_in)
    return Artifacts(stand_in, K3S_VERSION, sha256, False, archives, trust.of_archive(seed), files)


def build_stand_in(progress: Progress) -> Path:
    """The stand-in, built for the version that nodes shall report."""
    major, minor = K3S_VERSION.removeprefix("v").split(".")[:2]
    settings = {"gitVersion": K3S_VERSION, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = ["-s", "-w", f"-X main.version={K3S_VERSION}"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        flags += [f"-X {package}.{name}={value}" for name, value in settings.items()]
    return gobuild.build(_HERE / "k3s", ".", "k3s", " ".join(flags), progress=progress)


def _release(progress: Progress) -> Path | None:
    """The release for this machine, or None where it cannot be had from here."""
    architecture = oci.architecture()
    sha256 = K3S_RELEASES[K3S_VERSION].get(architecture)
    if sha256 is None:
        raise LabError(f"there is no k3s {K3S_VERSION} for {architecture} in components/versions.py")
    name = "k3s" if architecture == "amd64" else f"k3s-{architecture}"
    url = f"{K3S_RELEASE_URL}/{quote(K3S_VERSION, safe='')}/{name}"

    def download(folder: Path) -> None:
        fetch(url, sha256, folder / "k3s", CONNECT_SECONDS).chmod(0o755)

    with progress.phase(f"k3s {K3S_VERSION}") as phase:
        try:
            binary = cache.entry("k3s", cache.digest([sha256]), download) / "k3s"
        except WrongDigestError:
            raise  # a stand-in must not hide that the release is not what it was
        except DownloadError as error:
            phase.note(f"the release cannot be downloaded, so the lab's stand-in is used ({error})")
            return None
        phase.note("the release")
    return binary


def _go(module: str, package: str, name: str, progress: Progress) -> Path:
    return gobuild.build(_HERE / module, package, name, "-s -w", progress=progress)


def _archive(name: str, images: list[oci.Image], binaries: list[Path], progress: Progress) -> Path:
    def write(folder: Path) -> None:
        with progress.phase(f"images of the lab: {name}"):
            oci.write(folder / f"{name}.tar", images)

    # The binaries' own folders are named by the hash of their sources.
    parts: list[str | bytes] = [repr(images), *map(str, binaries), (_HERE / "oci.py").read_bytes()]
    return cache.entry(f"images-{name}", cache.digest(parts), write) / f"{name}.tar"


def _system_images(progress: Progress) -> Path:
    """What k3s's own pods need, under the names that k3s uses for them.

    Differs from upstream: pause is a Go program of ten lines; CoreDNS is the same version with fewer plugins compiled in
    (lab/coredns/main.go) and without CA certificates.
    """
    pause = _go("images", "./pause", "pause", progress)
    coredns = gobuild.build(
        _HERE / "coredns",
        ".",
        "coredns",
        f"-s -w -X github.com/coredns/coredns/coremain.GitCommit=seedbed-lab-{COREDNS_VERSION}",
        progress=progress,
    )
    label = {"org.opencontainers.image.description": STAND_IN}
    images = [
        oci.Image(
            names=(PAUSE_IMAGE,),
            layers=(oci.Layer((oci.File("pause", pause, 0o755),)),),
            entrypoint=("/pause",),
            user="65535:65535",
            labels=label,
        ),
        oci.Image(
            names=(COREDNS_IMAGE,),
            layers=(oci.Layer((oci.File("coredns", coredns, 0o755),)),),
            entrypoint=("/coredns",),
            user="65532:65532",
            ports=("53/tcp", "53/udp"),
            labels=label,
        ),
    ]
    return _archive("system", images, [pause, coredns], progress)


def _probe(progress: Progress) -> Path:
    probe = _go("images", "./probe", "probe", progress)
    image = oci.Image(
        names=(PROBE_IMAGE,),
        layers=(
            oci.Layer(
                (
                    oci.Directory("tmp", 0o1777),
                    oci.File(
                        "etc/passwd", b"root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"
                    ),
                    oci.File("usr/local/bin/probe", probe, 0o755),
                )
            ),
        ),
        entrypoint=("probe",),
        command=("hello",),
        ports=("8080/tcp",),
    )
    return _archive("probe", [image], [probe], progress)
