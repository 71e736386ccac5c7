"""The scripts of leaving, with a `k3s` and a `systemctl` that only tell."""

import os
import subprocess
import threading
import time

import pytest

from components.remote import session
from components.retire.removal import SCRIPTS

STEPS = sorted(file.stem for file in SCRIPTS.glob("*.sh") if file.stem != "common")

PODS = (
    "default/web-1|Running|ReplicaSet|",
    "kube-system/fluentd-x|Running|DaemonSet|",
    "kube-system/static|Running|Node|mirror",
    "default/done|Succeeded||",
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Programs by name: what bash does for each. Their calls are in `calls`, one a line."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("WORLD", str(tmp_path))

    def make(**bodies):
        for name, body in bodies.items():
            program = programs / name
            program.write_text(f'#!/bin/bash\necho "{name} $*" >>"$WORLD/calls"\ncase "$*" in\n{body}\nesac\n')
            program.chmod(0o755)

    return make


def run(step, *changes, seconds=30, **variables):
    """What a script prints, with texts of it changed; how it ended is in the result."""
    known = {"NODE": "server-a-1", "LEAVING": "agent-a-1", **variables}
    script = session.text(step, known, SCRIPTS / "common.sh", SCRIPTS / f"{step}.sh")
    for old, new in changes:
        assert old in script
        script = script.replace(old, new)
    return subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, timeout=seconds, check=False)


def calls(tmp_path):
    return (tmp_path / "calls").read_text().splitlines()


def k3s(*, pods=PODS, drain="exit 0", ready="echo True", more=""):
    """A cluster without Longhorn, whose only pods are these on the Node that leaves."""
    lines = "\n".join(pods)
    return (
        f"{more}\n"
        f"*' get pods '*) cat <<'X'\n{lines}\nX\n;;\n"
        f"*'drain agent-a-1 '*) {drain} ;;\n"
        f"*' get node agent-a-1 '*jsonpath*) {ready} ;;\n"
        "*' get crd '*) ;;"
    )


@pytest.mark.parametrize("step", STEPS)
def test_bash_accepts_it(step):
    script = session.text(step, {"NODE": "a"}, SCRIPTS / "common.sh", SCRIPTS / f"{step}.sh")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=10)


def test_a_server_whose_k3s_does_not_run_is_not_waited_for(machine, tmp_path):
    machine(systemctl="*) exit 3 ;;", k3s="*) exit 1 ;;")
    assert run("look", READY_SECONDS="60").stdout == "silent k3s does not run on it\n"


def test_a_server_whose_api_does_not_answer_says_so_in_time(machine, tmp_path):
    machine(systemctl="*) ;;", k3s="*) exit 1 ;;")
    assert run("look", READY_SECONDS="1").stdout == "silent its API does not answer\n"


def test_a_server_tells_the_nodes_when_its_api_answers(machine, tmp_path):
    machine(systemctl="*) ;;", k3s="*readyz) echo ok ;; *' get nodes '*) echo 'node a|true|True|True' ;;")
    assert run("look", READY_SECONDS="1").stdout == "node a|true|True|True\nseen\n"


def test_a_node_takes_nothing_new_before_it_is_drained(machine, tmp_path):
    machine(k3s=k3s())
    done = run("drain", DRAIN_SECONDS="77")
    assert done.stdout == "drained\n", done.stderr
    told = calls(tmp_path)
    cordon, drain = (next(i for i, line in enumerate(told) if word in line) for word in (" cordon ", " drain "))
    assert cordon < drain
    assert " --ignore-daemonsets --delete-emptydir-data --timeout=7" in told[drain]
    assert "--force" not in told[drain]
    assert "--disable-eviction" not in told[drain]


def test_pods_that_nothing_would_make_again_are_named_before_anything_is_touched(machine, tmp_path):
    machine(k3s=k3s(pods=[*PODS, "default/bare|Running||", "jobs/other|Pending||"]))
    assert run("drain", DRAIN_SECONDS="60").stdout == "pods default/bare jobs/other\nbare\n"
    assert not any(" cordon " in line or " drain " in line for line in calls(tmp_path))


def test_a_drain_that_runs_out_of_time_tells_what_is_left_and_which_budgets_hold_it(machine, tmp_path):
    budgets = """
        *' get poddisruptionbudgets '*) cat <<'X'
default web 0 app=web,tier=front,
default elsewhere 0 app=else,
default whole 1 app=web,
other all 0
X
        ;;
        *' get pods --namespace default --selector app=web,tier=front --field-selector spec.nodeName=agent-a-1 '*) echo pod/web-1 ;;
        *' get pods --namespace default --selector app=else '*) ;;
        *' get pods --namespace other --selector  '*) echo pod/any ;;"""
    machine(k3s=k3s(drain="echo 'error: global timeout reached: 1s' >&2; exit 1", more=budgets))
    assert run("drain", DRAIN_SECONDS="1").stdout == (
        "pods default/web-1 default/done\nbudgets default/web other/all\nbecause error: global timeout reached: 1s\nstuck\n"
    )


def test_a_drain_is_broken_off_when_the_machine_has_died(machine, tmp_path):
    machine(k3s=k3s(drain='echo $$ >"$WORLD/pid"; exec sleep 600', ready="echo Unknown"))
    assert run("drain", ("look=$((SECONDS + 5))", "look=$SECONDS"), DRAIN_SECONDS="600").stdout == "dead\n"
    assert gone((tmp_path / "pid").read_text())


def test_no_answer_is_no_sign_of_death(machine, tmp_path):
    machine(k3s=k3s(drain="sleep 1", ready="exit 1"))
    assert run("drain", ("look=$((SECONDS + 5))", "look=$SECONDS"), DRAIN_SECONDS="600").stdout == "drained\n"


def test_longhorns_replicas_go_before_the_pods_and_a_question_without_an_answer_is_asked_again(machine, tmp_path):
    longhorn = """
        *' get crd '*) echo crd/nodes.longhorn.io ;;
        *' get nodes.longhorn.io '*) echo longhorn-system ;;
        *' get replicas.longhorn.io '*)
          n=$(grep -c replicas.longhorn.io "$WORLD/calls")
          case $n in 1) exit 1 ;; 2) echo 'pvc-1-r ' ;; esac ;;"""
    machine(k3s=k3s(more=longhorn))
    done = run("drain", ("    sleep 2\n", "    sleep 0.1\n"), DRAIN_SECONDS="60")
    assert done.stdout == "drained\n"
    told = calls(tmp_path)
    assert sum("replicas.longhorn.io" in line for line in told) == 3
    patch = next(i for i, line in enumerate(told) if " patch " in line)
    assert '{"spec":{"allowScheduling":false,"evictionRequested":true}}' in told[patch]
    assert patch < next(i for i, line in enumerate(told) if " drain " in line)


def test_replicas_that_do_not_go_in_time_are_named_and_nothing_is_drained(machine, tmp_path):
    longhorn = """
        *' get crd '*) echo crd/nodes.longhorn.io ;;
        *' get nodes.longhorn.io '*) echo longhorn-system ;;
        *' get replicas.longhorn.io '*) echo 'pvc-1-r pvc-2-r ' ;;"""
    machine(k3s=k3s(more=longhorn))
    done = run("drain", DRAIN_SECONDS="1")
    assert done.stdout == "replicas pvc-1-r pvc-2-r\nstuck\n"
    assert "Longhorn's replicas that are still on it: pvc-1-r pvc-2-r" in done.stderr
    assert not any(" drain " in line for line in calls(tmp_path))


def test_a_question_about_longhorn_without_an_answer_is_not_taken_for_a_no(machine, tmp_path):
    machine(k3s=k3s(more="*' get crd '*) exit 1 ;;"))
    assert run("drain", DRAIN_SECONDS="60").returncode == 1
    assert not any(" drain " in line for line in calls(tmp_path))


REMOVED = "*' get node '*) ;; *' get crd '*) ;; *' get nodes '*) echo 'node a|||' ;; *) ;;"


def test_the_node_goes_and_then_the_secret_that_would_keep_its_name(machine, tmp_path):
    machine(k3s=REMOVED)
    assert run("remove", DELETE_SECONDS="5", SERVER="").stdout == "node a|||\nremoved\n"
    told = calls(tmp_path)
    node = next(i for i, line in enumerate(told) if "delete node agent-a-1 " in line)
    secret = next(i for i, line in enumerate(told) if "delete secret agent-a-1.node-password.k3s" in line)
    assert node < secret
    assert "--namespace kube-system" in told[secret]


def test_a_node_that_does_not_go_keeps_its_secret_and_is_told_of(machine, tmp_path):
    machine(k3s=f"*' get node '*) echo node/agent-a-1 ;; {REMOVED}")
    assert run("remove", DELETE_SECONDS="1", SERVER="").stdout == "kept\n"
    assert not any("delete secret" in line for line in calls(tmp_path))


def test_no_answer_is_no_proof_that_a_node_has_gone(machine, tmp_path):
    machine(k3s=f"*' get node '*) exit 1 ;; {REMOVED}")
    assert run("remove", DELETE_SECONDS="1", SERVER="").stdout == "kept\n"


MEMBERS = (
    '{"header":{},"members":[{"ID":"11","name":"server-a-1-0a1b2c3d","clientURLs":["u"]},{"ID":"12","name":"%s"}]}'
)


@pytest.mark.parametrize("name", ["server-b-2", "server-b-2-0a1b2c3d"])
def test_a_member_of_etcd_that_never_got_a_node_is_removed_too(machine, tmp_path, name):
    """It would count in each later decision, and no other server could join beside it."""
    machine(k3s=REMOVED, curl=f"*/cluster/member/list) echo '{MEMBERS % name}' ;; *) ;;")
    done = run("remove", DELETE_SECONDS="5", SERVER="yes", LEAVING="server-b-2")
    assert done.stdout == "node a|||\nremoved\n"
    [removal] = [line for line in calls(tmp_path) if "member/remove" in line]
    assert '--data {"ID":"12"} https://127.0.0.1:2379/v3/cluster/member/remove' in removal


def test_where_etcd_has_no_such_member_none_is_removed_and_without_an_answer_it_is_not_taken_for_gone(
    machine, tmp_path
):
    machine(k3s=REMOVED, curl=f"*/cluster/member/list) echo '{MEMBERS % 'server-b-20'}' ;; *) ;;")
    assert run("remove", DELETE_SECONDS="5", SERVER="yes", LEAVING="server-b-2").stdout == "node a|||\nremoved\n"
    assert not any("member/remove" in line for line in calls(tmp_path))
    machine(curl="*) exit 7 ;;")
    assert run("remove", DELETE_SECONDS="5", SERVER="yes", LEAVING="server-b-2").stdout == "kept\n"


def test_a_node_that_is_not_ready_for_a_moment_is_drained_on_and_one_that_stays_so_is_dead(machine, tmp_path):
    machine(
        k3s=k3s(
            drain="sleep 2", ready='n=$(grep -c jsonpath "$WORLD/calls"); [ "$n" -gt 3 ] && echo True || echo False'
        )
    )
    often = ("look=$((SECONDS + 5))\n      ", "look=$SECONDS\n      ")
    first = (" look=$((SECONDS + 5)) seconds", " look=$SECONDS seconds")
    assert run("drain", often, first, DRAIN_SECONDS="600").stdout == "drained\n"
    machine(k3s=k3s(drain="sleep 5", ready="echo False"))
    assert run("drain", often, first, ("ILL_SECONDS=30", "ILL_SECONDS=1"), DRAIN_SECONDS="600").stdout == "dead\n"


def test_a_server_that_is_held_does_not_begin_again(machine, tmp_path):
    machine(systemctl="*) ;;")
    place = f"{tmp_path}/run/systemd/system"
    assert run("hold", ("/run/systemd/system", place), SERVICE="k3s").stdout == "held\n"
    assert (tmp_path / "run/systemd/system/k3s.service.d/90-leaving.conf").read_text() == "[Service]\nRestart=no\n"
    assert calls(tmp_path) == ["systemctl daemon-reload", "systemctl disable --quiet k3s"]


STOPPED = "is-active*|is-enabled*) exit 1 ;; *) ;;"


@pytest.fixture
def processes(tmp_path):
    """A /proc of our own: processes that run, in these cgroups."""
    made = []
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").touch()

    def make(cgroup):
        process = subprocess.Popen(["sleep", "600"])
        made.append(process)
        folder = tmp_path / "proc" / str(process.pid)
        # Of the real one, as far as it lives.
        folder.mkdir()
        (folder / "cgroup").write_text(cgroup)
        return process

    yield make
    for process in made:
        process.kill()
        process.wait()


def stop(tmp_path, *changes, mounts=""):
    # A process that is gone is gone from /proc.
    still = 'still() { for d in "$SYSTEM"/[0-9]*; do kill -0 "${d##*/}" 2>/dev/null || rm -r "$d"; done; }; '
    return run(
        "stop",
        ("SYSTEM=/proc\n", f"SYSTEM={tmp_path}/proc\n{still}\n"),
        ("  found=$(containers)\n", "  still\n  found=$(containers)\n"),
        *changes,
        SERVICE="k3s-agent",
        MOUNTS=mounts,
    )


@pytest.mark.parametrize(
    "cgroup",
    [
        "12:memory:/kubepods/burstable/podx/y\n1:name=systemd:/kubepods/burstable/podx/y\n",
        "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope\n",
        "0::/kubepods/besteffort/podx/y\n",
        "0::/system.slice/k3s-agent.service\n",
        "4:cpu:/system.slice/k3s.service/x\n",
    ],
)
def test_what_k3s_leaves_running_is_ended_and_nothing_else(machine, tmp_path, processes, cgroup):
    machine(systemctl=STOPPED)
    container, other = processes(cgroup), processes("0::/system.slice/docker-1.scope\n")
    ended = wait_in_background(container)
    done = stop(tmp_path)
    assert done.stdout == "stopped\n", done.stderr
    assert ended.join(10) is None
    assert container.poll() == -9
    assert other.poll() is None
    assert calls(tmp_path)[1:3] == ["systemctl disable --quiet k3s-agent", "systemctl stop k3s-agent"]


def wait_in_background(process):
    """Reaps it at once, as the machine's init does."""
    thread = threading.Thread(target=process.wait, daemon=True)
    thread.start()
    return thread


def test_a_machine_that_never_got_k3s_has_nothing_to_end(machine, tmp_path, processes):
    machine(systemctl="*) exit 1 ;;")
    assert stop(tmp_path).stdout == "stopped\n"
    assert calls(tmp_path) == ["systemctl cat k3s-agent"]


def test_a_service_that_does_not_end_is_an_error_with_a_way_out(machine, tmp_path, processes):
    machine(systemctl="*) ;;")
    done = stop(tmp_path, ("await 20 ", "await 1 "))
    assert done.returncode == 1
    assert "k3s-agent does not end" in done.stderr
    assert "power the machine off" in done.stderr


MOUNTED = "30 1 8:16 / /mnt/data rw - ext4 /dev/sdb rw\n31 1 8:16 /x /var/lib/kubelet/pods/p/v rw - ext4 /dev/sdb rw\n"


def test_a_volume_is_unmounted_wherever_it_is_mounted_the_last_place_first(machine, tmp_path, processes):
    info = tmp_path / "proc/self/mountinfo"
    info.write_text(MOUNTED)
    machine(
        systemctl=STOPPED,
        findmnt="*/mnt/data) echo 8:16 ;;",
        umount=f"""*) grep -vF " $* " {info} >{info}.new; mv {info}.new {info} ;;""",
    )
    done = stop(tmp_path, mounts="/mnt/data\n/mnt/none")
    assert done.stdout == "stopped\n", done.stderr
    assert [line for line in calls(tmp_path) if line.startswith("umount")] == [
        "umount /var/lib/kubelet/pods/p/v",
        "umount /mnt/data",
    ]


def test_a_volume_that_something_still_uses_is_named_with_how_to_see_what(machine, tmp_path, processes):
    """In a process of the machine's own, which sees it in a mount namespace of its own."""
    (tmp_path / "proc" / "1").mkdir()
    (tmp_path / "proc" / "1" / "mountinfo").write_text(MOUNTED)
    machine(systemctl=STOPPED, findmnt="*) echo 8:16 ;;", umount="*) ;;")
    done = stop(tmp_path, ('await 30 "$1', 'await 1 "$1'), ('rm -r "$d"', ":"), mounts="/mnt/data")
    assert done.returncode == 1
    assert "/mnt/data is still in use" in done.stderr
    assert "fuser --verbose --mount /mnt/data" in done.stderr


def gone(pid):
    """Whether a process ends, which it does at once."""
    for _ in range(100):
        if subprocess.run(["kill", "-0", pid.strip()], capture_output=True, check=False, timeout=5).returncode:
            return True
        time.sleep(0.05)
    return False
