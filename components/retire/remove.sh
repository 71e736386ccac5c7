# On a server that stays: the Node goes, and with it the member of etcd, which k3s removes before it lets the object go.
# Source: https://github.com/k3s-io/k3s/blob/v1.34.2+k3s1/pkg/etcd/member_controller.go and its finalizer
main() {
  local namespace
  namespace=$(longhorn)
  quiet delete node "$LEAVING" --ignore-not-found --wait=false
  await "$DELETE_SECONDS" "its Node to go" gone node "$LEAVING" || {
    echo kept
    return 0
  }
  [ -z "$SERVER" ] || forget_member || {
    echo kept
    return 0
  }
  # Or a machine of this name could never come back.
  # Source: https://docs.k3s.io/architecture#how-agent-node-registration-works
  # etcd may be choosing another leader, for some seconds.
  await 30 "the API" quiet --namespace kube-system delete secret "$LEAVING.node-password.k3s" --ignore-not-found
  [ -z "$namespace" ] || await 30 "Longhorn to forget it" forgotten "$namespace" ||
    say "Longhorn still has a node of this name, which it lets go when it has no replica there any more"
  nodes || :
  echo removed
}

# k3s removes a member with its Node only; one that never got a Node would count in every later decision.
# Source of the calls: etcd's gRPC gateway, api/etcdserverpb/rpc.proto; of the name:
# https://github.com/k3s-io/k3s/blob/v1.34.2+k3s1/pkg/etcd/etcd.go (the node's, a hyphen, eight hexadecimal digits)
forget_member() {
  local id ids
  ids=$(members) || return 1
  for id in $ids; do
    say "its member of etcd has no Node: removing it"
    etcd cluster/member/remove "{\"ID\":\"$id\"}" >/dev/null || return 1
  done
}

# The ids of the leaving machine's members, of which one that is being removed may be left for a moment.
members() {
  local told
  told=$(etcd cluster/member/list '{}') || return 1
  tr '{' '\n' <<<"$told" | grep -E "\"name\":\"$LEAVING(-[0-9a-f]{8})?\"" | sed -E 's/.*"ID":"([0-9]+)".*/\1/' || :
}

etcd() {
  local tls=/var/lib/rancher/k3s/server/tls/etcd
  curl --silent --show-error --fail --max-time 20 --cacert "$tls/server-ca.crt" --cert "$tls/client.crt" --key "$tls/client.key" \
    --data "$2" "https://127.0.0.1:2379/v3/$1"
}

forgotten() {
  gone nodes.longhorn.io "$LEAVING" --namespace "$1" ||
    { quiet delete nodes.longhorn.io "$LEAVING" --namespace "$1" --wait=false 2>/dev/null && false; }
}
