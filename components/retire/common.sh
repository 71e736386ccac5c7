# What the scripts of leaving share. LEAVING is the name of the machine's Node; results go to standard output, one a line.

# Some systems' sudo leaves it out.
PATH=$PATH:/usr/local/bin

trap 'fail "not done in time" "run \`pulumi up\` again: it goes on from there"' TERM

kubectl() { timeout "${BOUND:-30}" k3s kubectl --request-timeout=20s "$@"; }

api_ready() { [ "$(BOUND=10 kubectl get --raw /readyz 2>/dev/null)" = ok ]; }

# Each Node as `node NAME|CONTROL PLANE|READY|VOTES`.
# Source of the condition: https://github.com/k3s-io/k3s/blob/v1.34.2+k3s1/pkg/etcd/etcd.go (etcdStatusType)
nodes() {
  kubectl get nodes --output jsonpath='{range .items[*]}node {.metadata.name}|{.metadata.labels.node-role\.kubernetes\.io/control-plane}|{.status.conditions[?(@.type=="Ready")].status}|{.status.conditions[?(@.type=="EtcdIsVoter")].status}{"\n"}{end}'
}

quiet() { kubectl "$@" >/dev/null; }

# gone KIND NAME [OPTION…]: no answer is no proof.
gone() {
  local found
  found=$(kubectl get "$@" --ignore-not-found --output name 2>/dev/null) && [ -z "$found" ]
}

# The namespace of Longhorn's own object of this Node; nothing where there is none.
longhorn() {
  local kind
  kind=$(kubectl get crd nodes.longhorn.io --ignore-not-found --output name) || return 1
  [ -n "$kind" ] || return 0
  kubectl get nodes.longhorn.io --all-namespaces --output jsonpath='{range .items[?(@.metadata.name=="'"$LEAVING"'")]}{.metadata.namespace}{end}'
}
