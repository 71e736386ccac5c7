# The distribution's Docker engine, beside the containerd that k3s brings: builds and side services, not the cluster's.
pave() {
  # dockerd sets the FORWARD policy to DROP only where it had to switch forwarding on itself; the base step did that
  # before. Source: https://docs.docker.com/engine/network/packet-filtering-firewalls/
  [ "$(sysctl -n net.ipv4.ip_forward)" = 1 ] || fail "forwarding is off" "the base step sets it: run \`pulumi up\` again"
  # Before the package, so that the first start already has it.
  local changed=0
  printf '%s\n' "$DAEMON_JSON" | put /etc/docker/daemon.json && changed=1
  install_packages docker.io
  note package containerd
  note package runc
  note machine forward-policy
  UNIT=docker
  if [ $changed = 1 ] && systemctl is-active --quiet docker; then
    [ "$(docker info --format '{{.LoggingDriver}}' 2>/dev/null)" = local ] || systemctl restart docker
  fi
  enable docker.service
  timeout 120 systemctl start docker
}

prove() {
  UNIT=docker
  await 60 "the Docker engine" docker_answers || fail "the Docker engine does not answer" "read \`systemctl status docker\` on the machine"
  if grep -qx -- '-P FORWARD DROP' <<<"$(iptables -S FORWARD)"; then
    fail "the FORWARD policy is DROP, which cuts the cluster's pods off" "run \`iptables -P FORWARD ACCEPT\` and find out who set it"
  fi
}

docker_answers() { timeout 10 docker info >/dev/null 2>&1; }
