"""Each class of risk by what it is made of, and what is none."""

import pytest

from seedbed.review import Verdict
from tests.unit.review.digests import (
    BALANCER,
    BUCKET,
    DROPLET,
    FIREWALL,
    GUARD,
    RECORD,
    SECRET,
    UNKNOWN,
    VOLUME,
    create,
    delete,
    line,
    lines,
    machine,
    replacement,
    review,
    same,
    step,
    update,
)

NAMESPACE = "kubernetes:core/v1:Namespace"
SSH_KEY = "digitalocean:index/sshKey:SshKey"
SPACES_KEY = "digitalocean:index/spacesKey:SpacesKey"
CLUSTER = "pulumi:providers:kubernetes"


def rule(port: str, *sources: str, protocol: str = "tcp", **more: list[str]):
    return {"protocol": protocol, "portRange": port, "sourceAddresses": list(sources), **more}


def firewall(old: list, new: list):
    tags = {"tags": ["seedbed-prod"]}
    return update(FIREWALL, "seedbed-prod", {"inboundRules": old, **tags}, {"inboundRules": new, **tags})


OFFICE = rule("22", "203.0.113.0/24")


# Data


@pytest.mark.parametrize(
    ("type_", "name", "said"),
    [
        (VOLUME, "data", "**volume `data` is deleted with all that is in it**"),
        (BUCKET, "etcd", "**bucket `etcd` is deleted with all that is in it**"),
        (NAMESPACE, "staging", "**namespace `staging` is deleted with everything in it**, volume claims included"),
    ],
)
def test_what_keeps_data_and_is_deleted_is_a_risk_for_data(type_, name, said):
    report = review(delete(type_, name))
    assert line(report, "**data**") == f"**data** {said}"
    assert report.verdict is Verdict.NEEDS_EYES


def test_a_volume_that_is_replaced_is_a_risk_for_data():
    report = review(replacement(VOLUME, "data", {"inputs": {}}, {"inputs": {}}, diffReasons=["region"]))
    assert (
        line(report, "**data**")
        == "**data** **volume `data` is replaced by an empty one**: `region` cannot change in place"
    )


def test_a_volume_that_grows_is_safe_and_says_by_how_much():
    report = review(update(VOLUME, "data", {"size": 100}, {"size": 200}))
    assert report.verdict is Verdict.SAFE
    assert lines(report) == [
        "volume `data`: changed, `size` 100 → 200",
        "**cost** +10.00 USD a month, 10.00 → 20.00 (GiB of volumes 100 → 200)",
    ]


def test_backups_that_are_switched_off_are_one_risk_for_data():
    off = ({"backups": True}, {"backups": False})
    report = review(update(DROPLET, "agent-b-1", *off), update(DROPLET, "agent-a-1", *off))
    assert line(report, "**data**") == (
        "**data** **backups of `agent-a-1` and `agent-b-1` are switched off**: there will be no more, and those that are "
        "there may be deleted"
    )
    assert "changed" not in report.markdown
    assert report.verdict is Verdict.NEEDS_EYES


# Network


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ([OFFICE], [OFFICE, rule("22", "198.51.100.0/24")], "tcp 22 to `198.51.100.0/24`"),
        ([OFFICE], [rule("22", "0.0.0.0/0", "::/0")], "tcp 22 to **the whole internet** (`0.0.0.0/0` and `::/0`)"),
        ([OFFICE], [rule("22", "0.0.0.0/1")], "tcp 22 to **the whole internet** (`0.0.0.0/1`)"),
        ([OFFICE], [rule("20-30", "203.0.113.0/24")], "tcp 20-30 to `203.0.113.0/24`"),
        ([OFFICE], [OFFICE, rule("all", "203.0.113.7", protocol="udp")], "every udp port to `203.0.113.7`"),
        ([], [rule("", "10.0.0.0/8", protocol="icmp")], "icmp to `10.0.0.0/8`"),
        ([], [rule("443", sourceLoadBalancerUids=[UNKNOWN])], "tcp 443 to a load balancer that is known later"),
        ([], [rule("443", sourceTags=["web"])], "tcp 443 to machines tagged `web`"),
        ([OFFICE], UNKNOWN, "every port to a network that is known later"),
    ],
)
def test_what_a_firewall_lets_in_that_it_did_not_is_a_risk(old, new, said):
    report = review(firewall(old, new))
    assert line(report, "**network**") == f"**network** firewall `seedbed-prod` opens {said}"
    assert report.verdict is Verdict.NEEDS_EYES


@pytest.mark.parametrize(
    "new",
    [[], [rule("22", "203.0.113.7/32")], [rule("22", "203.0.113.0/25"), rule("22", "203.0.113.128/25")]],
)
def test_a_firewall_that_lets_in_less_is_safe_and_a_change(new):
    report = review(firewall([OFFICE], new))
    assert report.verdict is Verdict.SAFE
    assert lines(report) == ["firewall `seedbed-prod`: changed, `inboundRules`"]


@pytest.mark.parametrize(
    ("key", "old", "new", "whose"),
    [
        ("tags", ["web"], ["web", "seedbed-prod"], "machines tagged `seedbed-prod`"),
        ("tags", None, ["a", "b"], "machines tagged `a` and `b`"),
        ("dropletIds", [1], [1, 2], "machines with the id `2`"),
        ("dropletIds", [], [UNKNOWN], "machines that are known later"),
    ],
)
def test_a_firewall_that_is_for_more_machines_opens_them_to_all_that_it_lets_in(key, old, new, whose):
    rules = {"inboundRules": [rule("all", "0.0.0.0/0"), OFFICE]}
    report = review(update(FIREWALL, "web", {key: old, **rules}, {key: new, **rules}))
    assert line(report, "**network**") == (
        f"**network** firewall `web` is for {whose} too: it opens every tcp port to **the whole internet** (`0.0.0.0/0`); "
        "tcp 22 to `203.0.113.0/24`"
    )
    assert report.verdict is Verdict.NEEDS_EYES


def test_a_firewall_that_is_for_fewer_machines_or_lets_nothing_in_is_no_risk():
    rules = {"inboundRules": [OFFICE]}
    fewer = review(update(FIREWALL, "web", {"tags": ["a", "b"], **rules}, {"tags": ["a"], **rules}))
    assert lines(fewer) == ["firewall `web`: changed, `tags` a, b → a"]
    assert review(update(FIREWALL, "web", {"tags": ["a"]}, {"tags": ["a", "b"]})).verdict is Verdict.SAFE


def test_a_droplet_that_gets_the_tag_of_a_firewall_or_a_load_balancer_is_a_risk():
    others = [
        same(FIREWALL, "web", {"inputs": {"tags": ["web"]}}),
        same(BALANCER, "b", {"inputs": {"dropletTag": "b"}}),
    ]
    tags = ({"tags": ["seedbed-prod"]}, {"tags": ["seedbed-prod", "b", "web", "mine"]})
    report = review(GUARD, others, update(DROPLET, "agent-a-1", *tags), update(DROPLET, "agent-b-1", *tags))
    assert lines(report)[:2] == [
        "**network** firewalls or load balancers are for the tag `b`, which is new on `agent-a-1` and `agent-b-1`",
        "**network** firewalls or load balancers are for the tag `web`, which is new on `agent-a-1` and `agent-b-1`",
    ]
    assert report.verdict is Verdict.NEEDS_EYES
    mine = update(DROPLET, "agent-a-1", {"tags": ["seedbed-prod"]}, {"tags": ["seedbed-prod", "mine"]})
    assert review(GUARD, others, mine).verdict is Verdict.SAFE


def forwarded(**ports: int | str):
    """A load balancer's rules, `entry443=22` for one that leads from port 443 to 22."""
    return {
        "forwardingRules": [
            {
                "entryProtocol": "tcp",
                "entryPort": int(entry.removeprefix("entry")),
                "targetProtocol": "tcp",
                "targetPort": to,
            }
            for entry, to in ports.items()
        ]
    }


def test_a_load_balancer_that_leads_a_port_to_another_is_a_risk():
    report = review(update(BALANCER, "web", forwarded(entry443=443), forwarded(entry443=22)))
    assert lines(report)[0] == "**network** load balancer `web` leads tcp 443 to tcp 22 instead of tcp 443"
    assert report.verdict is Verdict.NEEDS_EYES


def test_a_load_balancer_whose_rules_are_known_later_is_a_risk():
    rules = forwarded(entry443=443)
    later = review(update(BALANCER, "web", rules, {"forwardingRules": UNKNOWN}))
    assert "listens at a port that is known later for **the whole internet**" in line(later, "**network**")
    target = review(update(BALANCER, "web", rules, forwarded(entry443=UNKNOWN)))
    assert "leads tcp 443 to a port that is known later instead of tcp 443" in line(target, "**network**")


@pytest.mark.parametrize(("key", "old", "new"), [("dropletTag", "web", "seedbed-prod"), ("dropletIds", [1], [1, 2])])
def test_a_load_balancer_that_leads_to_other_machines_is_a_risk(key, old, new):
    report = review(update(BALANCER, "web", {key: old}, {key: new}))
    assert lines(report)[0] == "**network** load balancer `web` leads to other machines than before"
    assert "changed" not in report.markdown
    assert report.verdict is Verdict.NEEDS_EYES


def test_a_load_balancer_that_listens_at_another_port_is_a_risk():
    def rules(*ports):
        return {"forwardingRules": [{"entryProtocol": "tcp", "entryPort": port} for port in ports]}

    report = review(update(BALANCER, "web", rules(443), rules(443, 8080)))
    assert (
        line(report, "**network**") == "**network** load balancer `web` listens at tcp 8080 for **the whole internet**"
    )
    guarded = {**rules(443, 80), "firewall": {"allows": ["ip:192.0.2.1"]}}
    assert "tcp 80 for those that its firewall lets in" in review(create(BALANCER, "web", **guarded)).markdown
    internal = review(update(BALANCER, "web", rules(443), {**rules(443, 80), "network": "INTERNAL"}))
    assert "listens at tcp 80 for its own network" in internal.markdown


def test_a_load_balancer_that_loses_its_own_firewall_is_a_risk():
    rules = {"forwardingRules": [{"entryProtocol": "tcp", "entryPort": 443}]}
    report = review(update(BALANCER, "web", {**rules, "firewall": {"denies": ["ip:192.0.2.1"]}}, rules))
    assert line(report, "**network**") == "**network** load balancer `web` lets in others than before"


def test_a_load_balancer_of_another_size_is_safe():
    report = review(update(BALANCER, "web", {"sizeUnit": 1}, {"sizeUnit": 2}))
    assert report.verdict is Verdict.SAFE
    assert lines(report)[0] == "load balancer `web`: changed, `sizeUnit` 1 → 2"


def test_a_bucket_that_others_may_read_is_a_risk():
    report = review(update(BUCKET, "etcd", {"acl": "private"}, {"acl": "public-read"}))
    assert line(report, "**network**") == "**network** **bucket `etcd` is open to others**: acl `public-read`"


def test_a_name_that_leads_elsewhere_is_a_risk():
    report = review(update(RECORD, "k8s.example.org", {"value": "192.0.2.1"}, {"value": "192.0.2.2"}))
    assert line(report, "**network**") == (
        "**network** DNS name `k8s.example.org` leads elsewhere: `192.0.2.1` → `192.0.2.2`"
    )


def test_a_new_droplet_that_no_firewall_is_for_is_a_risk():
    other = same(FIREWALL, "other", {"inputs": {"tags": ["other"]}})
    report = review(other, machine("create", "agent-a-1"))
    assert (
        line(report, "**network**") == "**network** **no firewall is for `agent-a-1`**: every port is open to the world"
    )


def test_a_firewall_that_is_deleted_leaves_machines_open():
    report = review({**GUARD, "op": "delete", "newState": None}, machine("same", "agent-a-1"))
    assert "**no firewall is for `agent-a-1`**" in line(report, "**network**")
    assert "firewall `seedbed-prod`: **deleted**" in lines(report)


def test_machines_that_were_never_behind_a_firewall_are_no_news():
    assert "no firewall" not in review(machine("same", "agent-a-1"), create(RECORD, "x")).markdown


# Identity


def test_another_ssh_key_is_a_risk_and_its_value_is_not_shown():
    report = review(update(SSH_KEY, "seedbed-prod", {"publicKey": "ssh-ed25519 OLD"}, {"publicKey": "ssh-ed25519 NEW"}))
    assert line(report, "**identity**") == (
        "**identity** the operator's SSH key is another one: machines that are there let in the one they were made with"
    )
    assert "ssh-ed25519" not in report.markdown
    assert report.verdict is Verdict.NEEDS_EYES


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (
            update(SECRET, "repository", {"data": "[secret]"}, {"data": ""}),
            "the deploy key that ArgoCD reads the repository with changes",
        ),
        (delete(SECRET, "token"), "the secret `token` is removed"),
        (update(SPACES_KEY, "etcd", {"grants": []}, {"grants": [{}]}), "the key for the bucket `etcd` changes"),
        (
            delete(SECRET, "sealed-secrets-key-0123456789ab"),
            "1 sealing key removed: **what is sealed for no other can be opened no more**",
        ),
        (create(SECRET, "sealed-secrets-key-0123456789ab"), "put in place: 1 sealing key"),
        (
            update(CLUSTER, "cluster", {"kubeconfig": "[secret]"}, {"kubeconfig": ""}),
            "the administrator's certificate, the CA or the API's address is another one",
        ),
        (
            update("kubernetes:core/v1:ConfigMap", "known-hosts", {"data": {}}, {"data": {"a": ""}}),
            "the host keys that ArgoCD trusts the repository's server by are others",
        ),
    ],
)
def test_what_comes_from_the_identity_and_changes_is_a_risk(one, said):
    report = review(one)
    assert line(report, "**identity**") == f"**identity** {said}"
    assert report.verdict is Verdict.NEEDS_EYES


def test_another_cluster_behind_the_same_name_is_a_risk():
    report = review(replacement(CLUSTER, "cluster", {}, {}, diffReasons=["clusterIdentifier"]))
    assert "**the cluster is another one**" in line(report, "**identity**")


def test_a_newer_plugin_is_noise_and_safe():
    report = review(
        update(CLUSTER, "cluster", {"version": "4.1"}, {"version": "4.2"}),
        delete("pulumi:providers:digitalocean", "default_4_84_0"),
        create("pulumi:providers:digitalocean", "default_4_85_0"),
    )
    assert report.verdict is Verdict.SAFE
    assert lines(report) == ["folded: plugins' versions (3)"]


# Cost


def test_a_small_increase_is_safe_and_a_large_one_needs_eyes():
    assert review(GUARD, machine("create", "agent-a-1"), machine("create", "agent-b-1")).verdict is Verdict.SAFE
    report = review(GUARD, *(machine("create", f"agent-{one}-1") for one in "abc"))
    assert report.verdict is Verdict.NEEDS_EYES
    assert line(report, "**cost**").startswith("**cost** **+144.00 USD a month, 0.00 → 144.00")


def test_a_frozen_size_costs_what_the_machine_is_and_not_what_the_settings_say():
    report = review(
        GUARD,
        update(
            DROPLET, "agent-a-1", {"size": "s-4vcpu-8gb", "backups": False}, {"size": "s-4vcpu-8gb", "backups": True}
        ),
    )
    assert "droplet" not in line(report, "**cost**")
    assert "backups of s-4vcpu-8gb 0 → 1" in line(report, "**cost**")


def test_a_size_without_a_price_is_named():
    report = review(GUARD, create(DROPLET, "agent-a-1", size="s-one-day", tags=["seedbed-prod"]))
    assert line(report, "**cost**").endswith("without `s-one-day`, whose price is not known")


def test_where_nothing_is_bought_nothing_is_said_of_cost():
    assert "cost" not in review(step("update", "command:remote:Command", "x", {}, {})).markdown
