# Plants sealed-secrets and ArgoCD, once. ArgoCD then takes over the very manifests that it was planted with, so they are
# applied as its own field manager would, and never again: whoever applies over an ArgoCD that drives itself fights it.
# Then proves that the controller has the identity's keys and seals with the newest; that is all it does where a key is new.
main() {
  local piece pieces=() result="already planted"
  api
  for piece in sealed-secrets argocd; do
    if adopted "$piece"; then say "$piece is driven from git already"; else pieces+=("$piece"); fi
  done
  if [ ${#pieces[@]} -gt 0 ]; then
    plant "${pieces[@]}"
    result=planted
  fi
  seals_with_the_newest_key
  ended "$result"
}

# What ArgoCD has adopted carries its tracking id. Where the API does not answer, nobody knows, and nothing is applied.
adopted() {
  local deployment id
  case $1 in
  argocd) deployment=(--namespace argocd get deployment argocd-server) ;;
  sealed-secrets) deployment=(--namespace kube-system get deployment sealed-secrets-controller) ;;
  esac
  id=$(kubectl "${deployment[@]}" --ignore-not-found --output 'jsonpath={.metadata.annotations.argocd\.argoproj\.io/tracking-id}') ||
    unanswered "whether $1 is driven from git already"
  [ -n "$id" ]
}

unanswered() { fail "the API does not say $1" "mend what the line above names, then run \`pulumi up\` again"; }

plant() {
  local work piece count
  work=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder is known now
  trap "rm -rf '$work'" EXIT
  base64 -d <<<"$MANIFESTS" | tar xz -C "$work"
  for piece in "$@"; do
    fetch "$work" "$work/$piece"
    kubectl kustomize "$work/$piece" >"$work/$piece.yaml"
  done
  for piece in "$@"; do
    count=$(grep -c '^kind: ' "$work/$piece.yaml")
    [ "$piece" != argocd ] || redis_password
    say "applying $piece, $count objects"
    kubectl apply --server-side --force-conflicts --field-manager=argocd-controller --filename "$work/$piece.yaml" >/dev/null
  done
  kubectl wait --for=condition=Established --timeout=60s \
    crd/sealedsecrets.bitnami.com crd/applications.argoproj.io crd/applicationsets.argoproj.io crd/appprojects.argoproj.io >/dev/null
}

# ArgoCD's pods wait for it with the kubelet's patience, a quarter of a minute at a time. Its redis makes it where it is
# missing, which is after the others have looked.
redis_password() {
  [ -z "$(kubectl --namespace argocd get secret argocd-redis --ignore-not-found --output name)" ] || return 0
  head -c 24 /dev/urandom | base64 | tr -d '\n' |
    kubectl --namespace argocd create secret generic argocd-redis --from-file=auth=/dev/stdin >/dev/null
}

# Puts what the kustomization names by address beside it, after its digest has been compared.
fetch() {
  local work=$1 folder=$2 sha256 url name have
  while read -r sha256 url; do
    grep -qF "$url" "$folder/kustomization.yaml" || continue
    name=upstream-${sha256:0:12}.yaml
    say "downloading $url"
    curl --fail --silent --show-error --location --retry 5 --retry-all-errors --retry-delay 2 --connect-timeout 10 \
      --speed-limit 1024 --speed-time 60 --output "$folder/$name" "$url" ||
      fail "$url could not be downloaded" "check that the machine reaches it, or name a mirror in k8s/base"
    have=$(sha256sum "$folder/$name" | cut -d' ' -f1)
    [ "$have" = "$sha256" ] ||
      fail "$url has sha256 $have instead of $sha256" "do not go on: find out which of the two is wrong before anything is installed"
    sed -i "s|$url|$name|" "$folder/kustomization.yaml"
  done <"$work/upstream.sha256"
  if grep -E '^ *- *(https?|git|ssh)://|^ *- .*[?]ref=' "$folder/kustomization.yaml" >&2; then
    fail "the lines above have no digest in k8s/base/upstream.sha256" "add them there"
  fi
}

# Version 0.40 of the controller reads keys when it starts.
seals_with_the_newest_key() {
  ready
  if ! current; then
    say "restarting the controller, which has not read the newest key"
    kubectl --namespace kube-system delete pod --selector name=sealed-secrets-controller >/dev/null
    ready
    await 60 "the controller to seal with the newest key" current || refuse
  fi
  foreign
  say "the controller seals with the identity's newest key"
}

ready() {
  local reasons why
  say "waiting for the sealed-secrets controller"
  if ! await "$READY_SECONDS" "the sealed-secrets controller" available; then
    reasons=$(pods kube-system)
    while read -r line; do [ -z "$line" ] || say "$line"; done <<<"$reasons"
    mapfile -t why <<<"$(why_not_running "$reasons")"
    fail "the sealed-secrets controller is not available within $READY_SECONDS s: ${why[0]}" "${why[1]}, then run \`pulumi up\` again"
  fi
}

available() {
  [ "$(kubectl --namespace kube-system get deployment sealed-secrets-controller \
    --output 'jsonpath={.status.conditions[?(@.type=="Available")].status}')" = True ]
}

current() { [ "$(certificate)" = "$CERTIFICATE" ]; }

# The digest of its DER form, by the way that kubeseal asks for it.
certificate() {
  kubectl get --raw /api/v1/namespaces/kube-system/services/http:sealed-secrets-controller:/proxy/v1/cert.pem 2>/dev/null |
    sed '/^-----END/q' | grep -v '^-----' | base64 -d | sha256sum | cut -d' ' -f1 || true
}

# What is sealed with a key that the identity lacks is lost with the cluster.
foreign() {
  local name names
  names=$(kubectl --namespace kube-system get secrets --selector sealedsecrets.bitnami.com/sealed-secrets-key=active \
    --output 'jsonpath={.items[*].metadata.name}') || unanswered "which sealing keys the cluster has"
  for name in $names; do
    case " $KEYS " in *" $name "*) ;; *)
      fail "the sealing key $name of the cluster is not the identity's" \
        "move what is sealed with it to the identity's key (\`seedbed rotate sealing-key\` and docs/how-to/seal-secrets.md), then delete the Secret kube-system/$name" ;;
    esac
  done
}

refuse() {
  foreign
  fail "the controller does not seal with the identity's newest key" "read \`kubectl -n kube-system logs deployment/sealed-secrets-controller\`"
}
