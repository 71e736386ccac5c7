"""What the cluster does not miss: any one of its servers."""

import base64
import ssl
import time
import urllib.error
import urllib.request

from tests.lab.rehearsed import INIT, Prod

SECONDS = 30
"""After which a person would call it an outage: the load balancer notices in six, etcd elects in less."""

BACK_SECONDS = 120


def until_done(prod: Prod, seconds: float, *arguments: str) -> None:
    """Try it again until it goes well; `seconds` is only where trying is given up."""
    deadline = time.monotonic() + seconds
    while (done := prod.kubectl(*arguments)).returncode:
        assert time.monotonic() < deadline, f"kubectl {' '.join(arguments)}: {done.stderr}"
        time.sleep(0.5)


def test_reading_and_writing_go_on_through_the_load_balancer_when_the_first_server_loses_power(rehearsed: Prod) -> None:
    lab, server = rehearsed.stack.lab, INIT
    name = f"without-{server}"
    assert lab.cut(server)
    try:
        until_done(rehearsed, SECONDS, "create", "configmap", name, "--from-literal=by=others")
        read = rehearsed.kubectl("get", "configmap", name, "-o", "jsonpath={.data.by}")
        assert read.stdout == "others", read.stderr
        # A machine that comes now would be let in by those that are left, with the token of the first day.
        assert bootstrap(rehearsed, rehearsed.stack.identity.server_token) == 200
        assert bootstrap(rehearsed, rehearsed.stack.identity.agent_token) in (401, 403)
        rehearsed.stack.pulumi("preview", "--expect-no-changes")
    finally:
        lab.power_on(server)
    lab.wait_ssh(server)
    for condition in ("EtcdIsVoter", "Ready"):
        until_done(rehearsed, BACK_SECONDS, "wait", f"--for=condition={condition}", f"node/{server}", "--timeout=5s")


def bootstrap(prod: Prod, token: str) -> int:
    """The status with which the load balancer's servers answer another one that wants to join with this token."""
    context = ssl.create_default_context(cadata=prod.stack.identity.files["server-ca.crt"])
    basic = base64.b64encode(f"server:{token}".encode()).decode()
    request = urllib.request.Request(f"{prod.url}/v1-k3s/server-bootstrap", headers={"Authorization": f"Basic {basic}"})
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
