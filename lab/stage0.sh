#!/bin/sh
# The parent of a host's PID 1: joins the host's cgroups and network namespace, makes its other namespaces.
# Usage: stage0.sh NETNS STAGE1 CGROUP_PROCS...
set -eu
netns=$1 stage1=$2
shift 2
# In every hierarchy, and before the cgroup namespace is made: its root is where this process is by then.
for file in "$@"; do echo $$ >"$file"; done
# The host ends with its supervisor, as a virtual machine ends with its emulator.
exec setpriv --pdeathsig KILL \
    nsenter --net="/run/netns/$netns" \
    unshare --mount --uts --ipc --pid --cgroup --fork --kill-child --propagation private \
    "$stage1"
