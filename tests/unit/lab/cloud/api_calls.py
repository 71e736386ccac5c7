"""The cloud's API without a server: requests in, replies out, and time that passes when a test says so."""

from ipaddress import IPv4Network

from lab.cloud import resources
from lab.cloud.api import ApiError, Request
from lab.cloud.core import NO_DELAYS, Cloud, dispatch
from lab.cloud.paper import PaperHypervisor
from lab.cloud.store import Store

SUBNET = IPv4Network("10.101.0.0/24")
REGION, SIZE, IMAGE = "fra1", "s-2vcpu-4gb", "debian-12-x64"


class Api:
    """A cloud on paper; a call gives the body of the answer, or raises ApiError."""

    def __init__(self, store=None, paper=None):
        self.paper = paper or PaperHypervisor()
        self.cloud = Cloud(store or Store(None), self.paper, SUBNET, NO_DELAYS)
        loaded = resources.load()
        self.routes = loaded.routes
        self.cloud.reconcilers = loaded.reconcilers
        self.cloud.resume(loaded.resumers)

    def __call__(self, call, body=None, fault="", **query):
        """`call` is as in "GET /v2/tags"; returns when nothing is under way any more."""
        method, path = call.split()
        request = Request(method, path, query=query, body=body or {}, base="http://cloud.test", fault=fault)
        self.status = None
        reply = dispatch(self.routes, request, self.cloud)
        self.status = reply.status
        self.answer = reply.body
        self.settle()
        return reply.body

    def settle(self):
        """Until nothing is under way."""
        assert self.cloud.wait_idle(10), "the cloud does not come to rest"

    def refusal(self, call, body=None, **query):
        """Status and message of a call that must be refused."""
        try:
            answer = self(call, body, **query)
        except ApiError as error:
            return error.status, error.message
        raise AssertionError(f"{call} was not refused: {answer}")

    def vpc(self, ip_range="10.30.0.0/24", name="net"):
        """The id of a new one."""
        return self("POST /v2/vpcs", {"name": name, "region": REGION, "ip_range": ip_range})["vpc"]["id"]

    def droplet(self, name, vpc, *tags):
        """The id of a new one, which runs."""
        body = {"name": name, "region": REGION, "size": SIZE, "image": IMAGE, "vpc_uuid": vpc, "tags": list(tags)}
        return self("POST /v2/droplets", body)["droplet"]["id"]

    def addresses(self, droplet):
        """Public and private address of a droplet."""
        v4 = self(f"GET /v2/droplets/{droplet}")["droplet"]["networks"]["v4"]
        return tuple(next(net["ip_address"] for net in v4 if net["type"] == kind) for kind in ("public", "private"))
