import pytest
import yaml

from seedbed import UserError, stackfile
from stacks.settings import SettingsError

COMMENTED = """\
# why this stack exists
encryptionsalt: v1:abc
config:  # the settings
  # servers first
  seedbed:machines:
    server-a: {role: server, address: 10.0.0.1}
"""


def test_a_missing_stack_names_those_that_are_there(tmp_path):
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    (tmp_path / "Pulumi.prod.yaml").write_text("config: {}\n")
    with pytest.raises(SettingsError, match=r"Pulumi\.prodd\.yaml cannot be used.*\n.*does not exist.*dev, prod"):
        stackfile.load("prodd", tmp_path)


@pytest.mark.parametrize("name", ["", "../etc", "a b", "a/b"])
def test_a_name_that_is_none_is_refused_before_any_file_is_opened(tmp_path, name):
    with pytest.raises(UserError, match="not a stack's name"):
        stackfile.load(name, tmp_path)


@pytest.mark.parametrize("text", ["[1, 2]", "config: 7", "config: [", "just text"])
def test_a_file_that_is_no_stack_is_named(tmp_path, text):
    (tmp_path / "Pulumi.x.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"Pulumi\.x\.yaml"):
        stackfile.load("x", tmp_path)


def test_a_machine_that_is_there_twice_is_refused_before_a_lab_boots_one_of_the_two(tmp_path):
    (tmp_path / "Pulumi.x.yaml").write_text(
        "config:\n  seedbed:machines:\n    a: {role: server}\n    a: {role: agent}\n"
    )
    with pytest.raises(SettingsError, match="'a' is there twice"):
        stackfile.load("x", tmp_path)


def test_an_identity_in_clear_is_refused(tmp_path):
    (tmp_path / "Pulumi.x.yaml").write_text("config:\n  seedbed:identity: '{}'\n")
    with pytest.raises(UserError, match="not encrypted"):
        _ = stackfile.load("x", tmp_path).sealed_identity


def test_the_identity_goes_first_and_everything_else_stays(tmp_path):
    text = stackfile.with_identity(COMMENTED, "v1:n:c", None)
    assert text == COMMENTED.replace(
        "config:  # the settings\n", "config:  # the settings\n  seedbed:identity:\n    secure: v1:n:c\n"
    )


@pytest.mark.parametrize("before", ["", "# only a comment\n", "config:\n", "config: {}\n", "config: {}", "a: 1"])
def test_a_file_without_settings_gets_the_identity_and_the_salt(tmp_path, before):
    text = stackfile.with_identity(before, "v1:n:c", "v1:salt:v1:x:y")
    read = yaml.safe_load(text)
    assert read["encryptionsalt"] == "v1:salt:v1:x:y"
    assert read["config"] == {"seedbed:identity": {"secure": "v1:n:c"}}


def test_the_lab_needs_no_digest_to_know_its_hosts(tmp_path):
    config = {
        "seedbed:cluster": {"init": "server-a-1"},
        "seedbed:network": {"machines": "10.77.0.0/24"},
        "seedbed:k3s": {"version": "v1.34.2+k3s1", "sha256File": ".lab/dev/k3s.sha256"},
        "seedbed:machines": {"server-a": {"role": "server", "address": "10.77.0.11"}},
    }
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
    stack = stackfile.load("dev", tmp_path)
    assert list(stackfile.settings(stack, lab_is_made=False).machines) == ["server-a"]
    with pytest.raises(SettingsError, match="seedbed lab up"):
        stackfile.settings(stack)


@pytest.mark.parametrize(
    ("seed", "number"),
    [({}, 1), ({"repository": {"deployKey": 3}}, 3), ({"repository": {"deployKey": "x"}}, 1), ({"repository": 7}, 1), (None, 1)],
)  # fmt: skip
def test_the_number_of_the_deploy_key_is_read_from_any_settings(tmp_path, seed, number):
    (tmp_path / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": {"seedbed:seed": seed}}))
    assert stackfile.load("prod", tmp_path).deploy_key == number
