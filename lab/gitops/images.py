"""The seed's images under their upstream names, for hosts that cannot pull them.

How they differ from upstream's:
- argocd: Debian instead of Ubuntu (git, ssh and gpg of Debian's versions, no perl modules), no git-lfs, no
  connect-proxy, no web interface; see `programs.argocd` for the program itself. Has redis-server in it, as the root is
  shared.
- dex: no dex. Argo CD asks that there be a program of that name, and starts it only once single sign-on is configured.
- redis: Debian's redis 7.0 instead of 8.2; no docker-entrypoint.sh.
- sealed-secrets-controller: the program alone, with no CA certificates and no time zones.
"""

from pathlib import Path

from lab import oci
from lab.gitops import programs, root
from lab.gitops.programs import ARGOCD_VERSION, DEX_VERSION, REDIS_VERSION, SEALED_SECRETS_VERSION
from tools import cache, gobuild
from tools.progress import Progress

ARGOCD_IMAGE = f"quay.io/argoproj/argocd:{ARGOCD_VERSION}"
DEX_IMAGE = f"ghcr.io/dexidp/dex:{DEX_VERSION}"
REDIS_IMAGE = f"public.ecr.aws/docker/library/redis:{REDIS_VERSION}-alpine"
SEALED_SECRETS_IMAGE = f"docker.io/bitnami/sealed-secrets-controller:{SEALED_SECRETS_VERSION.removeprefix('v')}"

STAND_IN = {"org.opencontainers.image.description": "stand-in for the image of that name"}

SCRIPTS = ("hack/gpg-wrapper.sh", "hack/git-verify-wrapper.sh", "entrypoint.sh")
"""Files of Argo CD's module that its image has in /usr/local/bin. Without the second no manifest is made."""

COMMANDS = (
    *("server", "repo-server", "cmp-server", "application-controller", "dex", "notifications"),
    *("applicationset-controller", "k8s-auth", "commit-server"),
)
"""What Argo CD's program is called by in its image, each after `argocd-`."""

_HERE = Path(__file__).parent
_MODULES = _HERE.parent / "images"


def ensure(progress: Progress) -> Path:
    """An OCI-layout tar of the four images; built when it is not in the cache.

    Raises ToolError where a build fails, LabError where there is no Debian mirror.
    """
    built = {
        "kustomize": programs.kustomize(progress),
        "controller": programs.sealed_secrets_controller(progress),
        "argocd": programs.argocd(progress),
        "helm": programs.helm(progress),
        "dex": gobuild.build(_MODULES, "./pause", "pause", "-s -w", progress=progress),
        "root": root.ensure(progress),
    }

    def write(folder: Path) -> None:
        scripts = programs.argocd_module(progress)
        with progress.phase("images of the lab: seed"):
            oci.write(folder / "seed.tar", images(built, scripts))

    # Each path holds the hash of what is at its end.
    key = cache.digest([*map(str, built.values()), Path(__file__).read_bytes(), Path(oci.__file__).read_bytes()])
    return cache.entry("images-seed", key, write) / "seed.tar"


def images(built: dict[str, Path], scripts: Path) -> list[oci.Image]:
    """The images of what was built; `scripts` is the folder of Argo CD's module."""
    return [
        oci.Image(
            names=(ARGOCD_IMAGE,),
            layers=(built["root"], _argocd_files(scripts), _tools(built), _argocd(built["argocd"])),
            entrypoint=("/usr/bin/tini", "--"),
            user=str(root.USER),
            working_dir="/home/argocd",
            env=(oci.PATH, f"ARGOCD_USER_ID={root.USER}", "USER=argocd", "GRPC_ENABLE_TXT_SERVICE_CONFIG=false"),
            labels=STAND_IN,
        ),
        oci.Image(
            names=(REDIS_IMAGE,),
            layers=(built["root"], oci.Layer((oci.Directory("data", 0o755, root.USER, root.USER),))),
            entrypoint=("redis-server",),
            user=str(root.USER),
            working_dir="/data",
            ports=("6379/tcp",),
            labels=STAND_IN,
        ),
        oci.Image(
            names=(DEX_IMAGE,),
            layers=(oci.Layer((oci.File("usr/local/bin/dex", built["dex"], 0o755), oci.Directory("tmp", 0o1777))),),
            entrypoint=("dex",),
            user="1001:1001",
            labels=STAND_IN,
        ),
        oci.Image(
            names=(SEALED_SECRETS_IMAGE,),
            layers=(
                oci.Layer(
                    (
                        oci.Directory("tmp", 0o1777),
                        oci.File("usr/local/bin/controller", built["controller"], 0o755),
                    )
                ),
            ),
            entrypoint=("controller",),
            user="1001",
            ports=("8080/tcp", "8081/tcp"),
            labels=STAND_IN,
        ),
    ]


def _argocd_files(scripts: Path) -> oci.Layer:
    """The folders, links and scripts of upstream's Dockerfile."""
    return oci.Layer(
        (
            oci.Directory("home/argocd", 0o775, root.USER, 0),
            *(oci.Directory(path) for path in ("app", "app/config", "app/config/ssh", "app/config/tls")),
            *(oci.Directory(path) for path in ("app/config/gpg", "app/config/gpg/source")),
            oci.Directory("app/config/gpg/keys", 0o700, root.USER, 0),
            oci.File("app/config/ssh/ssh_known_hosts", b""),
            oci.Symlink("etc/ssh/ssh_known_hosts", "/app/config/ssh/ssh_known_hosts"),
            *(oci.File(f"usr/local/bin/{Path(name).name}", scripts / name, 0o755) for name in SCRIPTS),
            oci.Symlink("usr/local/bin/uid_entrypoint.sh", "/usr/local/bin/entrypoint.sh"),
        )
    )


def _tools(built: dict[str, Path]) -> oci.Layer:
    return oci.Layer(tuple(oci.File(f"usr/local/bin/{name}", built[name], 0o755) for name in ("helm", "kustomize")))


def _argocd(program: Path) -> oci.Layer:
    links = (oci.Symlink(f"usr/local/bin/argocd-{name}", "/usr/local/bin/argocd") for name in COMMANDS)
    return oci.Layer((oci.File("usr/local/bin/argocd", program, 0o755), *links))
