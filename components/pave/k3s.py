"""The step `k3s`: what a server and an agent are configured with, and the secrets that they get on standard input."""

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

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

    `start_seconds` bounds the start of the service, and again the wait for the node to be Ready.
    """

    machine: str
    node_address: str
    release: K3sRelease
    start_seconds: int
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[str] = ()
    kubelet_args: Sequence[str] = ()


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


def init_server(member: Member, control_plane: ControlPlane, *, peers: Sequence[str]) -> Step:
    """The server that makes the cluster; at none of the addresses `peers` may one of its identity answer already."""
    config = _member_config(member) | _server_config(member, control_plane) | {"cluster-init": True}
    return _server_step(member, control_plane, mode="init", config=config, peers=peers)


def join_server(member: Member, control_plane: ControlPlane, *, server_url: str) -> Step:
    """Every other server, and every later generation of the first."""
    config = _member_config(member) | _server_config(member, control_plane) | {"server": server_url}
    return _server_step(member, control_plane, mode="join", config=config, peers=())


def agent(member: Member, *, server_url: str) -> Step:
    """A node without a control plane."""
    return _step(member, role="agent", mode="join", config=_member_config(member) | {"server": server_url})


def _member_config(member: Member) -> dict[str, object]:
    config: dict[str, object] = {"node-name": member.machine, "node-ip": member.node_address}
    if member.labels:
        config["node-label"] = [f"{key}={value}" for key, value in sorted(member.labels.items())]
    if member.taints:
        config["node-taint"] = sorted(member.taints)
    if member.kubelet_args:
        config["kubelet-arg"] = sorted(member.kubelet_args)
    return config


def _server_config(member: Member, control_plane: ControlPlane) -> dict[str, object]:
    config: dict[str, object] = {
        "advertise-address": member.node_address,
        "cluster-cidr": control_plane.pod_cidr,
        "service-cidr": control_plane.service_cidr,
        "cluster-dns": str(ipaddress.ip_network(control_plane.service_cidr)[10]),
        "secrets-encryption": True,
        "tls-san": sorted(set(control_plane.tls_sans)),
        "write-kubeconfig-mode": "0600",
    }
    if control_plane.disable:
        config["disable"] = sorted(control_plane.disable)
    return config


def _server_step(
    member: Member, control_plane: ControlPlane, *, mode: str, config: Mapping[str, object], peers: Sequence[str]
) -> Step:
    return _step(
        member,
        role="server",
        mode=mode,
        config=config,
        CA_SHA256=hashlib.sha256(control_plane.ca_certificate.encode()).hexdigest(),
        ADMIN_GROUP=control_plane.admin_group,
        PEERS=" ".join(sorted(peers)),
    )


def _step(member: Member, *, role: str, mode: str, config: Mapping[str, object], **server: str) -> Step:
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
    }
    return render(SCRIPTS, "k3s", variables | {"CA_SHA256": "", "ADMIN_GROUP": "", "PEERS": ""} | server)


def init_server_secrets(*, files: Mapping[str, str], token: str, agent_token: str) -> str:
    """Standard input of the step on the first server: the cluster's certificate authorities and both tokens."""
    authorities = [_file("0600", f"{TLS_DIR}/{name}", text) for name, text in sorted(files.items())]
    return "".join([*authorities, _tokens({"token": token, "agent-token": agent_token})])


def join_server_secrets(*, token: str, agent_token: str) -> str:
    """Standard input of the step on a server that joins; it gets the authorities from the server that it joins."""
    return _tokens({"token": token, "agent-token": agent_token})


def agent_secrets(*, token: str) -> str:
    """Standard input of the step on an agent."""
    return _tokens({"token": token})


def _tokens(tokens: Mapping[str, str]) -> str:
    return _file("0600", f"{CONFIG_DIR}/config.yaml.d/90-tokens.yaml", yaml.safe_dump(dict(tokens)))


def _file(mode: str, path: str, text: str) -> str:
    """A line that says how many lines of text follow, and where they belong."""
    text = text.removesuffix("\n") + "\n"
    return f"{mode} {text.count(chr(10))} {path}\n{text}"
