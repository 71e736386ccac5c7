"""The verdict, what is hidden by Pulumi's own display, what is refused, and what must never be in a report."""

import json
from pathlib import Path

import pytest
import yaml

from seedbed.review import Facts, Verdict, assess
from seedbed.review.words import code, count, prose, sentence
from stacks import generations
from stacks.settings import parse
from tests.unit.review.digests import (
    ATTACHMENT,
    COMMAND,
    DROPLET,
    GUARD,
    PROJECT,
    SECRET,
    STASH,
    UNKNOWN,
    VOLUME,
    create,
    delete,
    line,
    lines,
    machine,
    preview,
    review,
    same,
    servers,
    step,
    update,
    urn,
)

ROOT = Path(__file__).parents[3]
COPY = "command:remote:CopyToRemote"


# The verdict


def test_where_nothing_changes_the_report_is_its_title_and_what_was_previewed():
    report = review(GUARD, servers("server-a-1"))
    assert report.verdict is Verdict.NOTHING
    assert report.markdown == "## Nothing: `prod`, no change\n\n_`Pulumi.prod.yaml` at `5eedbed5eedb`_\n"
    assert report.summary == "Nothing: prod, no change"


def test_changes_that_are_not_committed_are_named():
    report = assess(preview(), Facts("prod", "5eedbed", ("Pulumi.prod.yaml", "stacks/x.py"), "Pulumi.prod.yaml"))
    assert (
        "_`Pulumi.prod.yaml` at `5eedbed`, with changes that are not committed: `Pulumi.prod.yaml` and `stacks/x.py`_"
        in (report.markdown)
    )


def test_warnings_alone_leave_the_verdict_at_nothing_and_are_each_on_a_line():
    report = review(warnings=("seedbed:retire names x-1, for which nothing is removed: take it out", "something else"))
    assert report.verdict is Verdict.NOTHING
    assert report.summary == "Nothing: prod, no change, 2 warnings"
    assert lines(report) == [
        "**warning** seedbed:retire names x-1, for which nothing is removed: take it out",
        "**warning** something else",
    ]


@pytest.mark.parametrize("op", ["delete", "replace", "discard", "an-operation-of-tomorrow"])
def test_whatever_is_removed_or_not_understood_needs_eyes(op):
    report = review(step(op, "x:y:Thing", "one", {}, None if op == "delete" else {}))
    assert report.verdict is Verdict.NEEDS_EYES
    assert "`one`" in report.markdown


@pytest.mark.parametrize("op", ["same", "read", "refresh"])
def test_what_stays_is_no_change(op):
    assert review(step(op, "x:y:Thing", "one", {}, {})).verdict is Verdict.NOTHING


def test_a_change_that_is_no_risk_is_safe_and_has_a_line_in_plain_words():
    report = review(update("digitalocean:index/tag:Tag", "t", {"name": "a"}, {"name": "b"}))
    assert report.verdict is Verdict.SAFE
    assert lines(report) == ["tag `t`: changed, `name`"]


def test_much_that_is_new_shares_a_line():
    report = review(*(create("digitalocean:index/tag:Tag", name) for name in "abc"), create(PROJECT, "p"))
    assert lines(report) == ["new: 3 tags (`a`, `b` and `c`), project `p`"]


# What is folded


def test_noise_is_one_line_with_counts():
    report = review(
        GUARD,
        machine("create", "agent-a-1"),
        update(PROJECT, "seedbed-prod", {"resources": ["a"]}, {"resources": ["a", UNKNOWN]}),
        step("update", STASH, "data-holder", {"inputs": {"input": 1}}, {"inputs": {"input": 2}}),
        update(VOLUME, "v", {"tags": ["a"]}, {"tags": [UNKNOWN]}),
        create("seedbed:metal:Snapshots", "etcd"),
    )
    assert line(report, "folded") == (
        "folded: parts of these machines (7), the project's list of what it has (1), where volumes are remembered to be (1), "
        "values that follow from what is new (1), components (1)"
    )
    assert report.summary == "Safe: prod, 1 machine in"


def test_another_change_of_the_project_is_no_noise():
    report = review(update(PROJECT, "p", {"purpose": "a", "resources": []}, {"purpose": "b", "resources": [UNKNOWN]}))
    assert lines(report) == ["project `p`: changed, `purpose`, `resources`"]


def test_a_seed_that_is_planted_again_is_said_once_and_the_steps_before_are_folded():
    report = review(
        *(
            create(type_, f"{name}-aaaaaaaa")
            for type_, name in ((COPY, "seed-scripts"), (COMMAND, "seed"), (COMMAND, "synced"))
        ),
        *(
            delete(type_, f"{name}-bbbbbbbb")
            for type_, name in ((COPY, "seed-scripts"), (COMMAND, "seed"), (COMMAND, "synced"))
        ),
    )
    assert lines(report) == [
        "the seed is planted, over what is there of it",
        "the root application is waited for until it is synced",
        "folded: scripts and earlier steps of the seed (4)",
    ]
    assert report.verdict is Verdict.SAFE


def test_a_step_of_the_seed_that_nothing_takes_the_place_of_is_a_removal():
    report = review(delete(COMMAND, "seed-aaaaaaaa"))
    assert report.verdict is Verdict.NEEDS_EYES
    assert lines(report) == ["step `seed-aaaaaaaa`: **deleted**"]


# Options


HOOK = {"resourceHooks": {"BeforeDelete": ["retire"]}}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            HOOK,
            {},
            "hook `retire` (BeforeDelete) dropped on `x`: **it is deleted, or changed, without being asked for**",
        ),
        ({"protect": True}, {}, "`protect` dropped on `x`: **it may be deleted**"),
        (
            {"deletedWith": urn(DROPLET, "agent-a-1")},
            {},
            "`deletedWith` `agent-a-1` → nothing on `x`: **it is deleted by itself**",
        ),
        (
            {"retainOnDelete": True},
            {},
            "`retainOnDelete` dropped on `x`: **what is removed from the program is deleted**",
        ),
        (
            {"ignoreChanges": ["image", "size"]},
            {"ignoreChanges": ["image"]},
            "`ignoreChanges` loses `size` on `x`: **what differs there from now on is changed**",
        ),
        (
            {"ignoreChanges": []},
            {"ignoreChanges": ["size"]},
            "`ignoreChanges` gains `size` on `x`: **nobody will be shown what differs there from now on**",
        ),
        (
            {"additionalSecretOutputs": ["stdout"]},
            {},
            "`additionalSecretOutputs` loses `stdout` on `x`: **what is there stands in the state in clear**",
        ),
    ],
)
def test_an_option_that_kept_something_and_is_dropped_is_a_risk_although_nothing_else_changes(old, new, said):
    report = review(same(DROPLET, "x", old, new))
    assert lines(report)[0] == f"**protection** {said}"
    assert report.verdict is Verdict.NEEDS_EYES


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, HOOK, "hook `retire` (BeforeDelete) added on `x`"),
        ({}, {"protect": True}, "`protect` added on `x`"),
        ({"protect": False}, {"protect": True}, "`protect` added on `x`"),
        ({}, {"deletedWith": urn(DROPLET, "agent-a-1")}, "`deletedWith` nothing → `agent-a-1` on `x`"),
        (
            {"customTimeouts": {"create": 600}},
            {"customTimeouts": {"create": 60}},
            "`customTimeouts` create 600 s → create 60 s on `x`",
        ),
        ({"replaceOnChanges": ["a"]}, {"replaceOnChanges": ["b"]}, "`replaceOnChanges` loses `a` on `x`"),
    ],
)
def test_any_other_option_that_changes_is_told_and_safe(old, new, said):
    report = review(same(VOLUME, "x", old, new))
    assert f"**options** {said}" in lines(report)
    assert report.verdict is Verdict.SAFE


def test_options_are_looked_at_of_what_changes_as_well():
    report = review(step("update", VOLUME, "x", {"inputs": {"size": 1}, "protect": True}, {"inputs": {"size": 2}}))
    assert line(report, "**protection**").startswith("**protection** `protect` dropped on `x`")


def test_a_hook_that_every_machine_loses_is_one_line():
    def without(one):
        new = {key: value for key, value in one["newState"].items() if key != "resourceHooks"}
        return {**one, "newState": new}

    report = review(
        GUARD, *(without(one) for one in servers("server-a-1", "server-b-1", "server-c-1", "server-d-1", "server-e-1"))
    )
    assert lines(report) == [
        "**protection** hook `retire` (BeforeDelete) dropped on 10 resources of `server-a-1`, `server-b-1`, `server-c-1`, "
        "`server-d-1` and `server-e-1`: **it is deleted, or changed, without being asked for**"
    ]


def test_an_attachment_that_is_replaced_goes_with_another_droplet_without_a_word():
    old, new = ({"deletedWith": urn(DROPLET, name), "inputs": {}} for name in ("a-1", "a-2"))
    assert "deletedWith" not in review(step("replace", ATTACHMENT, "x", old, new)).markdown


def test_the_same_options_in_another_order_or_written_otherwise_are_no_change():
    old = {"ignoreChanges": ["a", "b"], "customTimeouts": {"create": 60, "update": 0}, "protect": False}
    new = {"ignoreChanges": ["b", "a"], "customTimeouts": {"create": 60.0}}
    assert review(same(VOLUME, "x", old, new)).verdict is Verdict.NOTHING


# Refusals


def test_a_removal_that_the_gate_refuses_is_one_readable_line():
    said = (
        "agent-a-1 would be removed, and is not on seedbed:retire in Pulumi.prod.yaml: add it there if it shall leave"
    )
    report = review(
        machine("delete", "agent-a-1"),
        errors=(f'Preview failed: before hook "retire" failed: {said}', "preview failed"),
    )
    assert report.verdict is Verdict.REFUSED
    assert report.summary == "Refused: prod, 1 reason"
    assert lines(report) == [said, "the preview ended there: what else would change is not known"]


def test_what_is_protected_and_would_go_says_the_way_to_let_it_go():
    its = urn(VOLUME, "data-b")
    report = review(
        errors=(
            f'Preview failed: resource "{its}" cannot be deleted\nbecause it is protected. To unprotect the resource, …',
            f'Preview failed: unable to replace resource "{urn("digitalocean:index/vpc:Vpc", "net")}"\nas it is currently marked '
            "for protection. To unprotect the resource, …",
        )
    )
    assert lines(report) == [
        "volume `data-b` would be deleted, and is protected: put it back as it was. If it shall go with all that is in it: "
        f"`pulumi state unprotect '{its}'`, in a change of its own",
        "private network `net` would be replaced, and is protected: put it back as it was. If it shall go with all that is in "
        f"it: `pulumi state unprotect '{urn('digitalocean:index/vpc:Vpc', 'net')}'`, in a change of its own",
    ]


def test_every_problem_of_the_settings_is_a_line():
    report = review(
        errors=("Pulumi.prod.yaml cannot be used, 2 problems:\n  seedbed:a: wrong\n  seedbed:b: missing\n",)
    )
    assert lines(report) == ["`Pulumi.prod.yaml`: seedbed:a: wrong", "`Pulumi.prod.yaml`: seedbed:b: missing"]
    assert report.summary == "Refused: prod, 2 reasons"


def test_of_a_program_that_fails_only_the_last_line_is_shown():
    trace = 'Program failed with an unhandled exception:\nTraceback (most recent call last):\n  File "x.py"\n    secret = 1\nKeyError: 2'
    assert lines(review(errors=(trace,))) == ["the program failed: KeyError: 2"]


def test_a_preview_that_fails_without_a_word_is_refused_all_the_same():
    report = review(errors=("preview failed",))
    assert report.verdict is Verdict.REFUSED
    assert len(lines(report)) == 1


# Warnings of the program


def test_machines_that_differ_in_the_same_way_share_the_line_that_the_program_has_for_each():
    document = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]
    own = {key.removeprefix("seedbed:"): value for key, value in document.items() if key != "seedbed:seed"}
    settings = parse(own, "Pulumi.prod.yaml", ROOT, stack="prod")
    said = []
    for name in ("agent-a", "agent-b"):
        paved = generations.record(settings, name) | {"k3s.version": "v1.34.1+k3s1"}
        text = generations.warning(settings, name, json.loads(json.dumps(paved)))
        assert text is not None
        said.append(text)
    assert lines(review(warnings=tuple(said))) == [
        "**warning** `agent-a-1` and `agent-b-1` were paved with other settings: k3s.version v1.34.1+k3s1 → v1.34.2+k3s1. "
        "To adopt today's, replace each: its next generation, and its name on `seedbed:retire`"
    ]


# What must never be in a report

CANARY = "canary-in-a-coal-mine"


@pytest.mark.parametrize("op", ["create", "update", "replace", "delete"])
@pytest.mark.parametrize(
    "type_",
    [
        COMMAND,
        COPY,
        SECRET,
        STASH,
        DROPLET,
        "digitalocean:index/sshKey:SshKey",
        "digitalocean:index/spacesKey:SpacesKey",
        "pulumi:providers:kubernetes",
        "kubernetes:core/v1:ConfigMap",
        "some:other:Thing",
        "digitalocean:index/project:Project",
    ],
)
def test_no_value_of_an_input_or_an_output_is_shown_but_those_that_are_known_to_be_plain(op, type_):
    inputs = (
        "stdin",
        "create",
        "connection",
        "data",
        "stringData",
        "userData",
        "publicKey",
        "secretKey",
        "kubeconfig",
        "input",
    )
    state = {
        "inputs": {key: {"value": CANARY} if key == "data" else CANARY for key in inputs},
        "outputs": {
            "stdout": CANARY,
            "secretKey": CANARY,
            "output": {"login": CANARY, "paved": CANARY, "mounts": CANARY},
        },
        "parent": urn("seedbed:pave:Node", "agent-a-1"),
    }
    old, new = (
        (None if op == "create" else state),
        (None if op == "delete" else {**state, "inputs": {**state["inputs"], "stdin": CANARY * 2}}),
    )
    report = review(step(op, type_, "agent-a-1-member", old, new, diffReasons=list(inputs)))
    assert CANARY not in report.markdown


def test_secret_and_unknown_values_are_left_out_where_plain_ones_would_be_shown():
    report = review(
        update(VOLUME, "x", {"size": "[secret]"}, {"size": 2}),
        update("digitalocean:index/loadBalancer:LoadBalancer", "y", {"sizeUnit": 1}, {"sizeUnit": UNKNOWN}),
    )
    assert "[secret]" not in report.markdown
    assert UNKNOWN not in report.markdown
    assert "volume `x`: changed, `size`" in lines(report)


def test_a_key_in_somebody_elses_words_is_left_out():
    report = review(
        errors=("it said -----BEGIN OPENSSH PRIVATE KEY-----\nabcdef\n-----END OPENSSH PRIVATE KEY----- and more",)
    )
    assert "abcdef" not in report.markdown
    assert "and more" in report.markdown


# Markdown


def test_no_name_can_break_out_of_its_line_or_call_anybody():
    name = "a`b\n- **c** @someone <img src=x>"
    report = review(update("digitalocean:index/tag:Tag", name, {"x": 1}, {"x": 2}))
    assert lines(report) == ["tag `` a`b�- **c** @someone <img src=x> ``: changed, `x`"]


def test_somebody_elses_words_have_no_markup():
    assert prose("*a* _b_ [c](d) <e>\n#1 | `f` @g") == "\\*a\\* \\_b\\_ \\[c\\](d) \\<e\\> \\#1 \\| \\`f\\` @\u2060g"
    assert prose("\x1b[31mred\x1b[0m <{%bold%}>bold<{%reset%}>") == "red bold"
    assert prose("x" * 1000).endswith("x …")


def test_lists_and_numbers_read_as_a_sentence():
    assert [sentence(list("abc"[:n])) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert [count(1, "machine"), count(2, "memory"), count(0, "key")] == ["1 machine", "2 memories", "0 keys"]
    assert code("a``b`") == "``` a``b` ```"
