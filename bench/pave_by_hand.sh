#!/bin/bash
# A cluster of one server and one agent by hand: what an experienced administrator would write to install by SSH what
# seedbed installs (components/scripts/pave), without its checks. bench/pave.py measures `pulumi up` against it.
#
#   pave_by_hand.sh SSH_CONFIG SERVER AGENT      the two names as SSH_CONFIG knows them, which become the nodes' names
#
# In the environment: SERVER_ADDRESS, AGENT_ADDRESS, K3S_URL (of the binary), K3S_SHA256, TOKEN, AGENT_TOKEN.
set -euo pipefail
config=$1 server=$2 agent=$3
on() { ssh -F "$config" "$@"; }
done_with() { echo "done: $* after $SECONDS s"; }

base_and_docker() {
  on "$1" bash -s <<'X'
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
cloud-init status --wait >/dev/null || [ $? = 2 ]
systemctl stop --quiet apt-daily.timer apt-daily-upgrade.timer
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer
printf 'APT::Periodic::Enable "0";\nAPT::Periodic::Unattended-Upgrade "0";\n' >/etc/apt/apt.conf.d/99held
apt-get -qq update
mkdir -p /etc/docker
echo '{"live-restore": true, "log-driver": "local"}' >/etc/docker/daemon.json
apt-get -qq install -y --no-install-recommends ca-certificates cryptsetup curl iproute2 iptables nfs-common open-iscsi \
  systemd-timesyncd docker.io </dev/null >/dev/null 2>&1
printf '%s\n' br_netfilter overlay dm_crypt iscsi_tcp >/etc/modules-load.d/90-k3s.conf
systemctl restart systemd-modules-load 2>/dev/null || true
cat >/etc/sysctl.d/90-k3s.conf <<Y
vm.overcommit_memory = 1
vm.panic_on_oom = 0
kernel.panic = 10
kernel.panic_on_oops = 1
fs.inotify.max_user_instances = 8192
fs.inotify.max_user_watches = 524288
vm.max_map_count = 262144
net.ipv4.ip_forward = 1
net.bridge.bridge-nf-call-iptables = 1
Y
sysctl --quiet --system >/dev/null 2>&1 || true
printf 'PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n' \
  >/etc/ssh/sshd_config.d/10-keys.conf
systemctl reload ssh
systemctl stop --quiet rpcbind.socket rpcbind.service
systemctl mask --quiet rpcbind.socket rpcbind.service
systemctl enable --quiet iscsid.service systemd-timesyncd.service
systemctl enable --quiet --now docker
docker info >/dev/null
X
  done_with "$1-base-and-docker"
}

# k3s HOST ROLE SERVICE CONFIG: installs the binary, starts the service, waits until the node is Ready.
k3s() {
  # The tokens travel on standard input, with the rest of the configuration.
  {
    printf 'url=%q sha=%q node=%q role=%q service=%q config=%q\n' "$K3S_URL" "$K3S_SHA256" "$1" "$2" "$3" "$4"
    cat <<'X'
set -euo pipefail
curl -fsSL -o /usr/local/bin/k3s "$url"
echo "$sha  /usr/local/bin/k3s" | sha256sum --quiet -c -
chmod 0755 /usr/local/bin/k3s
mkdir -p /etc/rancher/k3s
install -m 0600 /dev/null /etc/rancher/k3s/config.yaml
printf '%s\n' "$config" >/etc/rancher/k3s/config.yaml
cat >/etc/systemd/system/$service.service <<Y
[Unit]
Description=Lightweight Kubernetes ($role)
Wants=network-online.target
After=network-online.target
[Install]
WantedBy=multi-user.target
[Service]
Type=notify
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/k3s $role
Y
systemctl daemon-reload
systemctl enable --quiet --now "$service"
kubeconfig=/etc/rancher/k3s/k3s.yaml
[ "$role" = server ] || kubeconfig=/var/lib/rancher/k3s/agent/kubelet.kubeconfig
ready='{.status.conditions[?(@.type=="Ready")].status}'
until [ "$(k3s kubectl --kubeconfig $kubeconfig get node "$node" -o jsonpath="$ready" 2>/dev/null)" = True ]; do
  sleep 0.5
done
X
  } | on "$1" bash -s
  done_with "$1-k3s"
}

base_and_docker "$agent" &
preparing=$!
base_and_docker "$server"
k3s "$server" server k3s "node-name: $server
node-ip: $SERVER_ADDRESS
advertise-address: $SERVER_ADDRESS
cluster-init: true
cluster-cidr: 10.42.0.0/16
service-cidr: 10.43.0.0/16
cluster-dns: 10.43.0.10
secrets-encryption: true
tls-san: [$SERVER_ADDRESS]
write-kubeconfig-mode: \"0600\"
disable: [local-storage, metrics-server, servicelb, traefik]
token: $TOKEN
agent-token: $AGENT_TOKEN"
wait $preparing
k3s "$agent" agent k3s-agent "node-name: $agent
node-ip: $AGENT_ADDRESS
server: https://$SERVER_ADDRESS:6443
token: $AGENT_TOKEN"
