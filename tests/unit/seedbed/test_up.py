import dataclasses
import threading
from types import SimpleNamespace

import pytest

from lab import stack_lab
from seedbed import UserError, build, graph
from seedbed.commands import up
from seedbed.steps import Step
from tests.unit.seedbed.test_drill import cluster, degraded, no_node
from tools.progress import Progress, Timing

SEED = SimpleNamespace(
    environments=("dev",), tree="the tree as it was pushed", repository=SimpleNamespace(url="ssh://x", revision="main")
)


@dataclasses.dataclass
class Lab:
    name: str
    settings: SimpleNamespace


@pytest.fixture
def done(monkeypatch):
    """What was done for the lab, in its order, with every act replaced by a note."""
    notes = []

    def note(name, result=None):
        def act(*arguments):
            notes.append(name)
            return result

        return act

    monkeypatch.setattr(stack_lab, "ensure_identity", note("identity", "the identity"))
    for name in ("start_s3", "start_hosts", "start_internet", "start_git", "start_cloud"):
        monkeypatch.setattr(stack_lab, name, note(name))

    def publish_tree(lab, progress, seal, renew):
        notes.append("publish_tree")
        seal("draft")
        renew("merged")

    monkeypatch.setattr(stack_lab, "publish_tree", publish_tree)
    monkeypatch.setattr(up, "renew_tree", lambda *arguments: notes.append(arguments))
    monkeypatch.setattr(
        up, "seal_tree", lambda *arguments, before, replace: notes.append((*arguments, before, replace))
    )
    monkeypatch.setattr(build, "jobs", lambda _: [graph.Job(name, note(name)) for name in ALL])
    return notes


ALL = (build.CLI, build.S3_SERVER, build.IMAGE, build.ARTIFACTS)


def jobs(seed, digitalocean=None):
    return up.lab_jobs(Lab("dev", SimpleNamespace(seed=seed, digitalocean=digitalocean)), Progress())


def test_the_tree_is_sealed_with_the_identity_while_it_is_published(done):
    graph.run(jobs(SEED))
    assert ("draft", "dev", ("dev",), "the identity", "the tree as it was pushed", False) in done
    assert ("merged", "dev", ("dev",), "the identity") in done


def test_a_clouds_stack_is_rehearsed_with_made_up_secrets_in_place_of_the_real_ones(done):
    graph.run(jobs(SEED, digitalocean="a cloud"))
    assert ("draft", "dev", ("dev",), "the identity", "the tree as it was pushed", True) in done


def test_the_tree_is_published_while_hosts_and_builds_still_take_their_time(done, monkeypatch):
    published = threading.Event()
    monkeypatch.setattr(stack_lab, "publish_tree", lambda *_: published.set())
    monkeypatch.setattr(build, "jobs", lambda _: [graph.Job(name, lambda _: published.wait(20)) for name in ALL])
    results = graph.run(jobs(SEED))
    assert [results[name] for name in ALL] == [True] * 4


def test_the_git_server_starts_once_the_hosts_have_their_network(done):
    graph.run(jobs(SEED))
    assert done.index("start_git") > done.index("start_hosts")


def test_the_cloud_comes_once_the_network_and_its_storages_program_are_there(done):
    graph.run(jobs(SEED))
    assert done.index("start_cloud") > max(done.index("start_hosts"), done.index(build.S3_SERVER))


def test_the_state_is_made_last_for_the_engine_starts_right_after_it(done):
    waits_for = {job.name: job.needs for job in [*jobs(SEED), up._stack_job(None, Progress())]}
    assert up.CLOUD in waits_for[up.STACK]


def test_a_stack_without_a_seed_publishes_nothing(done):
    graph.run(jobs(None))
    assert "publish_tree" not in done


@pytest.fixture
def summary(fake, identity, monkeypatch, capsys):
    """Prints the summary of an `up` of the fake cluster, and gives its text."""
    cluster(fake)
    fake.objects["/api/v1/namespaces/argocd/configmaps/argocd-cm"] = {"data": {"admin.enabled": "true"}}
    monkeypatch.setattr(up, "provide_kubectl", lambda _: None)
    result = up.Result(
        identity, SimpleNamespace(genuine=False, k3s=None), [Timing("pulumi up", 2, 30.5), Timing("cached", 0, 0.01)],
        [Step("synced", 12)],
    )  # fmt: skip

    def show(seed=SEED):
        settings = SimpleNamespace(api_url=fake.url, seed=seed, cluster=SimpleNamespace(init="server-a-1"))
        monkeypatch.setattr(up.stackfile, "settings", lambda _: settings)
        up.print_summary(SimpleNamespace(name="dev"), result, ["pulumi preview"])
        return capsys.readouterr().out

    return show


def test_the_summary_ends_with_the_applications_and_the_way_into_argocd(summary):
    text = summary()
    rows = [line.split() for line in text.splitlines()]
    assert ["web-dev", "apps", "Synced", "Healthy", "aaaaaaa"] in rows
    assert "12 s    synced" in text
    assert "cached" not in text
    assert "port-forward svc/argocd-server" in text.splitlines()[-3]


def test_an_application_that_is_not_healthy_is_shown_and_no_failure(summary, fake):
    degraded(fake)
    assert "Degraded" in summary()


def test_a_node_that_is_not_ready_is_a_failure(summary, fake):
    no_node(fake)
    with pytest.raises(UserError, match="not every node is Ready"):
        summary()


def test_a_stack_without_a_seed_shows_no_applications(summary):
    text = summary(seed=None)
    assert "server-a-1" in text
    assert "ArgoCD" not in text
