"""What a host is made of, as lines that can be compared before and after something that must change nothing."""

from lab.lab import Lab

_K3S = "/var/lib/rancher/k3s/server"
_SYSCTLS = (
    "fs.inotify.max_user_instances fs.inotify.max_user_watches kernel.panic kernel.panic_on_oops "
    "net.bridge.bridge-nf-call-iptables net.ipv4.ip_forward vm.max_map_count vm.overcommit_memory vm.panic_on_oom"
)

FILES = rf"""
for place in /etc /usr/local /root/.ssh /var/lib/seedbed /var/lib/dpkg/status /var/lib/apt/lists \
  {_K3S}/tls {_K3S}/manifests {_K3S}/token {_K3S}/agent-token; do
  [ ! -e "$place" ] || find "$place" -printf 'file %p mode=%m owner=%u:%g changed=%T@ link=%l\n'
  [ ! -e "$place" ] || find "$place" -type f -exec sha256sum {{}} + | sed 's/^/content /'
done
"""

UNITS = r"""
systemctl list-units --all --plain --no-legend --type=service --type=socket --type=mount |
  awk '{print "unit", $1, $2, $3, $4}' | grep -vE '^unit (run-docker|run-k3s|var-lib-kubelet|session|user)'
for unit in k3s k3s-agent docker containerd ssh systemd-networkd; do
  systemctl show "$unit" --property=Id,MainPID,ActiveEnterTimestampMonotonic,NRestarts,UnitFileState |
    sed "s/^/$unit /"
done
"""

KERNEL = rf"""
for setting in {_SYSCTLS}; do echo "sysctl $(sysctl "$setting")"; done
for save in iptables-save ip6tables-save; do
  $save 2>/dev/null | sed -e '/^#/d' -e 's/\[[0-9]*:[0-9]*\]//' -e "s/^/$save /"
done
ip route | sed 's/^/route /'
"""


def snapshot(lab: Lab, host: str, *parts: str) -> set[str]:
    """The lines of these parts (all by default): files with their content and times, units, and the kernel's settings."""
    script = "".join(parts or (FILES, UNITS, KERNEL))
    return set(lab.ssh(host, "bash -s", stdin=script, timeout=60).stdout.splitlines())
