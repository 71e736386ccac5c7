# k3s from a pinned binary, its configuration in files, its secrets from standard input.
DIR=/var/lib/rancher/k3s
CONFIG_DIR=/etc/rancher/k3s
# Where the API is reached, if that is known by the time the step runs only: the address of a load balancer.
ENDPOINT=
# Which of PEERS and ENDPOINT is joined.
JOINED=
BINARY=/usr/local/bin/k3s

pave() {
  # Read at once: the secrets must not wait in a pipe while downloads run.
  local secrets
  secrets=$(cat)
  [ -n "$secrets" ] || fail "no secrets arrived on standard input" "run \`pulumi up\` again"
  if [[ $secrets == endpoint\ * ]]; then
    ENDPOINT=${secrets%%$'\n'*} ENDPOINT=${ENDPOINT#* } secrets=${secrets#*$'\n'}
  fi
  binary
  if [ "$MODE" = init ]; then refuse_second_cluster; else find_cluster; fi
  refuse_foreign_ca
  install_secrets <<<"$secrets"
  secrets=
  configure
  start
}

binary() {
  local arch want url
  case $(uname -m) in x86_64) arch=amd64 want=$SHA256_AMD64 url=k3s ;; *) arch=arm64 want=$SHA256_ARM64 url=k3s-arm64 ;; esac
  [ -n "$want" ] || fail "k3s $VERSION has no digest for $arch" "add it to components/versions.py or to k3s.sha256 in the stack's settings"
  note file "$BINARY" "$want 755 root"
  note machine k3s
  [ "$(digest "$BINARY")" != "$want" ] || return 0
  url=$RELEASE_URL/$VERSION_PATH/$url
  say "downloading k3s $VERSION for $arch"
  curl --fail --silent --show-error --location --retry 5 --retry-all-errors --retry-delay 2 --connect-timeout 10 \
    --speed-limit 1024 --speed-time 60 --output "$BINARY.new" "$url" ||
    fail "$url could not be downloaded" "check that the machine reaches it, or set k3s.releaseUrl to a mirror"
  local have
  have=$(digest "$BINARY.new")
  if [ "$have" != "$want" ]; then
    rm -f "$BINARY.new"
    fail "$url has sha256 $have instead of $want" "do not go on: find out which of the two is wrong before anything is installed"
  fi
  chmod 0755 "$BINARY.new"
  mv "$BINARY.new" "$BINARY"
}

digest() { [ ! -e "$1" ] || sha256sum "$1" | cut -d' ' -f1; }

# Initialising is an event of the cluster's life, not a property of a machine: when another server of this identity
# already answers, initialising once more would make a second cluster.
refuse_second_cluster() {
  [ ! -d $DIR/server/db ] || return 0
  local try
  # A load balancer may have no server that it believes to be well for a moment.
  for try in 1 2 3; do
    ! cluster_answers || fail "a cluster of this identity already answers at $JOINED" \
      "set seedbed:cluster.init back to the server that made it: $NODE is to join it"
    [ -z "$PEERS$ENDPOINT" ] || sleep 1
  done
}

# k3s itself would wait for it without an end, and without a word of what is missing.
find_cluster() {
  local remedy="start a server of it, or see what keeps this machine from port 6443 there"
  [ "$ROLE" != server ] ||
    remedy+="; only if all of them are lost and it shall be made anew: set seedbed:cluster.init to $NODE"
  await "$START_SECONDS" "the cluster to answer at ${PEERS:-$ENDPOINT}" cluster_answers ||
    fail "no cluster of this identity answers at ${PEERS:-$ENDPOINT}, within $START_SECONDS s" "$remedy"
  say "joining the cluster at $JOINED"
}

cluster_answers() {
  local address found foreign=
  for address in $PEERS $ENDPOINT; do
    found=$(ca_at "$address")
    if [ "$found" = "$CA_SHA256" ]; then
      JOINED=$address
      return 0
    fi
    [ -z "$found" ] || foreign=$address
  done
  [ -z "$foreign" ] || fail "a cluster with another CA answers at $foreign" \
    "that one is not this stack's: correct the addresses in the stack's settings, or take that cluster away"
  return 1
}

# ca_at ADDRESS: the digest of the CA of the cluster that answers there; nothing where none does.
ca_at() {
  local answer
  # The dot keeps the line's end, which belongs to the file.
  answer=$(curl --silent --insecure --fail --max-time 3 "https://$1:6443/cacerts" && echo .) || return 0
  # A balancer without a server may have a page of its own.
  [[ $answer != *"BEGIN CERTIFICATE"* ]] || printf %s "${answer%.*}" | sha256sum | cut -d' ' -f1
}

refuse_foreign_ca() {
  local ca=$DIR/server/tls/server-ca.crt
  [ "$ROLE" = server ] && [ -e $ca ] || return 0
  [ "$(digest $ca)" = "$CA_SHA256" ] || fail "k3s on this machine has another cluster's CA" "replace the machine: it was a member of another cluster"
}

# Each file is a line MODE LINES PATH and as many lines of text. k3s makes what is missing of its own accord and refuses
# what was changed later, so a file that is there stays.
install_secrets() {
  local mode count path lines
  while read -r mode count path; do
    mapfile -n "$count" lines
    note file "$path"
    [ -e "$path" ] || printf %s "${lines[@]}" | put "$path" "$mode"
  done
  [ ! -d $DIR/server/tls ] || chmod 0700 $DIR/server $DIR/server/tls
}

configure() {
  local interface address
  read -r interface address < <(ip -o -4 address show to "$NODE_ADDRESS" | awk '{print $2, $4; exit}') ||
    fail "this machine has no address in $NODE_ADDRESS" "correct the machine's address in the stack's settings"
  address=${address%/*}
  {
    printf '%s\nnode-ip: %s\nflannel-iface: %s\n' "$CONFIG" "$address" "$interface"
    [ "$ROLE" != server ] || printf 'advertise-address: %s\n' "$address"
    [ "$MODE" = init ] || printf 'server: https://%s:6443\n' "$JOINED"
  } | put $CONFIG_DIR/config.yaml 0600 || true
  if [ "$ROLE" = server ] && [ -n "$ENDPOINT" ]; then
    printf 'tls-san+:\n  - %s\n' "$ENDPOINT" | put $CONFIG_DIR/config.yaml.d/80-endpoint.yaml 0600 || true
  fi
  [ "$ROLE" != server ] || admin_binding | put $DIR/server/manifests/seedbed-admins.yaml 0600 || true
  note folder $CONFIG_DIR
  note folder $CONFIG_DIR/config.yaml.d
  if unit_file | put "/etc/systemd/system/$SERVICE.service"; then systemctl daemon-reload; fi
}

admin_binding() {
  cat <<X
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: "$ADMIN_GROUP"
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: cluster-admin
subjects:
  - apiGroup: rbac.authorization.k8s.io
    kind: Group
    name: "$ADMIN_GROUP"
X
}

# With the settings of the one that k3s' installer writes.
# Source: https://github.com/k3s-io/k3s/blob/master/install.sh (create_systemd_service_file)
unit_file() {
  cat <<X
[Unit]
Description=Lightweight Kubernetes ($ROLE)
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target

[Service]
Type=notify
KillMode=process
Delegate=yes
User=root
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=$BINARY $ROLE
X
}

start() {
  UNIT=$SERVICE
  say "starting $SERVICE as $ROLE"
  enable "$SERVICE.service"
  # `systemctl start` of k3s has no limit of its own. It says why it does not come up in its journal.
  timeout "$START_SECONDS" systemctl start "$SERVICE" || not_started
}

# What etcd says where a member is dead or cut off. Source: etcd v3.6.5, server/etcdserver/server.go (mayAddMember)
not_started() {
  # Read whole: grep would end before it, and end it with that.
  if grep -qF "etcdserver: unhealthy cluster" <<<"$(journalctl --unit "$SERVICE" --boot --no-pager --lines 100 --output cat)"; then
    journal
    UNIT=
    # It would go on trying, and join when nobody looks any more.
    systemctl disable --quiet --now "$SERVICE" || true
    fail "the cluster takes no new server while one that it has is dead" \
      "start that one again, or remove it first: take it out of the settings, set its full name on seedbed:retire, and run \`pulumi up\`; then add the new one"
  fi
  fail "$SERVICE did not start within $START_SECONDS s" "the lines above say why; mend it and run \`pulumi up\` again"
}

prove() {
  UNIT=$SERVICE
  grep -qF "k3s version $VERSION " <<<"$("$BINARY" --version)" || fail "$BINARY is not $VERSION" "replace the machine"
  systemctl is-active --quiet "$SERVICE" || fail "$SERVICE does not run" "read its journal above; start it or replace the machine"
  if [ "$ROLE" = server ]; then
    [ "$(digest $DIR/server/tls/server-ca.crt)" = "$CA_SHA256" ] || fail "k3s does not use the identity's CA" "replace the machine"
    await "$START_SECONDS" "the API server" api_ready || fail "the API server is not ready" "read the journal above"
  fi
  await "$START_SECONDS" "the node to be Ready" node_ready ||
    fail "the node is not Ready as a $ROLE with $VERSION: $(node_state)" "read the journal above"
}

kubectl() {
  # An agent holds no other credentials than its own kubelet's, which may read its own node.
  local config=$DIR/agent/kubelet.kubeconfig
  [ "$ROLE" != server ] || config=/etc/rancher/k3s/k3s.yaml
  timeout 10 "$BINARY" kubectl --kubeconfig "$config" "$@" 2>/dev/null
}

api_ready() { [ "$(kubectl get --raw /readyz)" = ok ]; }

node_state() {
  kubectl get node "$NODE" --output jsonpath='Ready={.status.conditions[?(@.type=="Ready")].status} version={.status.nodeInfo.kubeletVersion} control-plane={.metadata.labels.node-role\.kubernetes\.io/control-plane} voter={.status.conditions[?(@.type=="EtcdIsVoter")].status}' || echo "no such node"
}

# A server that only learns yet does not vote in etcd: the next one must not join before it does.
# Source of the condition: https://github.com/k3s-io/k3s/blob/v1.34.2+k3s1/pkg/etcd/etcd.go (etcdStatusType)
node_ready() {
  local role='' voter=''
  [ "$ROLE" != server ] || role=true voter=True
  [ "$(node_state)" = "Ready=True version=$VERSION control-plane=$role voter=$voter" ]
}
