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
  # Or a machine of this name could never come back.
  # Source: https://docs.k3s.io/architecture#how-agent-node-registration-works
  # etcd may be choosing another leader, for some seconds.
  await 30 "the API" quiet --namespace kube-system delete secret "$LEAVING.node-password.k3s" --ignore-not-found
  [ -z "$namespace" ] || await 30 "Longhorn to forget it" forgotten "$namespace" ||
    say "Longhorn still has a node of this name, which it lets go when it has no replica there any more"
  nodes || :
  echo removed
}

forgotten() {
  gone nodes.longhorn.io "$LEAVING" --namespace "$1" ||
    { quiet delete nodes.longhorn.io "$LEAVING" --namespace "$1" --wait=false 2>/dev/null && false; }
}
