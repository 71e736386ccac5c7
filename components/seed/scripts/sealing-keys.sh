# Proves that the controller has the identity's keys and seals with the newest. Version 0.40 reads keys when it starts.
main() {
  api
  ready
  if ! current; then
    say "restarting the controller, which has not read the newest key"
    kubectl --namespace kube-system delete pod --selector name=sealed-secrets-controller >/dev/null
    ready
    await 60 "the controller to seal with the newest key" current || refuse
  fi
  foreign
  ended "the controller seals with the identity's newest key"
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

# Its base64 without line ends, by the way that kubeseal asks for it.
certificate() {
  kubectl get --raw /api/v1/namespaces/kube-system/services/http:sealed-secrets-controller:/proxy/v1/cert.pem 2>/dev/null |
    sed '/^-----END/q' | grep -v '^-----' | tr -d '[:space:]' || true
}

# What is sealed with a key that the identity lacks is lost with the cluster.
foreign() {
  local name
  for name in $(kubectl --namespace kube-system get secrets --selector sealedsecrets.bitnami.com/sealed-secrets-key=active \
    --output 'jsonpath={.items[*].metadata.name}'); do
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
