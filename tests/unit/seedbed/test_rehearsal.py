import dataclasses
import io
import stat
from ipaddress import IPv4Network

import pytest
import yaml

from lab import cloud_lab
from seedbed import UserError, passphrase, rehearsal, stackfile
from stacks.config import ROOT
from stacks.settings import SettingsError
from tools.progress import Progress

SUBNET = IPv4Network("10.77.1.0/24")
SILENT = Progress(stream=io.StringIO())


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone with the real prod stack's file in it; its lab gets SUBNET."""
    (tmp_path / "Pulumi.prod.yaml").write_text((ROOT / "Pulumi.prod.yaml").read_text())
    (tmp_path / "k8s").symlink_to(ROOT / "k8s")

    def ensure_subnet(name, folder, progress):
        folder.mkdir(parents=True, exist_ok=True)
        return SUBNET

    monkeypatch.setattr(cloud_lab, "ensure_subnet", ensure_subnet)
    return tmp_path


def change(clone, act):
    """Edits the committed settings of the clone."""
    path = clone / "Pulumi.prod.yaml"
    document = yaml.safe_load(path.read_text())
    act(document["config"])
    path.write_text(yaml.safe_dump(document))


def prepare(clone):
    return rehearsal.prepare(stackfile.committed("prod", clone), SILENT)


def test_the_rehearsed_prod_stack_differs_in_these_settings_and_no_other(clone):
    stack, differences = prepare(clone)
    assert [difference.name for difference in differences] == [
        "seedbed:identityFile",
        "seedbed:k3s.sha256File",
        "seedbed:seed.repository.url",
        "seedbed:seed.repository.knownHosts",
        "seedbed:seed.repository.knownHostsFile",
        "seedbed:seed.tree",
        "seedbed:digitalocean.operators.rehearsal",
        "seedbed:digitalocean.snapshots.endpoint",
    ]
    real = stackfile.settings(stackfile.committed("prod", clone))
    rehearsed = stackfile.settings(stack, lab_is_made=False)
    same = {"cluster", "network", "machines", "ssh", "timeouts"}
    assert {name: getattr(rehearsed, name) for name in same} == {name: getattr(real, name) for name in same}
    one, other = real.digitalocean, rehearsed.digitalocean
    assert other.operators == {**one.operators, "rehearsal": IPv4Network("10.77.1.1/32")}
    assert other.snapshots == dataclasses.replace(one.snapshots, endpoint="http://10.77.1.2:7480")
    assert dataclasses.replace(other, operators=one.operators, snapshots=one.snapshots) == one


def test_every_difference_is_told_with_its_reason(clone):
    lines = rehearsal.table(prepare(clone)[1])
    assert "seedbed:seed.repository.knownHosts: none – the lab's git server, with this clone's tree" in lines
    assert all(reason.strip() for line in lines for reason in [line.partition(" – ")[2]])


def test_the_committed_file_stays_as_it_is_and_its_double_is_for_the_owner_only(clone):
    before = (clone / "Pulumi.prod.yaml").read_text()
    stack, _ = prepare(clone)
    assert (clone / "Pulumi.prod.yaml").read_text() == before
    assert stack.path == clone / ".lab/prod/Pulumi.prod.yaml"
    for file in (stack.path, stack.path.parent / "passphrase"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_real_identity_and_salt_are_left_out(clone):
    sealed = {"secure": "v1:bm9uY2U=:c2VhbGVk"}
    change(clone, lambda config: config.update({"seedbed:identity": sealed}))
    stack, differences = prepare(clone)
    assert differences[0].name == "seedbed:identity"
    assert "c2VhbGVk" not in stack.path.read_text()
    assert stack.identity_file == clone / ".lab/prod/identity.json"


def test_the_rehearsals_passphrase_opens_its_salt_and_both_stay(clone):
    first, _ = prepare(clone)
    value = stackfile.rehearsal_passphrase(first.path.parent)
    assert passphrase.Crypter.open(first.salt, value)
    second, _ = prepare(clone)
    assert (second.salt, stackfile.rehearsal_passphrase(second.path.parent)) == (first.salt, value)


def test_a_change_of_the_committed_settings_reaches_the_next_rehearsal(clone):
    prepare(clone)
    change(clone, lambda config: config["seedbed:pools"]["servers"].update(size="s-4vcpu-8gb"))
    stack, _ = prepare(clone)
    assert stackfile.settings(stack, lab_is_made=False).digitalocean.droplet("server-a").size == "s-4vcpu-8gb"


def test_a_branch_and_a_folder_of_the_real_repository_are_not_looked_for_in_the_labs(clone):
    change(clone, lambda config: config["seedbed:seed"]["repository"].update(revision="live", path="clusters/prod"))
    stack, _ = prepare(clone)
    repository = stackfile.settings(stack, lab_is_made=False).seed.repository
    assert (repository.revision, repository.path) == ("main", "k8s")


def test_without_seed_and_snapshots_only_the_rest_is_changed(clone):
    change(clone, lambda config: (config.pop("seedbed:seed"), config["seedbed:digitalocean"].pop("snapshots")))
    assert [difference.name for difference in prepare(clone)[1]] == [
        "seedbed:identityFile",
        "seedbed:k3s.sha256File",
        "seedbed:digitalocean.operators.rehearsal",
    ]


def test_settings_that_would_fail_in_earnest_fail_in_the_rehearsal_too(clone):
    # The lab's own takes its place, so nobody would notice later.
    change(clone, lambda config: config["seedbed:seed"]["repository"].update(knownHosts=["nonsense"]))
    change(clone, lambda config: config.update({"digitalocean:apiEndpoint": "https://elsewhere.example.org"}))
    with pytest.raises(SettingsError, match=r"digitalocean:apiEndpoint[\s\S]*knownHosts"):
        prepare(clone)
    assert not (clone / ".lab").exists()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("digitalocean:token", "t", "real cloud"),
        ("digitalocean:spacesAccessId", "t", "real cloud"),
        ("other:password", {"secure": "v1:a:b"}, "cannot open"),
        ("other:list", [{"deep": {"secure": "v1:a:b"}}], "cannot open"),
    ],
)
def test_what_leads_to_the_real_cloud_or_needs_its_keys_is_refused(clone, key, value, says):
    change(clone, lambda config: config.update({key: value}))
    with pytest.raises(UserError, match=rf"{key}.*{says}"):
        prepare(clone)
    assert not (clone / ".lab").exists()


def test_a_stack_that_lives_on_the_lab_is_not_rehearsed():
    with pytest.raises(UserError, match="seedbed up dev"):
        rehearsal.prepare(stackfile.committed("dev"), SILENT)


def test_a_stack_of_machines_that_exist_is_not_rehearsed(clone):
    def existing(config):
        del config["seedbed:digitalocean"], config["seedbed:pools"]
        config["seedbed:machines"] = {"server-a": {"role": "server", "address": "10.20.0.11"}}

    change(clone, existing)
    with pytest.raises(UserError, match="are there already"):
        prepare(clone)


def test_only_the_shell_of_the_rehearsal_means_it_by_the_stacks_name(clone):
    stack, _ = prepare(clone)

    def is_rehearsal(value):
        return stackfile.load("prod", clone, {stackfile.REHEARSAL: value} if value else {}).rehearsal

    assert is_rehearsal(str(stack.path))
    assert not is_rehearsal("")
    assert not is_rehearsal(str(clone / "Pulumi.prod.yaml"))
    assert not is_rehearsal(str(stack.path.parent.parent / "other" / "Pulumi.prod.yaml"))


def test_in_the_shell_of_a_rehearsal_that_is_gone_nothing_is_done_to_the_real_stack(clone):
    gone = {stackfile.REHEARSAL: str(clone / ".lab/prod/Pulumi.prod.yaml")}
    with pytest.raises(UserError, match="not rehearsed"):
        stackfile.load("prod", clone, gone)


def test_the_lab_is_found_by_the_rehearsal_and_its_lack_is_explained(clone):
    with pytest.raises(UserError, match="seedbed rehearse prod"):
        stackfile.on_lab("prod", clone)
    prepare(clone)
    assert stackfile.on_lab("prod", clone).rehearsal
