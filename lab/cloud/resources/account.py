"""`/v2/account`: whose token it is, and how much of what it may have."""

from lab.cloud.api import Reply, Request
from lab.cloud.core import Cloud, Route

_ID = "11111111-2222-4333-8444-555555555555"


def get(request: Request, cloud: Cloud) -> Reply:  # noqa: ARG001 (a handler)
    """`GET /v2/account`."""
    limits = cloud.account
    account = {
        "droplet_limit": limits.droplet_limit,
        "floating_ip_limit": limits.reserved_ip_limit,
        "reserved_ip_limit": limits.reserved_ip_limit,
        "volume_limit": limits.volume_limit,
        "email": "lab@example.org",
        "name": "Lab",
        "uuid": _ID,
        "email_verified": True,
        "status": "active",
        "status_message": "",
        "team": {"name": "Lab", "uuid": _ID},
    }
    return Reply(200, {"account": account})


ROUTES = (Route("GET", "/v2/account", get),)
