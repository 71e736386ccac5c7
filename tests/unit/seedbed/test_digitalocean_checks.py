from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

import pytest

from seedbed import UserError, digitalocean, stackfile
from seedbed.checks import digitalocean as checks
from seedbed.checks import taken
from seedbed.checks.digitalocean import check_account, check_limit, check_region, kinds
from seedbed.commands import doctor
from seedbed.digitalocean import Answer, Api, CloudError
from seedbed.findings import Finding, Status
from stacks.settings import Settings


@pytest.fixture(scope="module")
def settings() -> Settings:
    return stackfile.settings(stackfile.load("prod"), lab_is_made=False)


@dataclass(frozen=True)
class Double(Api):
    """An API that answers POSTs with these statuses, by path."""

    statuses: dict[str, int] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        assert (method, body) == ("POST", {})
        return Answer(self.statuses.get(path, 422), {})


@dataclass(frozen=True)
class Lists(Api):
    """An API whose every list is `items`, and that gives no more of them at once than it is asked for."""

    items: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        assert (method, body) == ("GET", None)
        self.asked.append(path)
        query = {name: int(value) for name, value in parse_qsl(path.partition("?")[2]) if value.isdecimal()}
        first = (query["page"] - 1) * query["per_page"]
        found = self.items[first : first + query["per_page"]]
        return Answer(200, dict.fromkeys(("vpcs", "firewalls", "load_balancers", "projects", "volumes"), found))


def account(**said: object) -> Answer:
    return Answer(200, {"account": {"status": "active", "email_verified": True, "droplet_limit": 10, **said}})


def rights(settings: Settings, **statuses: int) -> list[Finding]:
    assert settings.digitalocean is not None
    by_path = {kinds(settings.digitalocean)[kind]: status for kind, status in statuses.items()}
    return checks._check_rights(Double("http://x", "t", by_path), settings.digitalocean, "make a token")


def test_only_what_the_stack_makes_needs_a_right(settings: Settings) -> None:
    cloud = settings.digitalocean
    assert cloud is not None
    assert {"block_storage", "block_storage_action", "domain", "droplet", "spaces_key"} < kinds(cloud).keys()
    small = replace(cloud, volumes={}, dns=None, snapshots=None, reserved_addresses={})
    assert list(kinds(small)) == ["droplet", "firewall", "load_balancer", "project", "ssh_key", "tag", "vpc"]


def test_a_token_of_custom_scopes_is_told_which_it_lacks(settings: Settings) -> None:
    (finding,) = rights(settings, droplet=403, vpc=403, tag=400)
    assert finding.status is Status.FAIL
    assert finding.title.endswith("the token lacks droplet:create, vpc:create")


def test_a_token_with_all_rights_is_told_from_one_that_only_reads(settings: Settings) -> None:
    assert settings.digitalocean is not None
    assert [finding.status for finding in rights(settings)] == [Status.OK]
    (finding,) = rights(settings, **dict.fromkeys(kinds(settings.digitalocean), 403))
    assert "may only read" in finding.title


def test_a_thing_that_was_made_by_mistake_is_named(settings: Settings) -> None:
    first, _ = rights(settings, tag=201)
    assert first.status is Status.FAIL
    assert "a tag was made" in first.title


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (account(), Status.OK, "active"),
        (account(email_verified=False), Status.FAIL, "not verified"),
        (account(status="locked", status_message="unpaid"), Status.FAIL, "locked: unpaid"),
        (account(status="warning", status_message="unpaid"), Status.WARN, "warning: unpaid"),
        (Answer(403, {"message": "no"}), Status.WARN, "may not read the account"),
    ],
)
def test_the_accounts_standing_is_said(answer: Answer, status: Status, words: str) -> None:
    (finding,) = check_account(answer)
    assert finding.status is status
    assert words in finding.title


@pytest.mark.parametrize(
    ("limit", "used", "lacking", "status"),
    [(10, 5, 5, Status.OK), (10, 6, 5, Status.FAIL), (10, 10, 0, Status.WARN), (10, 9, 0, Status.OK)],
)
def test_the_droplet_limit_must_hold_what_is_still_to_be_made(
    limit: int, used: int, lacking: int, status: Status
) -> None:
    assert check_limit(limit, used, lacking).status is status


def test_a_size_that_is_not_on_sale_matters_only_to_machines_that_are_to_be_made(settings: Settings) -> None:
    cloud = settings.digitalocean
    assert cloud is not None
    regions = [{"slug": "fra1", "available": True, "sizes": ["s-2vcpu-4gb"]}]
    (finding,) = check_region(regions, cloud, {"agent-a"})
    assert (finding.status, "pools.agents.size" in finding.remedy) == (Status.FAIL, True)
    (finding,) = check_region(regions, cloud, {"server-a"})
    assert finding.status is Status.WARN
    (finding,) = check_region([{**regions[0], "sizes": ["s-2vcpu-4gb", "s-4vcpu-8gb"]}], cloud, {"agent-a"})
    assert finding.status is Status.OK


def test_a_region_that_is_closed_or_gone_is_named_with_the_others(settings: Settings) -> None:
    assert settings.digitalocean is not None
    closed = {"slug": "fra1", "available": False, "sizes": []}
    for regions in (
        [closed, {**closed, "slug": "ams3", "available": True}],
        [{**closed, "slug": "ams3", "available": True}],
    ):
        (finding,) = check_region(regions, settings.digitalocean, set())
        assert finding.status is Status.FAIL
        assert "there are ams3" in finding.remedy


def test_a_region_without_a_default_network_is_pointed_out_while_the_stack_has_none(settings: Settings) -> None:
    cloud = settings.digitalocean
    assert cloud is not None
    default = {"name": "default-ams3", "region": "ams3", "ip_range": "10.110.0.0/20", "default": True}
    api = Lists("http://x", "t", [default, {**default, "name": "other", "region": "fra1", "default": False}])
    (finding,) = taken.check_network(api, settings, cloud, "prod", ())
    assert finding.status is Status.WARN
    assert "fra1 has no default VPC" in finding.title
    assert taken.check_network(api, settings, cloud, "prod", {(taken.VPC, "seedbed-prod")}) == []
    here = Lists("http://x", "t", [{**default, "region": "fra1"}])
    assert [one.status for one in taken.check_network(here, settings, cloud, "prod", ())] == [Status.OK]


def test_only_the_names_of_what_is_still_to_be_made_are_asked_for(settings: Settings) -> None:
    cloud = settings.digitalocean
    assert cloud is not None
    urns = [
        "urn:pulumi:prod::seedbed::a:b:C$digitalocean:index/loadBalancer:LoadBalancer::seedbed-prod",
        "urn:pulumi:prod::seedbed::digitalocean:index/project:Project::seedbed-prod",
        "urn:pulumi:prod::seedbed::a:b:C$digitalocean:index/firewall:Firewall::seedbed-prod",
    ]
    made = taken.made([{"urn": urn} for urn in urns])
    api = Lists("http://x", "t", [{"name": "seedbed-prod"}])
    assert [one.status for one in taken.check_names(api, replace(cloud, volumes={}), "prod", made)] == [Status.OK]
    assert [path.partition("?")[0] for path in api.asked] == ["/v2/firewalls"]


def test_a_list_is_read_to_its_end() -> None:
    api = Lists("http://x", "t", [{"name": str(number)} for number in range(401)])
    assert api.listed("/v2/volumes?region=fra1", "volumes") == api.items
    assert [path.partition("&")[2] for path in api.asked] == [f"per_page=200&page={page}" for page in (1, 2, 3)]


def test_the_token_and_the_url_are_read_as_the_provider_reads_them() -> None:
    assert Api.of({}) is None
    api = Api.of({"DIGITALOCEAN_TOKEN": "hidden"})
    assert api == Api("https://api.digitalocean.com", "hidden")
    assert "hidden" not in repr(api)
    assert Api.of({"DIGITALOCEAN_TOKEN": "t", "DIGITALOCEAN_API_URL": "http://127.0.0.1:9/"}) == Api(
        "http://127.0.0.1:9", "t"
    )


def test_an_api_that_is_down_is_an_error_with_its_url() -> None:
    with pytest.raises(CloudError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        Api("http://127.0.0.1:9", "t").read("/v2/account")


def test_a_droplet_has_no_address_until_it_has_one() -> None:
    assert digitalocean.public_address({"networks": {"v4": []}}) is None
    both = [{"type": "private", "ip_address": "10.20.0.2"}, {"type": "public", "ip_address": "203.0.113.7"}]
    assert digitalocean.public_address({"networks": {"v4": both}}) == "203.0.113.7"


def test_a_missing_token_is_the_only_thing_said_of_the_account(settings: Settings) -> None:
    token, spaces = checks.check_cloud(settings, "prod", {}, ())
    assert "DIGITALOCEAN_TOKEN is not set" in token.title
    assert "droplet" in token.remedy
    assert "SPACES_ACCESS_KEY_ID and SPACES_SECRET_ACCESS_KEY not set" in spaces.title


def test_a_stack_elsewhere_is_not_asked_for_a_token() -> None:
    dev = stackfile.settings(stackfile.load("dev"), lab_is_made=False)
    assert checks.check_cloud(dev, "dev", {}, ()) == []


def test_what_the_state_has_comes_along_and_is_unknown_where_it_cannot_be_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.digitalocean, "check_cloud", lambda *arguments: arguments[3:])
    prod, vpc = stackfile.load("prod"), {"urn": "a"}
    answers: list[tuple[Any, Any]] = [
        ({"deployment": {"resources": [vpc]}}, [vpc]),
        ({"deployment": {"manifest": {}}}, []),
        ({"deployment": None}, []),
        (UserError("no stack named 'prod' found"), None),
    ]
    for exported, deployed in answers:

        def export(*_: object, said: Any = exported) -> Any:
            if isinstance(said, UserError):
                raise said
            return said

        monkeypatch.setattr(doctor.engine, "exported", export)
        assert doctor._cloud(prod, settings, {}) == (deployed,)
