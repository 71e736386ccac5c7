import pytest

from seedbed.applications import (
    MESSAGE_CHARACTERS,
    Application,
    applications,
    explained,
    how_to_reach,
    parse,
    plain,
    table,
)

CM = "/api/v1/namespaces/argocd/configmaps/argocd-cm"
DEPLOYMENT = "/apis/apps/v1/namespaces/dev/deployments/web"
POD = "/api/v1/namespaces/dev/pods/web-1"
RESOURCE = {"kind": "Deployment", "namespace": "dev", "name": "web"}


def application(name, *, sync="Synced", **status):
    status = {"sync": {"status": sync, "revision": "b" * 40}, **status}
    return {"metadata": {"name": name}, "spec": {"syncPolicy": {"automated": {}}}, "status": status}


def test_the_root_comes_first_and_the_others_by_name(fake, api):
    for name in ("web-dev", "argocd", "root"):
        fake.application(name)
    assert [one.name for one in applications(api)] == ["root", "argocd", "web-dev"]


def test_a_cluster_without_argocd_has_none(api):
    assert applications(api) == []


def test_an_application_is_read_as_argocd_shows_it(fake, api):
    fake.application("web-dev", sync="OutOfSync", health="Progressing", revision="c" * 40)
    (found,) = applications(api)
    assert found == Application(
        "web-dev", "apps", "dev", "OutOfSync", "Progressing", "c" * 40, "",
        ("ssh://git@forge.example.org/cluster.git", "main"),
    )  # fmt: skip


def test_an_application_that_nobody_has_looked_at_yet_is_of_unknown_state():
    found = parse({"metadata": {"name": "web"}, "spec": {}})
    assert (found.sync, found.health, found.revision) == ("Unknown", "Unknown", "")
    assert not found.synced
    assert not found.healthy


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            application(
                "a",
                sync="Unknown",
                conditions=[
                    {"type": "SharedResourceWarning", "message": "shared"},
                    {
                        "type": "ComparisonError",
                        "message": "Failed to load target state: failed to generate manifest for source 1 of 1: "
                        "rpc error: code = Unknown desc = k8s/apps/a:\n  app path does not exist",
                    },
                ],
            ),
            "ComparisonError: k8s/apps/a: app path does not exist",
        ),
        (
            application("a", sync="OutOfSync", operationState={"phase": "Failed", "message": "no such CRD"}),
            "no such CRD",
        ),
        (
            application(
                "a", sync="OutOfSync", operationState={"phase": "Running", "retryCount": 3, "message": "again"}
            ),
            "again",
        ),
        (application("a", sync="OutOfSync", operationState={"phase": "Running", "message": "applying"}), ""),
        (application("a", operationState={"phase": "Failed", "message": "of long ago"}), ""),
    ],
)
def test_what_argocd_says_is_wrong_is_the_message(item, message):
    assert parse(item).message == message


@pytest.mark.parametrize("policy", [{}, {"automated": {"enabled": False}}])
def test_an_application_that_waits_for_a_person_says_so(policy):
    item = application("a", sync="OutOfSync")
    item["spec"]["syncPolicy"] = policy
    assert "syncPolicy.automated is off" in parse(item).message


def test_a_message_of_many_lines_stays_one_line_of_bounded_length():
    assert plain("a\n  b\tc") == "a b c"
    assert len(plain("x" * 5000)) == MESSAGE_CHARACTERS


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            {
                "containerStatuses": [
                    {"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}}
                ]
            },
            "Deployment web: ImagePullBackOff: no",
        ),
        (
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "Insufficient memory",
                    }
                ]
            },
            "Deployment web: Unschedulable: Insufficient memory",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "web",
                        "ready": False,
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                    }
                ]
            },
            "Deployment web: container web was given too little memory (OOMKilled)",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "web",
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"exitCode": 2}},
                    }
                ]
            },
            "Deployment web: CrashLoopBackOff: it ended with exit code 2",
        ),
        ({"containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ContainerCreating"}}}]}, ""),
        ({"containerStatuses": [{"name": "web", "ready": True, "state": {"running": {}}}]}, ""),
    ],
)
def test_an_unhealthy_application_says_what_keeps_its_pods_from_running(fake, api, status, said):
    fake.application("web", health="Degraded", resources=[{"kind": "Service", "name": "web"}, RESOURCE])
    fake.objects[DEPLOYMENT] = {"spec": {"selector": {"matchLabels": {"app": "web", "tier": "a"}}}}
    fake.objects[POD] = {"status": status}
    assert [one.message for one in explained(api, applications(api))] == [said]
    assert ("GET", "/api/v1/namespaces/dev/pods?labelSelector=app%3Dweb%2Ctier%3Da") in fake.asked


@pytest.mark.parametrize(
    ("kind", "path", "condition", "message"),
    [
        (
            "SealedSecret", "/apis/bitnami.com/v1alpha1/namespaces/dev/sealedsecrets/web", "Synced",
            "no key could decrypt secret (token)",
        ),
        (
            "HorizontalPodAutoscaler", "/apis/autoscaling/v2/namespaces/dev/horizontalpodautoscalers/web", "ScalingActive",
            "the metrics API cannot be reached",
        ),
        ("APIService", "/apis/apiregistration.k8s.io/v1/apiservices/web", "Available", "the service does not answer"),
    ],
)  # fmt: skip
def test_what_has_no_pods_says_by_its_condition_what_is_wrong(fake, api, kind, path, condition, message):
    fake.application("web", health="Degraded", resources=[{"kind": kind, "namespace": "dev", "name": "web"}])
    conditions = [{"type": "Other", "status": "False"}, {"type": condition, "status": "False", "message": message}]
    fake.objects[path] = {"status": {"conditions": conditions}}
    assert [one.message for one in explained(api, applications(api))] == [f"{kind} web: {message}"]
    conditions[1]["status"] = "True"
    assert [one.message for one in explained(api, applications(api))] == [""]


def test_a_healthy_application_is_not_looked_into(fake, api):
    fake.application("web", resources=[RESOURCE])
    explained(api, applications(api))
    assert len(fake.asked) == 1


def test_the_table_is_aligned_and_shortens_commits():
    lines = table([Application("root", "platform", "argocd", "Synced", "Healthy", "d" * 40)])
    assert lines[0].index("REVISION") == lines[1].index("ddddddd")
    assert "d" * 8 not in lines[1]


def test_the_way_into_argocd_names_the_password_and_does_not_read_it(fake, api):
    fake.objects[CM] = {"data": {"admin.enabled": "true"}}
    text = "\n".join(how_to_reach(api, ".lab/kubeconfig"))
    assert "kubectl --kubeconfig .lab/kubeconfig -n argocd port-forward svc/argocd-server" in text
    assert "get secret argocd-initial-admin-secret" in text
    assert [path for _, path in fake.asked] == [CM]


def test_an_admin_that_is_disabled_is_said_to_be(fake, api):
    fake.objects[CM] = {"data": {"admin.enabled": "false"}}
    text = "\n".join(how_to_reach(api, "kubeconfig"))
    assert "admin is disabled" in text
    assert "argocd-initial-admin-secret" not in text
