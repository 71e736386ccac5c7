# On a server that stays: nothing new comes to the Node, and what is on it goes elsewhere, as its disruption budgets allow.
# It may be broken off anywhere and run again. The last line tells how it ended: drained, dead, bare or stuck.
LOG=
ILL=
ILL_SECONDS=30
DEADLINE=$((SECONDS + DRAIN_SECONDS))
END=

main() {
  local bare namespace
  # kubectl would find them too, when much else is gone already.
  bare=$(pods | awk -F'|' '$2 != "Succeeded" && $2 != "Failed" && $3 == "" { print $1 }' | paste -sd' ')
  if [ -n "$bare" ]; then
    printf 'pods %s\nbare\n' "$bare"
    return
  fi
  quiet cordon "$LEAVING"
  namespace=$(longhorn)
  [ -z "$namespace" ] || evict_replicas "$namespace"
  [ -n "$END" ] || drain
  echo "$END"
}

# What has to go, as NAMESPACE/NAME|PHASE|CONTROLLER: all but what a DaemonSet or a file of the machine itself keeps there.
pods() {
  kubectl get pods --all-namespaces --field-selector "spec.nodeName=$LEAVING" --output jsonpath='{range .items[*]}{.metadata.namespace}/{.metadata.name}|{.status.phase}|{.metadata.ownerReferences[?(@.controller==true)].kind}|{.metadata.annotations.kubernetes\.io/config\.mirror}{"\n"}{end}' |
    awk -F'|' '$3 != "DaemonSet" && $4 == ""'
}

left() { pods | cut -d'|' -f1 | paste -sd' '; }

# Whether the cluster has noticed that the machine is dead. No answer is no notice, and what the machine itself tells, that it is
# not Ready, may be so for a moment only.
dead() {
  case $(kubectl get node "$LEAVING" --output jsonpath='{.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null || :) in
    Unknown) END=dead ;;
    False)
      ILL=${ILL:-$SECONDS}
      [ $((SECONDS - ILL)) -ge "$ILL_SECONDS" ] || return 1
      END=dead
      ;;
    *)
      ILL=
      return 1
      ;;
  esac
}

# Before the drain: Longhorn's own budgets keep its processes on the node for as long as a volume needs them.
# Source: https://longhorn.io/docs/1.12.0/nodes-and-volumes/nodes/graceful-node-removal/
evict_replicas() {
  local replicas next=$SECONDS
  quiet patch nodes.longhorn.io "$LEAVING" --namespace "$1" --type merge --patch '{"spec":{"allowScheduling":false,"evictionRequested":true}}'
  until dead; do
    replicas=$(kubectl get replicas.longhorn.io --namespace "$1" --output jsonpath='{range .items[?(@.spec.nodeID=="'"$LEAVING"'")]}{.metadata.name}{" "}{end}' | xargs) ||
      replicas="(the API does not tell)"
    [ -n "$replicas" ] || return 0
    if [ $SECONDS -ge $next ]; then
      say "Longhorn's replicas that are still on it: $replicas"
      next=$((SECONDS + 10))
    fi
    if [ $SECONDS -ge $DEADLINE ]; then
      printf 'replicas %s\n' "$replicas"
      END=stuck
      return
    fi
    sleep 2
  done
}

drain() {
  local pid status=0 next=$((SECONDS + 10)) look=$((SECONDS + 5)) seconds=$((DEADLINE - SECONDS))
  LOG=$(mktemp)
  # 0 would be for ever.
  [ $seconds -gt 0 ] || seconds=1
  k3s kubectl drain "$LEAVING" --ignore-daemonsets --delete-emptydir-data --timeout="${seconds}s" >"$LOG" 2>&1 </dev/null &
  pid=$!
  # shellcheck disable=SC2064
  trap "kill $pid 2>/dev/null || :; rm -f '$LOG'" EXIT
  while kill -0 $pid 2>/dev/null; do
    sleep 0.3
    if [ $SECONDS -ge $look ]; then
      look=$((SECONDS + 5))
      ! dead || return 0
    fi
    if [ $SECONDS -ge $next ]; then
      next=$((SECONDS + 10))
      say "still on it: $(left)"
    fi
  done
  wait $pid || status=$?
  if [ $status = 0 ]; then
    END=drained
  elif ! dead; then
    printf 'pods %s\nbudgets %s\n' "$(left)" "$(budgets)"
    printf 'because %s\n' "$(grep -i error "$LOG" | tail -n 1 | cut -c1-300)"
    END=stuck
  fi
}

# The disruption budgets that allow nothing now, of pods on the Node. Expressions in a selector are passed over: one too many is named
# then, and none too few.
budgets() {
  local namespace name allowed labels
  # shellcheck disable=SC2016
  while read -r namespace name allowed labels; do
    [ "$allowed" = 0 ] || continue
    [ -z "$(kubectl get pods --namespace "$namespace" --selector "${labels%,}" --field-selector "spec.nodeName=$LEAVING" --output name)" ] ||
      echo "$namespace/$name"
  done < <(kubectl get poddisruptionbudgets --all-namespaces --output go-template='{{range .items}}{{.metadata.namespace}} {{.metadata.name}} {{.status.disruptionsAllowed}} {{with .spec.selector}}{{range $key, $value := .matchLabels}}{{$key}}={{$value}},{{end}}{{end}}{{"\n"}}{{end}}') |
    paste -sd' '
}
