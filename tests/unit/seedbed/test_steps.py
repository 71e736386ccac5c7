import pytest

from seedbed.steps import Step, ended, shown

COMMAND = "    +  command:remote:Command server-a-1-k3s"
COPY = "    +  command:remote:CopyToRemote server-a-1-scripts"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (f"{COMMAND} creating (1s) server-a-1 k3s: starting k3s as server", "  server-a-1 k3s: starting k3s as server"),
        (f"{COMMAND} created (11s) server-a-1 k3s: paved", "+ server-a-1-k3s created, 11 s"),
        (f"{COMMAND} creating (0s)", None),
        (f"{COMMAND} creating (2s) Dial 3/69 failed: retrying", None),
        (f"{COMMAND} creating (9s) Dial 20/69 failed: retrying", "  server-a-1-k3s: Dial 20/69 failed: retrying"),
        (f"{COPY} creating (9s) Dial 20/69 failed: retrying", "  server-a-1-scripts: Dial 20/69 failed: retrying"),
        (f"{COPY} created (1s)", "+ server-a-1-scripts created, 1 s"),
        ("    +  seedbed:pave:Node agent-a-1 creating (0s)", None),
        ("    ~  command:remote:Command a-1-base updated (3s)", "~ a-1-base updated, 3 s"),
        (f"{COMMAND} created (0.87s) server-a-1 k3s: already paved", "+ server-a-1-k3s created, 0.87 s"),
        ("    +  kubernetes:core/v1:Namespace argocd creating (0s)", None),
        ("    +  kubernetes:core/v1:Namespace argocd created (0.12s)", "+ Namespace argocd created, 0.12 s"),
        (
            "    +  kubernetes:argoproj.io/v1alpha1:Application root creating (3s) waiting for its CRD",
            "  Application root: waiting for its CRD",
        ),
        ("    +  pulumi:providers:kubernetes cluster created (0.1s)", None),
        ("    -  command:remote:Command a-1-base deleted (0.02s)", "- a-1-base deleted, 0.02 s"),
        (
            "    pulumi:pulumi:Stack seedbed-dev running agent-a-1: has left the cluster",
            "  agent-a-1: has left the cluster",
        ),
        (
            "    pulumi:pulumi:Stack seedbed-dev **failed** 1 error",
            "    pulumi:pulumi:Stack seedbed-dev **failed** 1 error",
        ),
        ("    13 unchanged", "    13 unchanged"),
        ("error: the stack is currently locked by 1 lock(s)", "error: the stack is currently locked by 1 lock(s)"),
        (f"{COMMAND} **creating failed** error: exit status 3", f"{COMMAND} **creating failed** error: exit status 3"),
    ],
)
def test_a_line_is_shown_where_it_says_something(line, text):
    assert shown(line) == text


def test_a_step_that_ended_well_is_timed():
    assert ended(f"{COMMAND} created (11s) server-a-1 k3s: paved") == Step("server-a-1-k3s", 11)
    assert ended(f"{COPY} created (1s)") == Step("server-a-1-scripts", 1)
    assert ended(f"{COMMAND} creating (11s) server-a-1 k3s: paved") is None
    assert ended("    +  kubernetes:core/v1:Namespace argocd created (0.12s)") is None
    assert ended("    +  pulumi:pulumi:Stack seedbed-dev created (41s)") is None
    assert ended("    -  command:remote:Command a-1-base deleted (0.02s)") is None
    assert ended("Duration: 43s") is None
