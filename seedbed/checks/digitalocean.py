"""The account at DigitalOcean: it lets this stack in, lets it make all it needs, and has it to sell today.

Nothing is changed. Whether a token may make a kind of thing is told by a request without any of what it demands: one whose
token lacks the scope is answered 403 (digitalocean/api-v2#37, digitalocean/action-doctl#83), another one is refused as
incomplete (400 or 422). Scopes: docs.digitalocean.com/reference/api/scopes/.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from seedbed.checks import taken
from seedbed.checks.spaces import check_spaces
from seedbed.digitalocean import TOKEN, URL, Answer, Api, CloudError
from seedbed.findings import Finding, fail, ok, warn
from stacks.digitalocean_settings import DigitalOcean
from stacks.model import PROJECT
from stacks.settings import Settings

AT_ONCE = 4
"""Requests side by side: well below 250 a minute, of which others may use some."""

_WHERE = "DigitalOcean"
_MAKE_TOKEN = (
    "Make a token in the control panel (API > Tokens > Generate New Token) with full access, or with custom scopes: all of "
    f"{{scopes}}, and account:read. Export it as {TOKEN}."
)


def check_cloud(
    settings: Settings,
    stack: str,
    environment: Mapping[str, str],
    deployed: Sequence[Mapping[str, Any]] | None,
) -> list[Finding]:
    """All of it at once; nothing for a stack whose machines are elsewhere.

    `deployed` are the resources of the state, which tells what of the account is the stack's; None where it cannot be read.
    """
    cloud = settings.digitalocean
    if cloud is None:
        return []
    made = None if deployed is None else taken.made(deployed)
    return [
        *_check_api(settings, cloud, stack, environment, made),
        *check_spaces(cloud, stack, environment, made),
    ]


def kinds(cloud: DigitalOcean) -> dict[str, str]:
    """What the stack makes: the resource of the scope -> where a POST makes one."""
    made = {
        "droplet": "/v2/droplets",
        "firewall": "/v2/firewalls",
        "load_balancer": "/v2/load_balancers",
        "project": "/v2/projects",
        "ssh_key": "/v2/account/keys",
        "tag": "/v2/tags",
        "vpc": "/v2/vpcs",
    }
    if cloud.volumes:
        made["block_storage"] = "/v2/volumes"
        # Attaching and detaching has a scope of its own.
        made["block_storage_action"] = "/v2/volumes/actions"
    if cloud.reserved_addresses:
        made["reserved_ip"] = "/v2/reserved_ips"
    if cloud.dns is not None:
        made["domain"] = "/v2/domains"
    if cloud.snapshots is not None:
        made["spaces_key"] = "/v2/spaces/keys"
    return dict(sorted(made.items()))


def _check_api(
    settings: Settings, cloud: DigitalOcean, stack: str, environment: Mapping[str, str], made: taken.Made | None
) -> list[Finding]:
    remedy = _MAKE_TOKEN.format(scopes=", ".join(kinds(cloud)))
    api = Api.of(environment)
    if api is None:
        return [fail(f"{_WHERE}: {TOKEN} is not set", remedy)]
    try:
        account = api.ask("GET", "/v2/account")
    except CloudError as error:
        return [fail(f"{_WHERE}: the account cannot be asked for", f"{error}. Is {URL} right, if it is set?")]
    if account.status == HTTPStatus.UNAUTHORIZED:
        return [fail(f"{_WHERE}: the token is not accepted; it is mistyped, expired or revoked", remedy)]
    checks: list[Callable[[], list[Finding]]] = [
        lambda: check_account(account),
        lambda: _check_rights(api, cloud, remedy),
        lambda: _check_droplets(api, settings, cloud, stack, account),
        lambda: _check_image(api, cloud),
        lambda: _check_zone(api, cloud, made),
        lambda: _check_taken(api, settings, cloud, stack, made),
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [finding for found in pool.map(_guarded, checks) for finding in found]


def _guarded(check: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return check()
    except CloudError as error:
        return [fail(f"{_WHERE}: cannot be checked", str(error))]


def check_account(account: Answer) -> list[Finding]:
    """Whether it is in good standing."""
    if account.status != HTTPStatus.OK:
        return [
            warn(
                f"{_WHERE}: the token may not read the account ({account.message}), so its limits are not known",
                "Add the scope account:read to the token.",
            )
        ]
    said: Mapping[str, Any] = account.body["account"]
    if not said.get("email_verified", True):
        return [fail(f"{_WHERE}: the account's address is not verified", "Open the link in DigitalOcean's mail.")]
    status, message = said.get("status"), said.get("status_message") or "no reason given"
    if status == "locked":
        return [fail(f"{_WHERE}: the account is locked: {message}", "Log in to the control panel, or ask the support.")]
    if status != "active":
        return [warn(f"{_WHERE}: the account's status is {status}: {message}", "Look at it in the control panel.")]
    return [ok(f"{_WHERE}: the token is accepted, the account is active")]


def _check_rights(api: Api, cloud: DigitalOcean, remedy: str) -> list[Finding]:
    needed = kinds(cloud)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(needed, pool.map(lambda path: api.ask("POST", path, {}), needed.values()), strict=True))
    refused = [kind for kind, answer in answers.items() if answer.status == HTTPStatus.FORBIDDEN]
    made = [kind for kind, answer in answers.items() if answer.status < HTTPStatus.BAD_REQUEST]
    findings = [
        fail(
            f"{_WHERE}: a {kind} was made of a request that says nothing, which the API had refused until now",
            f"Look for a new {kind} in the control panel and remove it.",
        )
        for kind in made
    ]
    if len(refused) == len(needed):
        return [*findings, fail(f"{_WHERE}: the token may only read", remedy)]
    if refused:
        lacking = ", ".join(f"{kind}:create" for kind in refused)
        return [*findings, fail(f"{_WHERE}: the token lacks {lacking}", remedy)]
    return [*findings, ok(f"{_WHERE}: the token may make all kinds of things that the stack has")]


def _check_droplets(api: Api, settings: Settings, cloud: DigitalOcean, stack: str, account: Answer) -> list[Finding]:
    """Whether those that the stack lacks can be had: by the account's limit, and by what is on sale."""
    there = {str(droplet["name"]) for droplet in api.droplets(f"{PROJECT}-{stack}")}
    lacking = {name for name in settings.machines if settings.full_name(name) not in there}
    findings = check_region(api.read("/v2/regions?per_page=200")["regions"], cloud, lacking)
    if account.status == HTTPStatus.OK:
        used = int(api.read("/v2/droplets?per_page=1")["meta"]["total"])
        limit = int(account.body["account"]["droplet_limit"])
        findings.append(check_limit(limit, used, len(lacking)))
    return findings


def check_limit(limit: int, used: int, lacking: int) -> Finding:
    """`used` are all droplets of the account, `lacking` those that the stack has still to make."""
    said = f"{_WHERE}: {used} of {limit} droplets are used"
    if used + lacking > limit:
        return fail(
            f"{said}, and the stack needs {lacking} more",
            "Ask for a higher limit in the control panel (your name > Settings > Team > Resource limits), or remove others.",
        )
    if lacking == 0 and used == limit:
        return warn(
            f"{said}: no machine can be replaced, because the new one comes before the old one goes",
            "Ask for a higher limit in the control panel.",
        )
    return ok(f"{said}, the stack needs {lacking} more")


def check_region(regions: Sequence[Mapping[str, Any]], cloud: DigitalOcean, lacking: set[str]) -> list[Finding]:
    """What is on sale today; a size that is not matters now only to machines that are still to be made (`lacking`)."""
    region = next((region for region in regions if region["slug"] == cloud.region), None)
    if region is None or not region["available"]:
        others = ", ".join(sorted(str(region["slug"]) for region in regions if region["available"]))
        return [
            fail(
                f"{_WHERE}: region {cloud.region} takes no new droplets today",
                f"Wait, or for a new stack take another seedbed:digitalocean.region; there are {others}.",
            )
        ]
    findings = [
        (fail if lacking.intersection(pool.machines) else warn)(
            f"{_WHERE}: {pool.droplet.size} of pool {name} is not on sale in {cloud.region} today",
            f"Take another seedbed:pools.{name}.size, or wait.",
        )
        for name, pool in sorted(cloud.pools.items())
        if pool.droplet.size not in region["sizes"]
    ]
    return findings or [ok(f"{_WHERE}: {cloud.region} sells all sizes of the stack today")]


def _check_image(api: Api, cloud: DigitalOcean) -> list[Finding]:
    images = sorted({cloud.image, *(pool.droplet.image for pool in cloud.pools.values())})
    findings = []
    for image in images:
        answer = api.ask("GET", f"/v2/images/{quote(image)}")
        if answer.status == HTTPStatus.NOT_FOUND:
            findings.append(
                fail(f"{_WHERE}: there is no image {image} any more", "Take another seedbed:digitalocean.image.")
            )
        elif answer.status == HTTPStatus.OK and cloud.region not in answer.body["image"].get("regions", []):
            findings.append(
                fail(f"{_WHERE}: image {image} is not in {cloud.region}", "Take another seedbed:digitalocean.image.")
            )
        elif answer.status != HTTPStatus.OK:
            findings.append(warn(f"{_WHERE}: image {image} cannot be looked for ({answer.message})"))
    return findings or [ok(f"{_WHERE}: {', '.join(images)} can be booted in {cloud.region}")]


def _check_zone(api: Api, cloud: DigitalOcean, made: taken.Made | None) -> list[Finding]:
    if cloud.dns is None:
        return []
    zone = cloud.dns.zone
    answer = api.ask("GET", f"/v2/domains/{quote(zone)}")
    if answer.status == HTTPStatus.OK:
        in_the_way = [] if made is None else taken.check_records(api, cloud.dns, made)
        return in_the_way or [ok(f"{_WHERE}: the zone {zone} is there")]
    if answer.status == HTTPStatus.NOT_FOUND:
        return [
            fail(
                f"{_WHERE}: there is no zone {zone} in this account",
                "Add it in the control panel (Networking > Domains) and have its registrar name ns1, ns2 and "
                "ns3.digitalocean.com; or correct seedbed:digitalocean.dns.zone, or take dns out.",
            )
        ]
    return [fail(f"{_WHERE}: the zone {zone} cannot be looked for ({answer.message})", "The token needs domain:read.")]


def _check_taken(
    api: Api, settings: Settings, cloud: DigitalOcean, stack: str, made: taken.Made | None
) -> list[Finding]:
    if made is None:
        return [
            warn(
                f"{_WHERE}: networks and names that the account has already are not compared: the stack's state cannot be read",
                f"Put the state store right, or make the first state in it: `pulumi stack init {stack}`.",
            )
        ]
    return [
        *_guarded(lambda: taken.check_network(api, settings, cloud, stack, made)),
        *_guarded(lambda: taken.check_names(api, cloud, stack, made)),
    ]
