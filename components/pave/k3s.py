"""The step `k3s`: what a server and an agent are configured with, and the secrets that they get on standard input."""

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import yaml

from components.pave.steps import SCRIPTS
from components.remote.script import Step, render

API_PORT = 6443
CONFIG_DIR = "/etc/rancher/k3s"
TLS_DIR = "/var/lib/rancher/k3s/server/tls"


@dataclass(frozen=True, kw_only=True)
class K3sRelease:
    """Which binary to install: the version as k3s tags it, its sha256 in hex by architecture, and the base URL."""

    version: str
    sha256: Mapping[str, str]
    url: str


@dataclass(frozen=True, kw_only=True)
class Member:
    """One node: its machine's full name, the address that other nodes reach it by, and what its kubelet registers.

    `node_address` may be a network, in which the machine has one address: a cloud tells addresses only when it has made them.

    `start_seconds` bounds the wait for the cluster to answer, the start of the service, and the wait for the node to be
    Ready, each.
    """

    machine: str
    node_address: str
    release: K3sRelease
    start_seconds: int
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[str] = ()
    kubelet_args: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """etcd's snapshots in object storage: `endpoint` is a URL, `cron` when they are made, `keep` how many of each of the
    `servers` stay in the bucket."""

    endpoint: str
    bucket: str
    folder: str
    cron: str
    keep: int
    servers: int


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """What all servers of a cluster must agree on, or k3s refuses them.

    `tls_sans` are the names and addresses by which the API is reached from outside.
    """

    ca_certificate: str
    admin_group: str
    tls_sans: Sequence[str]
    pod_cidr: str
    service_cidr: str
    disable: Sequence[str] = ()
    snapshots: Snapshots | None = None


def init_server(member: Member, control_plane: ControlPlane, *, peers: Sequence[str]) -> Step:
    """The server that makes the cluster; at none of the addresses `peers` may one answer already."""
    config = _member_config(member) | _server_config(control_plane) | {"cluster-init": True}
    return _server_step(member, control_plane, mode="init", config=config, peers=peers)


def join_server(member: Member, control_plane: ControlPlane, *, peers: Sequence[str]) -> Step:
    """Every other server, and every later generation of the first: joins the first of `peers`, or else the endpoint, where
    the cluster answers."""
    config = _member_config(member) | _server_config(control_plane)
    return _server_step(member, control_plane, mode="join", config=config, peers=peers)


def agent(member: Member, *, ca_certificate: str, peers: Sequence[str]) -> Step:
    """A node without a control plane, which joins as a server does."""
    config = _member_config(member)
    return _step(member, role="agent", mode="join", config=config, ca_certificate=ca_certificate, peers=peers)


def _member_config(member: Member) -> dict[str, object]:
    # The addresses, and the interface that has them, are added on the machine.
    config: dict[str, object] = {"node-name": member.machine}
    if member.labels:
        config["node-label"] = [f"{key}={value}" for key, value in sorted(member.labels.items())]
    if member.taints:
        config["node-taint"] = sorted(member.taints)
    if member.kubelet_args:
        config["kubelet-arg"] = sorted(member.kubelet_args)
    return config


def _server_config(control_plane: ControlPlane) -> dict[str, object]:
    config: dict[str, object] = {
        "cluster-cidr": control_plane.pod_cidr,
        "service-cidr": control_plane.service_cidr,
        "cluster-dns": str(ipaddress.ip_network(control_plane.service_cidr)[10]),
        "secrets-encryption": True,
        "tls-san": sorted(set(control_plane.tls_sans)),
        "write-kubeconfig-mode": "0600",
    }
    if control_plane.disable:
        config["disable"] = sorted(control_plane.disable)
    if control_plane.snapshots:
        config |= _snapshot_config(control_plane.snapshots)
    return config


def _snapshot_config(snapshots: Snapshots) -> dict[str, object]:
    """Source: https://docs.k3s.io/cli/etcd-snapshot#s3-compatible-object-store-support"""
    url = urlsplit(snapshots.endpoint)
    config: dict[str, object] = {
        "etcd-snapshot-schedule-cron": snapshots.cron,
        # In the bucket those of all servers count together: https://github.com/k3s-io/k3s/issues/8099
        "etcd-s3-retention": snapshots.keep * snapshots.servers,
        "etcd-s3": True,
        # Without a region: Spaces takes signatures for us-east-1, which is k3s' default, whatever its own region is.
        "etcd-s3-endpoint": url.netloc,
        "etcd-s3-bucket": snapshots.bucket,
        "etcd-s3-folder": snapshots.folder,
    }
    return config | ({"etcd-s3-insecure": True} if url.scheme == "http" else {})


def _server_step(
    member: Member, control_plane: ControlPlane, *, mode: str, config: Mapping[str, object], peers: Sequence[str]
) -> Step:
    return _step(
        member,
        role="server",
        mode=mode,
        config=config,
        ca_certificate=control_plane.ca_certificate,
        peers=peers,
        admin_group=control_plane.admin_group,
    )


def _step(
    member: Member,
    *,
    role: str,
    mode: str,
    config: Mapping[str, object],
    ca_certificate: str,
    peers: Sequence[str],
    admin_group: str = "",
) -> Step:
    release = member.release
    variables = {
        "NODE": member.machine,
        "NODE_ADDRESS": member.node_address,
        "ROLE": role,
        "MODE": mode,
        "SERVICE": "k3s" if role == "server" else "k3s-agent",
        "VERSION": release.version,
        # The release's path has its plus sign encoded, as the release page links it.
        "VERSION_PATH": quote(release.version),
        "RELEASE_URL": release.url,
        "SHA256_AMD64": release.sha256.get("amd64", ""),
        "SHA256_ARM64": release.sha256.get("arm64", ""),
        "START_SECONDS": str(member.start_seconds),
        "CONFIG": yaml.safe_dump(dict(config), sort_keys=True).strip(),
        "CA_SHA256": hashlib.sha256(ca_certificate.encode()).hexdigest(),
        # In the order in which they are asked.
        "PEERS": " ".join(peers),
        "ADMIN_GROUP": admin_group,
    }
    return render(SCRIPTS, "k3s", variables)


@dataclass(frozen=True, kw_only=True)
class Late:
    """What only the cloud knows, and only when it has made it: the endpoint's address, the key of the snapshots' bucket."""

    endpoint: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)


def init_server_secrets(late: Late, *, files: Mapping[str, str], token: str, agent_token: str) -> str:
    """Standard input of the step on the first server: the cluster's certificate authorities and both tokens."""
    authorities = [_file("0600", f"{TLS_DIR}/{name}", text) for name, text in sorted(files.items())]
    return _late(late, *authorities, _tokens({"token": token, "agent-token": agent_token}))


def join_server_secrets(late: Late, *, token: str, agent_token: str) -> str:
    """Standard input of the step on a server that joins; it gets the authorities from the server that it joins."""
    return _late(late, _tokens({"token": token, "agent-token": agent_token}))


def agent_secrets(late: Late, *, token: str) -> str:
    """Standard input of the step on an agent, which makes no snapshots."""
    return _late(Late(endpoint=late.endpoint), _tokens({"token": token}))


def _late(late: Late, *files: str) -> str:
    """The endpoint is the first line, as the script needs it before it touches anything."""
    endpoint = f"endpoint {late.endpoint}\n" if late.endpoint else ""
    keys = {"etcd-s3-access-key": late.access_key, "etcd-s3-secret-key": late.secret_key}
    snapshots = _file("0600", f"{CONFIG_DIR}/config.yaml.d/90-snapshots.yaml", yaml.safe_dump(keys))
    return "".join([endpoint, *files, *([snapshots] if late.access_key else [])])


def _tokens(tokens: Mapping[str, str]) -> str:
    return _file("0600", f"{CONFIG_DIR}/config.yaml.d/90-tokens.yaml", yaml.safe_dump(dict(tokens)))


def _file(mode: str, path: str, text: str) -> str:
    """A line that says how many lines of text follow, and where they belong."""
    text = text.removesuffix("\n") + "\n"
    return f"{mode} {text.count(chr(10))} {path}\n{text}"
