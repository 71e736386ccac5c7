import pytest

from seedbed import UserError
from seedbed.syncing import REFRESH_SET, sync
from tests.unit.seedbed.fake_api import APPLICATION_SETS, APPLICATIONS

OLD, NEW, NEWER = "a" * 40, "b" * 40, "c" * 40
REFRESH = "argocd.argoproj.io/refresh"


class Argo:
    """Does at each read what ArgoCD's controllers do: one step for each that was asked, and never unasked."""

    def __init__(self, fake, *, head=NEW, folders=(), broken=()):
        self.head = head
        self.folders = folders
        self.broken = broken
        self.refreshed = []
        fake.before_read = self.step

    def step(self, fake):
        for path, item in list(fake.objects.items()):
            annotations = item["metadata"]["annotations"]
            name = item["metadata"]["name"]
            if annotations.pop(REFRESH, None):
                self.refreshed.append(name)
                sync = item["status"]["sync"]
                if name in self.broken:
                    item["status"]["conditions"] = [{"type": "ComparisonError", "message": "does not render"}]
                    sync["status"] = "Unknown"
                else:
                    sync["status"] = "Synced" if sync["revision"] == self.head else "OutOfSync"
                    sync["revision"] = self.head
            elif path.startswith(f"{APPLICATIONS}/") and item["status"]["sync"]["status"] == "OutOfSync":
                item["status"]["sync"]["status"] = "Synced"
            if annotations.pop(REFRESH_SET, None):
                self.refreshed.append(f"set {name}")
                for folder in self.folders:
                    fake.application(folder, sync="OutOfSync", health="Missing", revision="")


def cluster(fake, *names):
    for name in ("root", *names):
        fake.application(name, revision=OLD)
    fake.application_set("apps")


def wait(api, *wanted, timeout=5.0, say=lambda _: None):
    return sync(api, wanted, timeout, say, poll=0.001)


def test_everything_is_refreshed_the_root_first_and_then_synced_at_the_head(fake, api):
    cluster(fake, "web-dev", "argocd")
    argo = Argo(fake)
    outcome = wait(api)
    assert [(one.name, one.sync, one.revision) for one in outcome.applications] == [
        (name, "Synced", NEW) for name in ("root", "argocd", "web-dev")
    ]
    assert (outcome.late, outcome.blind) == ({}, [])
    assert argo.refreshed[:2] == ["root", "set apps"]
    assert sorted(argo.refreshed[2:]) == ["argocd", "web-dev"]


def test_a_synced_status_of_before_the_question_does_not_count(fake, api):
    cluster(fake, "web-dev")
    outcome = wait(api, timeout=0.1)
    assert [(one.name, one.refreshing) for one in outcome.applications] == [("root", True)]
    assert outcome.late == {"root": "no answer"}


def test_an_application_that_does_not_answer_is_late_though_its_status_of_before_is_synced(fake, api):
    cluster(fake, "web-dev")
    argo = Argo(fake)

    def step(fake):
        kept = fake.objects[f"{APPLICATIONS}/web-dev"]["metadata"]["annotations"].pop(REFRESH, None)
        argo.step(fake)
        if kept:
            fake.objects[f"{APPLICATIONS}/web-dev"]["metadata"]["annotations"][REFRESH] = kept

    fake.before_read = step
    outcome = wait(api, timeout=1)
    assert [one.sync for one in outcome.applications] == ["Synced", "Synced"]
    assert outcome.late == {"web-dev": "no answer"}


def test_an_application_that_stays_behind_the_root_is_late(fake, api):
    cluster(fake, "web-dev")
    argo = Argo(fake)

    def step(fake):
        argo.step(fake)
        fake.objects[f"{APPLICATIONS}/web-dev"]["status"]["sync"].update(status="Synced", revision=OLD)

    fake.before_read = step
    assert wait(api, "web-dev", timeout=1).late == {"web-dev": "not at the commit of root"}


def test_a_new_folder_is_waited_for(fake, api):
    cluster(fake, "web-dev")
    Argo(fake, folders=("news-dev",))
    assert [(one.name, one.sync) for one in wait(api).applications] == [
        ("root", "Synced"), ("news-dev", "Synced"), ("web-dev", "Synced"),
    ]  # fmt: skip


def test_a_push_while_waiting_brings_all_to_the_newer_commit(fake, api):
    cluster(fake, "web-dev", "api-dev")
    argo = Argo(fake)

    def step(fake):
        if "set apps" in argo.refreshed:
            argo.head = NEWER
        argo.step(fake)

    fake.before_read = step
    assert {one.revision for one in wait(api).applications} == {NEWER}


def test_an_application_of_another_repository_need_not_be_at_the_roots_commit(fake, api):
    cluster(fake, "chart")
    fake.objects[f"{APPLICATIONS}/chart"]["spec"]["source"] = {"repoURL": "https://charts.example.org"}
    argo = Argo(fake)

    def step(fake):
        argo.step(fake)
        fake.objects[f"{APPLICATIONS}/chart"]["status"]["sync"].update(status="Synced", revision="1.2.3")

    fake.before_read = step
    assert [one.revision for one in wait(api).applications] == [NEW, "1.2.3"]


def test_one_that_cannot_be_synced_is_given_back_as_it_is_when_the_time_is_over(fake, api):
    cluster(fake, "web-dev", "api-dev")
    argo = Argo(fake, broken=("web-dev",))
    said = []
    outcome = wait(api, timeout=0.3, say=said.append)
    assert argo.refreshed.count("web-dev") == 1
    assert outcome.late == {"web-dev": ""}
    assert "web-dev: Unknown at aaaaaaa – ComparisonError: does not render" in said


def test_a_root_that_cannot_be_synced_ends_it_before_anything_else_is_asked(fake, api):
    cluster(fake, "web-dev")
    argo = Argo(fake, broken=("root",))
    (root,) = wait(api, timeout=0.1).applications
    assert root.message == "ComparisonError: does not render"
    assert argo.refreshed == ["root"]


def test_each_change_is_told_once(fake, api):
    cluster(fake, "web-dev")
    Argo(fake)
    said = []
    wait(api, say=said.append)
    assert said == [
        "root: OutOfSync at bbbbbbb", "root: Synced at bbbbbbb", "web-dev: OutOfSync at bbbbbbb", "web-dev: Synced at bbbbbbb",
    ]  # fmt: skip


def test_only_the_wanted_ones_are_waited_for(fake, api):
    cluster(fake, "web-dev", "api-dev")
    argo = Argo(fake, broken=("api-dev",))
    assert [one.name for one in wait(api, "web-dev").applications] == ["root", "web-dev"]
    assert "api-dev" not in argo.refreshed


def test_a_wanted_one_that_is_not_there_is_named_with_those_that_are(fake, api):
    cluster(fake, "web-dev")
    Argo(fake)
    with pytest.raises(UserError, match="no Application wbe-dev; there are root, web-dev"):
        wait(api, "wbe-dev")


def test_a_wanted_one_may_be_a_folder_that_was_just_pushed(fake, api):
    cluster(fake)
    Argo(fake, folders=("news-dev",))
    assert [one.name for one in wait(api, "news-dev").applications] == ["root", "news-dev"]


def test_a_cluster_where_nothing_is_planted_is_told_from_one_that_is_late(fake, api):
    with pytest.raises(UserError, match="nothing is planted there yet"):
        wait(api)


def blind(fake):
    """An ArgoCD whose set `apps` cannot look at git."""
    argo = Argo(fake)

    def step(fake):
        kept = fake.objects[f"{APPLICATION_SETS}/apps"]["metadata"]["annotations"].pop(REFRESH_SET, None)
        argo.step(fake)
        if kept:
            item = fake.objects[f"{APPLICATION_SETS}/apps"]
            item["metadata"]["annotations"][REFRESH_SET] = kept
            item["status"] = {"conditions": [{"type": "ErrorOccurred", "status": "True", "message": "no such branch"}]}

    fake.before_read = step


def test_an_application_set_that_cannot_look_at_git_says_why(fake, api):
    cluster(fake, "web-dev")
    blind(fake)
    said = []
    outcome = wait(api, timeout=0.5, say=said.append)
    assert "ApplicationSet apps: no such branch" in said
    assert outcome.blind == ["apps"]
    assert outcome.late == {"web-dev": "not asked"}
