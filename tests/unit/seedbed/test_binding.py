import pytest

from seedbed import UserError, binding
from seedbed.stackfile import StackFile
from tests.unit.seedbed.test_bundle import BINDING
from tools import dropins

YAML = """encryptionsalt: v1:salt
config:
  seedbed:identity:
    secure: v1:{identity}
  seedbed:k3s: {{version: {version}, disable: [{disable}], sha256File: .lab/k3s.sha256}}
  seedbed:seed: {{tree: .lab/tree, repository: {{knownHostsFile: .lab/known}}}}
  digitalocean:token: x
"""


@pytest.fixture
def stack(tmp_path):
    (tmp_path / ".lab" / "tree" / "base").mkdir(parents=True)
    for name in ("k3s.sha256", "known", "tree/base/one.yaml"):
        (tmp_path / ".lab" / name).write_text(f"{name}\n")
    return StackFile("prod", write(tmp_path), {}, None, None)


def write(root, version="v1", disable="traefik", identity="abc"):
    path = root / "Pulumi.prod.yaml"
    path.write_text(YAML.format(version=version, disable=disable, identity=identity))
    return path


def changes(then, now):
    old, new = (BINDING.model_copy(update={"settings": one}) for one in (then, now))
    return binding.differences(old, new, None)


def test_every_setting_is_bound_by_its_path_and_a_secret_by_its_ciphertext(stack, identity):
    then = binding.settings(stack, identity)
    assert then.values["seedbed:k3s.version"] == '"v1"'
    assert then.values["digitalocean:token"] == '"x"'
    assert "v1:abc" not in then.model_dump_json()
    write(stack.root, version="v2", disable="traefik, servicelb", identity="def")
    secret, disable, version = changes(then, binding.settings(stack, identity))
    assert version == 'settings: seedbed:k3s.version "v1" → "v2"'
    assert disable == 'settings: seedbed:k3s.disable ["traefik"] → ["traefik", "servicelb"]'
    assert secret.startswith("settings: seedbed:identity secret ")


def test_a_setting_that_came_or_went_is_told_from_one_that_changed(stack, identity):
    then = binding.settings(stack, identity)
    stack.path.write_text(stack.path.read_text().replace("  digitalocean:token: x\n", "  seedbed:retire: [a-1]\n"))
    assert changes(then, binding.settings(stack, identity)) == [
        'settings: digitalocean:token "x" → none',
        'settings: seedbed:retire none → ["a-1"]',
    ]


@pytest.mark.parametrize(
    ("file", "named"), [("k3s.sha256", "k3s.sha256"), ("known", "known"), ("tree/base/one.yaml", "tree")]
)
def test_a_file_outside_git_that_a_setting_names_is_bound(stack, identity, file, named):
    then = binding.settings(stack, identity)
    (stack.root / ".lab" / file).write_text("another\n")
    assert changes(then, binding.settings(stack, identity)) == [f"settings: the file .lab/{named} changed"]
    (stack.root / ".lab" / file).unlink()
    assert changes(then, binding.settings(stack, identity)) == [f"settings: the file .lab/{named} changed"]


@pytest.mark.parametrize(
    ("file", "named"), [("k3s.sha256", "k3s.sha256"), ("known", "known"), ("tree/base/one.yaml", "tree")]
)
def test_what_is_behind_a_link_that_a_setting_names_is_bound(stack, identity, tmp_path, file, named):
    link, kept = stack.root / ".lab" / file, tmp_path / "kept"
    link.rename(kept)
    link.symlink_to(kept)
    then = binding.settings(stack, identity)
    kept.write_text("another\n")
    assert changes(then, binding.settings(stack, identity)) == [f"settings: the file .lab/{named} changed"]


def test_a_folder_behind_a_link_in_the_seeds_tree_is_bound(stack, identity, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "one.yaml").write_text("one\n")
    (stack.root / ".lab" / "tree" / "link").symlink_to(tmp_path / "kept")
    then = binding.settings(stack, identity)
    (tmp_path / "kept" / "one.yaml").write_text("two\n")
    assert changes(then, binding.settings(stack, identity)) == ["settings: the file .lab/tree changed"]


def test_another_identity_is_noticed_without_telling_what_it_is(stack, identity):
    then = binding.settings(stack, identity)
    other = identity.model_copy(update={"server_token": "another"})
    assert changes(then, binding.settings(stack, other)) == ["settings: the stack's identity changed"]
    import hashlib

    assert then.identity != hashlib.sha256(identity.to_json().encode()).hexdigest()


def test_the_key_that_seals_is_of_the_identity_and_of_nothing_else(identity):
    other = identity.model_copy(update={"host_key_seed": "another seed"})
    assert binding.seal_key(identity) == binding.seal_key(identity.model_copy(update={"sealing_keys": ()}))
    assert binding.seal_key(identity) != binding.seal_key(other)
    assert len(binding.seal_key(identity)) == 32


def test_every_part_that_differs_has_its_line():
    now = BINDING.model_copy(
        update={
            "store": "s3://another",
            "state": BINDING.state.model_copy(update={"digest": "9" * 64, "machines": ("server-a-1", "agent-b-1")}),
            "sources": BINDING.sources.model_copy(update={"digest": "8" * 64, "files": {"stacks/one.py": "7"}}),
            "versions": {"pulumi": "v3.233.0", "plugin command": "1.2.1 (drop-in)"},
        }
    )
    assert binding.differences(BINDING, now, None) == [
        "store: s3://bucket/prefix → s3://another",
        "state: agent-b-1 is new since the review",
        "sources: stacks/one.py changed",
        "versions: plugin command none → 1.2.1 (drop-in)",
        "versions: pulumi v3.232.0 → v3.233.0",
    ]
    assert binding.differences(BINDING, BINDING, None) == []


def test_a_drop_in_is_another_version_than_the_official_plugin(tmp_path):
    from importlib.metadata import version

    plugin = tmp_path / "plugins" / f"resource-command-v{version('pulumi-command')}" / "pulumi-resource-command"
    plugin.parent.mkdir(parents=True)
    plugin.write_bytes(b"\x7fELF")
    environment = {"PULUMI_HOME": str(tmp_path), "PATH": ""}
    official = binding.versions("v3.232.0", environment)
    plugin.write_text(f"#!/bin/sh\n{dropins.MARK}\n")
    drop_in = binding.versions("v3.232.0", environment)
    assert {key for key in official if official[key] != drop_in[key]} == {"plugin command"}
    assert drop_in["plugin command"].endswith(" (drop-in)")
    assert drop_in["pulumi"] == "v3.232.0"


def test_the_store_is_told_without_what_opens_it():
    url = (
        "s3://key:secret@bucket/prefix?profile=me&s3ForcePathStyle=true&region=fra1&endpoint=https://key:s%2Fecret@host"
    )
    assert binding.store({"PULUMI_BACKEND_URL": url}) == "s3://bucket/prefix?endpoint=https://host&region=fra1"
    assert binding.store({"PULUMI_BACKEND_URL": "s3://key:secret@bucket/a@b?profile=me"}) == "s3://bucket/a@b"
    assert binding.store({}) == ""


@pytest.mark.parametrize(
    "other",
    ["endpoint=https://two.example.org&region=x", "endpoint=https://one.example.org&region=y", "region=x",
     "endpoint=https://one.example.org&region=x&prefix=copy/"],
)  # fmt: skip
def test_a_bucket_of_the_same_name_elsewhere_is_another_store(other):
    one, two = (
        BINDING.model_copy(update={"store": binding.store({"PULUMI_BACKEND_URL": f"s3://state?{query}"})})
        for query in ("endpoint=https://one.example.org&region=x", other)
    )
    (line,) = binding.differences(one, two, None)
    assert line.startswith("store: s3://state?endpoint=https://one.example.org&region=x → s3://state?")


def test_the_same_store_is_the_same_however_its_url_is_written():
    forms = (
        "s3://state?endpoint=https://one.example.org&region=x&profile=me",
        "s3://state?profile=you&region=x&endpoint=https%3A%2F%2Fone.example.org&s3ForcePathStyle=true",
    )
    assert len({binding.store({"PULUMI_BACKEND_URL": url}) for url in forms}) == 1


def test_without_a_cli_it_is_said_where_one_comes_from(tmp_path):
    with pytest.raises(UserError, match="make ready"):
        binding.pulumi_version({"PATH": str(tmp_path)})
