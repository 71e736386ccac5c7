from seedbed.following import Follower, planned

PLAN = {
    "resourcePlans": {
        "urn:pulumi:prod::seedbed::seedbed:pave:Node::agent-b-2": {"steps": ["create"]},
        "urn:pulumi:prod::seedbed::seedbed:metal:DropletHost$digitalocean:index/droplet:Droplet::agent-b-2": {
            "steps": ["create"]
        },
        "urn:pulumi:prod::seedbed::seedbed:pave:Node$command:remote:Command::agent-b-2-k3s": {"steps": ["create"]},
        "urn:pulumi:prod::seedbed::seedbed:pave:Node::agent-b-1": {"steps": ["delete"]},
        "urn:pulumi:prod::seedbed::seedbed:pave:Node$pulumi:index:Stash::agent-b-1-member": {"steps": ["delete"]},
        "urn:pulumi:prod::seedbed::seedbed:pave:Node::server-a-1": {"steps": ["same"]},
        "urn:pulumi:prod::seedbed::seedbed:pave:Node$command:remote:Command::server-a-1-k3s": {"steps": ["same"]},
        "urn:pulumi:prod::seedbed::digitalocean:index/project:Project::seedbed-prod": {"steps": ["update"]},
    }
}

APPLIED = """Previewing update (prod):

 +  digitalocean:index:Droplet agent-b-2 create
    pulumi:pulumi:Stack seedbed-prod running warning: agent-a-1 was paved with other settings
    pulumi:pulumi:Stack seedbed-prod  1 warning
Diagnostics:
  pulumi:pulumi:Stack (seedbed-prod):
    warning: agent-a-1 was paved with other settings

Resources:
    + 3 to create

Updating (prod):

 +  seedbed:pave:Node agent-b-2 creating (0s)
 +  digitalocean:index:Droplet agent-b-2 creating (0s)
 +  digitalocean:index:Droplet agent-b-2 creating (9s) droplet agent-b-2 (5) is new
 +  digitalocean:index:Droplet agent-b-2 created (20s)
 ~  digitalocean:index:Project seedbed-prod updating (0s) [diff: ~resources]
 ~  digitalocean:index:Project seedbed-prod updated (0.10s) [diff: ~resources]
 +  command:remote:Command agent-b-2-k3s creating (0s)
 +  command:remote:Command agent-b-2-k3s creating (1s) Dial 3/69 failed: retrying
 +  command:remote:Command agent-b-2-k3s creating (2s) agent-b-2 k3s: starting k3s as agent
 +  command:remote:Command agent-b-2-k3s created (11s) agent-b-2 k3s: paved
 -  pulumi:index:Stash agent-b-1-member deleting (0s)
    pulumi:pulumi:Stack seedbed-prod running agent-b-1: drained in 7 s
 -  pulumi:index:Stash agent-b-1-member deleted (12s)
    pulumi:pulumi:Stack seedbed-prod
Diagnostics:
  pulumi:pulumi:Stack (seedbed-prod):
    agent-b-1: drained in 7 s

Resources:
    + 3 created
    - 1 deleted

Duration: 1m"""


def followed(text):
    said, now = [], iter(range(0, 1000, 10))
    follower = Follower(PLAN, said.append, lambda: next(now))
    for line in text.splitlines():
        if line.strip():
            follower.line(line.rstrip())
    follower.end()
    return said


def test_what_the_plan_does_is_counted_by_machine():
    assert {machine: dict(ops) for machine, ops in planned(PLAN).items()} == {
        "agent-b-2": {"create": 2},
        "agent-b-1": {"delete": 1},
    }


def test_an_update_is_followed_a_machine_at_a_time():
    assert followed(APPLIED) == [
        "the engine holds the program against the plan",
        "carrying it out",
        "agent-b-2 comes",
        "agent-b-2: droplet agent-b-2 (5) is new",
        "~ Project seedbed-prod updated, 0.10 s",
        "agent-b-2 k3s: starting k3s as agent",
        "agent-b-2 is in after 10 s: droplet 20 s, k3s 11 s",
        "agent-b-1 leaves",
        "agent-b-1: drained in 7 s",
        "agent-b-1 is out after 10 s: member 12 s",
        "+ 3 created",
        "- 1 deleted",
    ]


def test_a_plan_that_the_engine_refuses_is_told_once_and_whole():
    assert followed("""Previewing update (prod):
    pulumi:index:Stash d  error: create is not allowed by the plan: no steps were expected for this resource
    pulumi:index:Stash d  1 error
Diagnostics:
  pulumi:index:Stash (d):
    error: create is not allowed by the plan: no steps were expected for this resource
  pulumi:pulumi:Stack (seedbed-prod):
    error: Program failed with an unhandled exception:
    Traceback (most recent call last):
Resources:
    1 errored""") == [
        "the engine holds the program against the plan",
        "pulumi:index:Stash d  error: create is not allowed by the plan: no steps were expected for this resource",
        "pulumi:index:Stash d  1 error",
        "pulumi:pulumi:Stack (seedbed-prod):",
        "error: Program failed with an unhandled exception:",
        "Traceback (most recent call last):",
    ]


def test_what_fails_while_it_is_carried_out_is_told_with_all_its_lines():
    said = followed("""Updating (prod):
 +  command:remote:Command agent-b-2-k3s creating (2s)
 +  command:remote:Command agent-b-2-k3s **creating failed** error: exit status 3
Diagnostics:
  command:remote:Command (agent-b-2-k3s):
    error: exit status 3
    k3s.service: the last lines of its journal
Resources:
    1 errored""")
    assert "agent-b-2 comes" in said
    assert said.count("error: exit status 3") == 0, "it was said with its resource"
    assert "k3s.service: the last lines of its journal" in said
    assert any("creating failed" in line for line in said)


def test_what_a_gate_refuses_is_said_once():
    said = followed("""Updating (prod):
 -  pulumi:index:Stash agent-b-1-member deleting (0s)
 -  pulumi:index:Stash agent-b-1-member deleting (0s) error: before hook "retire" failed: agent-b-1 cannot leave
 -  pulumi:index:Stash agent-b-1-member **deleting failed** error: before hook "retire" failed: agent-b-1 cannot leave
    pulumi:pulumi:Stack seedbed-prod **failed** 1 error
Diagnostics:
  pulumi:index:Stash (agent-b-1-member):
    error: before hook "retire" failed: agent-b-1 cannot leave""")
    assert said[1:] == [
        "agent-b-1 leaves",
        'agent-b-1: error: before hook "retire" failed: agent-b-1 cannot leave',
    ]


def test_what_is_said_before_anything_begins_is_shown():
    assert followed("error: the stack is currently locked by 1 lock(s)") == [
        "error: the stack is currently locked by 1 lock(s)"
    ]
