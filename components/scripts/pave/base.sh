# The operating system as k3s, and later Longhorn, needs it.
pave() {
  note machine hostname
  [ "$(hostname)" = "$NODE" ] || hostnamectl set-hostname "$NODE"
  grep -qE "^127\.0\.1\.1[[:space:]]+$NODE\$" /etc/hosts || printf '127.0.1.1 %s\n' "$NODE" >>/etc/hosts

  hold_upgrades
  no_kerberos_for_nfs
  # shellcheck disable=SC2086  # the packages are words
  install_packages $PACKAGES
  kernel
  swap
  ssh_keys_only
  services
  metadata
}

# A machine is replaced, not upgraded in place behind the operator's back.
hold_upgrades() {
  put /etc/apt/apt.conf.d/99seedbed-held <<'X' || true
APT::Periodic::Enable "0";
APT::Periodic::Unattended-Upgrade "0";
X
  never apt-daily.timer apt-daily-upgrade.timer
}

# Stopped before it is masked: a unit that loses its file while it runs counts as failed.
never() {
  local unit
  for unit in "$@"; do note unit "$unit"; done
  systemctl stop --quiet "$@"
  systemctl mask --quiet "$@"
}

# The NFS client mounts this file system for Kerberos only. Where the kernel has none, as in a container, the mount would
# count as failed from the package's installation on.
no_kerberos_for_nfs() {
  modprobe --quiet sunrpc 2>/dev/null || true
  grep -qw rpc_pipefs /proc/filesystems || systemctl mask --quiet run-rpc_pipefs.mount 2>/dev/null
}

kernel() {
  printf '%s\n' $MODULES $OPTIONAL_MODULES | put /etc/modules-load.d/90-seedbed.conf || true
  local module setting
  for module in $MODULES $OPTIONAL_MODULES; do
    # Built into the kernel, or not to be had: what is needed is proven by its effect.
    modprobe --quiet "$module" 2>/dev/null || true
  done
  lasting_sysctls | put /etc/sysctl.d/90-seedbed.conf || true
  # One that cannot be set here may already be right: `prove` looks at the values.
  sysctl --quiet --load=/etc/sysctl.d/90-seedbed.conf 2>/dev/null || true
  for setting in $SYSCTLS; do
    case $setting in *'>='*) note floor "${setting%%>*}" "${setting##*=}" ;; *) note sysctl "${setting%%=*}" "${setting##*=}" ;; esac
  done
}

# All of them, though they may hold now: they must hold after a boot too. Only a floor that is exceeded is left alone,
# because writing it would lower it.
lasting_sysctls() {
  local setting name value
  for setting in $SYSCTLS; do
    name=${setting%%[>=]*} value=${setting##*=}
    case $setting in *'>='*) [ "$(sysctl -n "$name" 2>/dev/null || echo 0)" -le "$value" ] || continue ;; esac
    printf '%s = %s\n' "$name" "$value"
  done
}

swap() {
  # The swap that a container sees is its host's and none of its business.
  if in_container; then return; fi
  note machine swap
  swapoff --all
  if grep -qE '^[^#].*[[:space:]]swap[[:space:]]' /etc/fstab; then
    sed -i.before-seedbed -E '/^[^#].*[[:space:]]swap[[:space:]]/s/^/# seedbed: /' /etc/fstab
  fi
}

ssh_keys_only() {
  local user
  note machine logins
  # Nothing is written to them here, but who may log in is part of what a machine is.
  for user in root ${SUDO_USER:-}; do note file "$(getent passwd "$user" | cut -d: -f6)/.ssh/authorized_keys"; done
  # The first value wins, so this comes before what cloud-init writes at 50.
  put /etc/ssh/sshd_config.d/10-seedbed.conf 0600 <<'X' || return 0
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
PermitRootLogin prohibit-password
X
  sshd -t || fail "sshd does not accept its configuration" "read \`sshd -t\` on the machine"
  # Where a socket starts it, it may not be running.
  systemctl try-reload-or-restart ssh
}

services() {
  # The NFS client brings rpcbind, which NFS 4 does not need and which would listen to the world.
  never rpcbind.socket rpcbind.service
  enable iscsid.service systemd-timesyncd.service
  # No iSCSI and no clock of its own in a container.
  if ! in_container; then systemctl start iscsid.service systemd-timesyncd.service; fi
}

# A cloud's metadata service tells everybody on the machine the private host key. Pods have no business with it; what the
# machine itself asks, and pods in its network, do not pass here. No table of kube-proxy's or flannel's comes before this one.
metadata() {
  note dropped "$METADATA" yes
  put /etc/systemd/system/seedbed-metadata.service <<X || true
[Unit]
Description=Keep pods from the cloud's metadata service
Before=docker.service k3s.service k3s-agent.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'iptables -w -t raw -C PREROUTING -d $METADATA -j DROP 2>/dev/null || iptables -w -t raw -I PREROUTING -d $METADATA -j DROP'

[Install]
WantedBy=multi-user.target
X
  systemctl daemon-reload
  enable --now seedbed-metadata.service
}

# holds SETTING: NAME=VALUE must be so; NAME>=VALUE is a floor, which the machine may already exceed.
holds() {
  local have
  have=$(sysctl -n "${1%%[>=]*}" 2>/dev/null) || return 1
  case $1 in *'>='*) [ "$have" -ge "${1##*=}" ] ;; *) [ "$have" = "${1##*=}" ] ;; esac
}

prove() {
  local problems=() setting
  [ "$(hostname)" = "$NODE" ] || problems+=("its hostname is $(hostname)")
  for setting in $SYSCTLS; do
    holds "$setting" || problems+=("sysctl ${setting%%[>=]*} is $(sysctl -n "${setting%%[>=]*}" 2>&1) where $setting is needed")
  done
  grep -qw overlay /proc/filesystems || problems+=("the kernel has no overlay file system")
  in_container || [ "$(wc -l </proc/swaps)" -le 1 ] || problems+=("swap is still on")
  grep -qx 'passwordauthentication no' <<<"$(sshd -T)" || problems+=("sshd still takes passwords")
  systemctl is-enabled --quiet apt-daily-upgrade.timer 2>/dev/null && problems+=("unattended upgrades are not held")
  iptables -w -t raw -C PREROUTING -d "$METADATA" -j DROP 2>/dev/null || problems+=("pods reach the metadata service")
  in_container || systemctl is-active --quiet systemd-timesyncd.service || problems+=("the clock is not synchronised")
  if [ ${#problems[@]} -gt 0 ]; then
    fail "$(printf '%s; ' "${problems[@]}")" "mend it on the machine or replace the machine, then run \`pulumi up\` again"
  fi
}
