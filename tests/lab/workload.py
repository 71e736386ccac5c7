"""A Deployment with a pod on each host and a Service before it, as a user of the cluster would have them."""

import json
from dataclasses import dataclass

from tests.lab.stacks import Stack

PROBE = "docker.io/seedbed/probe:1"
NODE_PORT = 30080

WEB = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            - {{labelSelector: {{matchLabels: {{app: web}}}}, topologyKey: kubernetes.io/hostname}}
      containers:
        - {{name: web, image: "{PROBE}", args: [serve, ":8080"]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  type: NodePort
  selector: {{app: web}}
  ports: [{{port: 80, targetPort: 8080, nodePort: {NODE_PORT}}}]
"""


@dataclass(frozen=True)
class Pod:
    """A running pod; `host` is the name of its node."""

    name: str
    address: str
    host: str


def deploy(stack: Stack) -> list[Pod]:
    """Have `WEB` run; its two pods, which are on different hosts."""
    stack.kubectl("apply", "-f", "-", stdin=WEB)
    stack.kubectl("rollout", "status", "deployment/web", "--timeout=80s")
    items = json.loads(stack.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    return [Pod(item["metadata"]["name"], item["status"]["podIP"], item["spec"]["nodeName"]) for item in items]


def probe(stack: Stack, pod: Pod, *arguments: str) -> str:
    """What `probe …` says in the pod; `get URL` and `dns NAME`."""
    return stack.kubectl("exec", pod.name, "--", "probe", *arguments).strip()


def assert_they_reach_each_other(stack: Stack, pods: list[Pod]) -> None:
    """Each pod gets a page from each other one."""
    for pod in pods:
        for other in pods:
            if other != pod:
                page = probe(stack, pod, "get", f"http://{other.address}:8080/")
                assert page.startswith(f"hello from {other.name} ")
