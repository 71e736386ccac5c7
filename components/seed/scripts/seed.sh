# Plants sealed-secrets and ArgoCD, once. ArgoCD then takes over the very manifests that it was planted with, so they are
# applied as its own field manager would, and never again: whoever applies over an ArgoCD that drives itself fights it.
main() {
  local piece pieces=()
  api
  for piece in sealed-secrets argocd; do
    if adopted "$piece"; then say "$piece is driven from git already"; else pieces+=("$piece"); fi
  done
  if [ ${#pieces[@]} = 0 ]; then
    ended "already planted"
  else
    plant "${pieces[@]}"
    ended planted
  fi
}

# What ArgoCD has adopted carries its tracking id.
adopted() {
  local deployment
  case $1 in
  argocd) deployment=(--namespace argocd get deployment argocd-server) ;;
  sealed-secrets) deployment=(--namespace kube-system get deployment sealed-secrets-controller) ;;
  esac
  [ -n "$(kubectl "${deployment[@]}" --ignore-not-found --output 'jsonpath={.metadata.annotations.argocd\.argoproj\.io/tracking-id}')" ]
}

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
