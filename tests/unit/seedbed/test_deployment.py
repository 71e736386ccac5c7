import copy

import pytest

from seedbed import deployment
from seedbed.deployment import difference, disagreement, read

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}


def urn(type_, name):
    return f"urn:pulumi:prod::seedbed::{type_}::{name}"


def node(name):
    return [
        {"urn": urn("seedbed:pave:Node", name), "type": "seedbed:pave:Node"},
        {
            "urn": urn("seedbed:pave:Node$command:remote:Command", f"{name}-wait"),
            "type": "command:remote:Command",
            "id": f"id of {name}",
            "inputs": {"create": f"wait for {name}", "stdin": SECRET, "triggers": [1, "a"]},
            "outputs": {"create": f"wait for {name}", "stdin": SECRET, "triggers": [1, "a"], "stdout": ""},
        },
    ]


def state(*names, volumes=("data",), pending=()):
    resources = [one for name in names for one in node(name)]
    resources += [{"urn": urn("do:Volume", name), "id": name, "inputs": {"size": 1}} for name in volumes]
    operations = [{"resource": {"urn": urn("do:Volume", name)}, "type": "creating"} for name in pending]
    return {"version": 3, "deployment": {"resources": resources, "pending_operations": operations}}


def shown(exported):
    """The preview of a state in which nothing changes, as `--json` shows it."""

    def text(value):
        if value == SECRET:
            return "[secret]"
        if isinstance(value, dict):
            return {key: text(inner) for key, inner in value.items()}
        return [text(inner) for inner in value] if isinstance(value, list) else value

    resources = exported["deployment"]["resources"]
    return {"steps": [{"op": "same", "urn": one["urn"], "oldState": text(copy.deepcopy(one))} for one in resources]}


def test_the_digest_is_of_all_resources_and_of_what_is_half_done():
    one = read(state("a-1"))
    assert one == read(state("a-1"))
    assert one.machines == ("a-1",)
    other = state("a-1")
    other["deployment"]["resources"][1]["outputs"]["stdout"] = "x"
    assert read(other).digest != one.digest
    assert read(state("a-1", pending=["data"])).digest != one.digest
    assert read({"version": 3, "deployment": {}}).digest == read({}).digest != one.digest


def test_what_is_replaced_and_still_there_counts_twice():
    twice = state("a-1")
    old = {**twice["deployment"]["resources"][-1], "delete": True}
    twice["deployment"]["resources"].append(old)
    assert "data is changed" in difference(read(state("a-1")), read(twice))


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (state("a-1"), state("a-1"), ""),
        (state("a-1", "b-1"), state("a-1", "a-2"), "a-2 is new, b-1 is gone"),
        (state("a-1"), state("a-1", volumes=["data", "more"]), "more is new"),
        (state("a-1"), state("a-1", volumes=[]), "data is gone"),
        (state("a-1"), state("a-1", volumes=list("vwxyz")), "5 resources are new, data is gone"),
        (state("a-1"), state("a-1", pending=["data"]), "data is half done"),
        (state("a-1", pending=["data"]), state("a-1"), "data no longer half done"),
        (state("a-1", "b-1"), state("b-1", "a-1"), "the same resources in another order"),
    ],
)
def test_what_changed_since_is_one_line_with_the_machines_first(then, now, said):
    assert difference(read(then), read(now)) == said


def test_a_resource_that_changed_is_named():
    now = state("a-1")
    now["deployment"]["resources"][1]["outputs"]["stdout"] = "x"
    assert difference(read(state("a-1")), read(now)) == "a-1-wait is changed"


def test_a_machine_is_found_by_the_longest_name_that_fits():
    names = ["agent-a-1", "agent-a-1-b-1", "server-a-1"]
    assert deployment.machine_of("agent-a-1-wait", names) == "agent-a-1"
    assert deployment.machine_of("agent-a-1-b-1-wait", names) == "agent-a-1-b-1"
    assert deployment.machine_of("agent-a-1", names) == "agent-a-1"
    assert deployment.machine_of("agent-a-10-wait", names) is None


def test_a_preview_of_the_state_that_was_exported_agrees_with_it():
    assert disagreement(shown(state("a-1", "b-1")), state("a-1", "b-1")) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda resources: resources[1].update(id="another"), "a-1-wait has other id"),
        (lambda resources: resources[1]["inputs"].update(create="another"), "a-1-wait has other inputs"),
        (lambda resources: resources[1]["inputs"]["triggers"].append("b"), "a-1-wait has other inputs"),
        (lambda resources: resources[1]["outputs"].update(stdout="x"), "a-1-wait has other outputs"),
        (lambda resources: resources[1]["outputs"].update(more=1), "a-1-wait has other outputs"),
        (lambda resources: resources.pop(), "data is gone"),
        (lambda resources: resources.append({"urn": urn("do:Volume", "new")}), "new is new"),
    ],
)
def test_a_state_that_changed_between_the_preview_and_the_export_is_noticed(change, said):
    exported = state("a-1")
    preview = shown(exported)
    change(exported["deployment"]["resources"])
    assert disagreement(preview, exported) == said


def test_what_the_preview_does_not_show_is_not_missed():
    exported = state("a-1")
    preview = shown(exported)
    exported["deployment"]["resources"] += [
        {"urn": urn("pulumi:providers:command", "default")},
        {"urn": urn("do:Volume", "replaced"), "delete": True},
    ]
    assert disagreement(preview, exported) == ""
    cut_short = {"steps": preview["steps"][:1], "diagnostics": [{"severity": "error", "message": "refused"}]}
    assert disagreement(cut_short, exported) == ""
    assert disagreement({"steps": preview["steps"][:1]}, exported) != ""
