"""What git brings beside the seed, applied by hand: upstream's manifests by their URLs, images by their names, metrics."""

import base64
import io
import json
import tarfile
from collections.abc import Iterator

import pytest

from lab import payload, upstream_files
from stacks.config import ROOT
from tests.lab.conftest import new_spec
from tests.lab.stacks import Stack
from tests.unit.k8s.tree import digests

SERVER = "server-a-1"
NAMESPACE = "dev"
MESSAGE = "said by a Secret"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A cluster with the tree on its first server, and metrics-server and both applications of it."""
    stack = Stack.make(new_spec().subnet)
    try:
        stack.up()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            tar.add(ROOT / "k8s", "k8s")
        text = base64.b64encode(packed.getvalue()).decode()
        stack.lab.ssh(SERVER, "base64 -d | tar -xz -C /root", stdin=text)
        stack.kubectl("apply", "-k", "/root/k8s/observability/metrics-server")
        stack.kubectl("create", "namespace", NAMESPACE)
        stack.kubectl("create", "secret", "generic", "podinfo", "-n", NAMESPACE, f"--from-literal=message={MESSAGE}")
        for app in ("podinfo", "web"):
            stack.kubectl("apply", "-n", NAMESPACE, "-k", f"/root/k8s/apps/{app}/base")
        yield stack
    finally:
        stack.remove()


def test_a_host_downloads_upstreams_manifests_as_the_tree_pins_them(stack: Stack) -> None:
    wanted = digests()
    assert set(wanted) < set(upstream_files.URLS)
    lines = [f"{sha256}  {name}" for name, sha256 in enumerate(wanted.values())]
    fetch = " && ".join(f"curl -fsS --max-time 20 -o {name} {url}" for name, url in enumerate(wanted))
    stack.lab.ssh(SERVER, f"cd $(mktemp -d) && {fetch} && sha256sum --strict -c -", stdin="\n".join(lines))


def test_the_metrics_of_nodes_and_pods_are_an_api_of_the_cluster(stack: Stack) -> None:
    stack.kubectl("rollout", "status", "-n", "kube-system", "deployment/metrics-server", "--timeout=85s")
    stack.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=60s")
    stack.kubectl("wait", "-n", NAMESPACE, "--for=condition=ScalingActive", "hpa/web", "--timeout=85s")
    used = stack.kubectl("top", "pods", "-n", NAMESPACE, "--no-headers")
    assert {line.split()[0].split("-")[0] for line in used.splitlines()} == {"podinfo", "web"}
    nodes = stack.kubectl("top", "nodes", "--no-headers").splitlines()
    assert {line.split()[0] for line in nodes} == {SERVER, "agent-a-1"}
    image = stack.kubectl(
        *("get", "deployment", "metrics-server", "-n", "kube-system"),
        *("-o", "jsonpath={.spec.template.spec.containers[0].image}"),
    )
    assert image == payload.METRICS_SERVER_IMAGE


@pytest.mark.parametrize("app", ["podinfo", "web"])
def test_an_application_is_scaled_by_the_cpu_that_it_uses(stack: Stack, app: str) -> None:
    stack.kubectl("wait", "-n", NAMESPACE, "--for=condition=ScalingActive", f"hpa/{app}", "--timeout=85s")
    status = json.loads(stack.kubectl("get", "-n", NAMESPACE, f"hpa/{app}", "-o", "json"))["status"]
    assert status["currentMetrics"][0]["resource"]["current"]["averageUtilization"] >= 0


def test_podinfo_shows_its_version_and_what_a_secret_says(stack: Stack) -> None:
    stack.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/podinfo", "--timeout=85s")
    answer = json.loads(stack.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/services/podinfo:http/proxy/"))
    assert (answer["version"], answer["message"]) == (payload.PODINFO_VERSION, MESSAGE)


def test_nginx_serves_the_page_of_the_tree(stack: Stack) -> None:
    stack.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/web", "--timeout=85s")
    page = stack.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/services/web:http/proxy/")
    assert page == (ROOT / "k8s/apps/web/base/pages/index.html").read_text()
