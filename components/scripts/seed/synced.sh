# Waits until ArgoCD has made the cluster what git says, and says in ArgoCD's own words what is in the way.
AGAIN=10    # seconds after which what shows an error is compared anew: it may be mended
PATIENCE=30 # seconds that an error lasts which will not go away by itself

main() {
  api
  reread
  refresh
  synced
  healthy
}

# The kubelet brings a changed ConfigMap to running pods within two minutes, and to a pod that changed itself at once.
# Source: https://kubernetes.io/docs/tasks/configure-pod-container/configure-pod-configmap/#mounted-configmaps-are-updated-automatically
reread() {
  local hosts
  kubectl --namespace argocd annotate pods --all --overwrite "seedbed.internal/reread=$(date +%s)" >/dev/null || true
  hosts=$(kubectl --namespace argocd get configmap seedbed-known-hosts --output 'jsonpath={.data.ssh_known_hosts}')
  await 20 "ArgoCD to have the known hosts" have "$hosts" || say "ArgoCD may still have the known hosts of before"
}

# Whether every repo-server that runs has these known hosts. One that starts reads them then.
have() {
  local pod
  for pod in $(kubectl --namespace argocd get pods --selector app.kubernetes.io/name=argocd-repo-server \
    --field-selector status.phase=Running --output 'jsonpath={.items[*].metadata.name}'); do
    [ "$(kubectl --namespace argocd exec "$pod" --container argocd-repo-server -- \
      cat /app/config/ssh/ssh_known_hosts 2>/dev/null)" = "$1" ] || return 1
  done
}

# refresh [NAME…]: what was compared before this `up` says nothing about it. `hard`, or a failure is remembered.
refresh() {
  [ $# -gt 0 ] || set -- --all
  kubectl --namespace argocd annotate applications.argoproj.io "$@" argocd.argoproj.io/refresh=hard --overwrite >/dev/null
}

# The same for application sets; ArgoCD takes the annotation away when it is done without an error.
refresh_sets() {
  kubectl --namespace argocd annotate applicationsets.argoproj.io --all \
    argocd.argoproj.io/application-set-refresh=true --overwrite >/dev/null
}

synced() {
  local deadline=$((SECONDS + SYNC_SECONDS)) next=0 last='' waiting errors before='' since='' again=0 asked=''
  until
    look
    # The sets look at the folders again once the root has given them what this `up` says.
    if [ -z "$asked" ] && grep -q '^Application|root|[^|]*||Synced|' <<<"$STATE"; then
      refresh_sets
      asked=yes
      look
    fi
    waiting=$(not_synced)
    [ -z "$waiting" ]
  do
    errors=$(lasting_errors)
    if [ -z "$errors" ]; then
      since='' again=0
    else
      # What is being mended is given its time.
      if [ -z "$since" ] || [ "$(wc -l <<<"$errors")" -lt "$(wc -l <<<"$before")" ]; then since=$SECONDS; fi
      [ "$again" != 0 ] || again=$((SECONDS + AGAIN))
    fi
    before=$errors
    if [ "$waiting" != "$last" ] || [ $SECONDS -ge $next ]; then
      say "waiting for $(wc -l <<<"$waiting") of $(wc -l <<<"$STATE"): $(together "$waiting")"
      last=$waiting next=$((SECONDS + 10))
      starting
    fi
    if [ $SECONDS -ge $deadline ]; then give_up "within $SYNC_SECONDS s"; fi
    if [ -n "$since" ] && [ $((SECONDS - since)) -ge $PATIENCE ]; then give_up "and not by waiting"; fi
    if [ "$again" != 0 ] && [ $SECONDS -ge $again ]; then
      again_for "$errors"
      again=$((SECONDS + AGAIN))
    fi
    again_for "$(unreached)"
    sleep 2
  done
  say "$(wc -l <<<"$STATE") applications and application sets are Synced"
}

# Compares anew what has an error, and has been compared since it was asked for last.
again_for() {
  local kind name names=()
  while IFS='|' read -r kind name; do
    [ "$kind" != Application ] || names+=("$name")
  done <<<"$1"
  [ ${#names[@]} = 0 ] || refresh "${names[@]}" || true
  case $1 in *ApplicationSet\|*) refresh_sets || true ;; esac
}

# A line for each application and application set, the root first:
# KIND|NAME|NAMESPACE|REFRESH|SYNC|HEALTH|"MESSAGE"…
STATE=
look() {
  STATE=$(kubectl --namespace argocd get applications.argoproj.io,applicationsets.argoproj.io --output go-template='
    {{- range .items}}
      {{- $set := eq .kind "ApplicationSet"}}
      {{- .kind}}|{{.metadata.name}}|{{with .spec.destination}}{{.namespace}}{{end}}|
      {{- with .metadata.annotations}}
        {{- with index . "argocd.argoproj.io/refresh"}}{{.}}{{end}}
        {{- with index . "argocd.argoproj.io/application-set-refresh"}}{{.}}{{end}}
      {{- end}}|
      {{- with .status}}
        {{- if $set}}
          {{- range .conditions}}{{if and (eq .type "ResourcesUpToDate") (eq .status "True")}}Synced{{end}}{{end}}||
          {{- range .conditions}}{{if and (eq .type "ErrorOccurred") (eq .status "True")}}{{printf "%q " .message}}{{end}}{{end}}
        {{- else}}
          {{- with .sync}}{{.status}}{{end}}|{{with .health}}{{.status}}{{end}}|
          {{- range .conditions}}{{if not (eq .type "ExcludedResourceWarning" "OrphanedResourceWarning" "RepeatedResourceWarning" "SharedResourceWarning")}}
            {{- printf "%q " .message}}
          {{- end}}{{end}}
          {{- with .operationState}}{{if and .message (ne .phase "Succeeded") (or (ne .phase "Running") .retryCount)}}
            {{- printf "%q " .message}}
          {{- end}}{{end}}
        {{- end}}
      {{- else}}||{{end}}{{"\n"}}
    {{- end}}' | awk -F'|' '{print ($2 == "root" ? 0 : 1) "|" $0}' | sort --stable --field-separator='|' --key=1,1n | cut -d'|' -f2-) || STATE=
}

# NAME|WHAT for each that is not Synced.
not_synced() {
  local name refreshing sync message
  [ -n "$STATE" ] || { echo "the API|no answer"; return; }
  while IFS='|' read -r _ name _ refreshing sync _ message; do
    [ "$sync" != Synced ] || [ -n "$refreshing" ] || continue
    if [ -n "$message" ] && [ "$sync" != Synced ]; then
      explain "$message"
      echo "$name|$WHY"
    elif [ -n "$refreshing" ]; then
      echo "$name|being compared"
    else
      echo "$name|${sync:-not looked at yet}"
    fi
  done <<<"$STATE"
}

# brief LINES [MOST]: the first of some lines, on one.
brief() {
  awk -v most="${2:-3}" 'NR <= most {printf "%s%s", (NR > 1 ? ", " : ""), $0} NR == most + 1 {printf ", …"}' <<<"$1"
}

# together LINES: those of NAME|WHAT, each WHAT once.
together() {
  awk -F'|' '
    !($2 in count) {order[++groups] = $2}
    {++count[$2]}
    count[$2] <= 3 {names[$2] = names[$2] (count[$2] > 1 ? ", " : "") $1}
    count[$2] == 4 {names[$2] = names[$2] ", …"}
    END {for (i = 1; i <= groups; i++) printf "%s%s (%s)", (i > 1 ? "; " : ""), names[order[i]], order[i]}' <<<"$1"
}

# As long as the root is not compared, ArgoCD itself does not run, and its pods are what is waited for.
starting() {
  local line
  ! grep -q '^Application|root|[^|]*||[^|]' <<<"$STATE" || return 0
  while read -r line; do [ -z "$line" ] || say "$line"; done <<<"$(pods argocd | sed -n 1,3p)"
}

# KIND|NAME of what shows an error that no amount of waiting mends; a name that does not resolve yet, or a refused
# connection, may. What is Synced keeps the message of a sync that failed until the next one.
lasting_errors() {
  local kind name sync message
  while IFS='|' read -r kind name _ _ sync _ message; do
    if [ "$sync" = Synced ] || [ -z "$message" ]; then continue; fi
    explain "$message"
    [ -z "$LASTS" ] || echo "$kind|$name"
  done <<<"$STATE"
}

# KIND|NAME of what was compared while something could not be reached, as ArgoCD's own repo-server while that starts. ArgoCD
# itself would compare it again when it looks at git next, a minute later.
unreached() {
  local kind name refreshing sync message
  while IFS='|' read -r kind name _ refreshing sync _ message; do
    if [ "$sync" = Synced ] || [ -z "$message" ] || [ -n "$refreshing" ]; then continue; fi
    explain "$message"
    [ "$WHY" != "$UNREACHED" ] || echo "$kind|$name"
  done <<<"$STATE"
}

UNREACHED="something cannot be reached"

# explain MESSAGE: sets WHY to what it means, NEXT to what to do, and LASTS where no waiting mends it. The texts are those of
# ArgoCD 3.5.1 and of what it calls.
WHY='' NEXT='' LASTS=''
explain() {
  LASTS=''
  local again="then run \`pulumi up\` again"
  case $1 in
  *"knownhosts: key mismatch"* | *"knownhosts: key is unknown"* | *"Host key verification failed"*)
    WHY="the repository's host shows another host key than the stack's settings know"
    NEXT="compare it with what the forge publishes, correct seedbed:seed.repository.knownHosts, $again"
    LASTS=yes ;;
  *"unable to authenticate"* | *"ermission denied (publickey"* | *"authentication required"*)
    WHY="the repository does not let the deploy key in"
    NEXT="register the key that \`seedbed deploy-key\` prints as a read-only deploy key of $URL, $again"
    LASTS=yes ;;
  # What go-git does not know is the server's own sentence.
  *"epository not found"* | *"list refs: unknown error: "*)
    WHY="the server does not give the repository out"
    NEXT="check that $URL exists and that the deploy key may read it, $again"
    LASTS=yes ;;
  *"app path does not exist"*)
    WHY="a folder is not in the repository"
    NEXT="push it, or correct seedbed:seed.repository.path, $again; if an app was removed: docs/how-to/add-an-app.md"
    LASTS=yes ;;
  *"unable to resolve '"*"' to a commit SHA"* | *"couldn't find remote ref"*)
    WHY="the branch or tag is not in the repository"
    NEXT="push it, or correct seedbed:seed.repository.revision, $again"
    LASTS=yes ;;
  *"dial tcp"* | *"no such host"* | *"connection refused"* | *"i/o timeout"* | *"deadline exceeded"* | *"DeadlineExceeded"* | *"code = Unavailable"*)
    WHY=$UNREACHED
    NEXT="check that pods reach what the message names, $again" ;;
  *"list refs: "* | *"git fetch"*)
    WHY="the repository cannot be read"
    NEXT="mend what the message names, $again" ;;
  *"synchronization tasks"* | *"Retrying operation"*)
    WHY="an object cannot be applied"
    NEXT="push the correction, $again" ;;
  *"is not permitted in project"*)
    WHY="the project does not permit it"
    NEXT="push the correction, or move it to a folder whose project does: docs/explanation/seed.md" ;;
  *"\`kustomize build "* | *"failed to unmarshal kustomization"* | *"failed to generate manifest"*"code = Unknown"*)
    WHY="the folder does not render"
    NEXT="see it with \`kubectl kustomize\`, push the correction, $again"
    LASTS=yes ;;
  *)
    WHY="ArgoCD reports an error"
    NEXT="mend what the message names, $again" ;;
  esac
}

# The one sentence of a message, out of the layers that it came through.
plain() {
  sed -E 's/^"//; s/" ?$//; s/\\n/ /g; s/\\"/"/g; s/[|]/ /g; s/<path to cached source>.//g; s/Failed to load target state: |failed to generate manifest for source [0-9]+ of [0-9]+: |rpc error: code = [A-Za-z]+ desc = //g
    s/error generating params from git: |error getting directories from repo: |error retrieving Git Directories: |unable to resolve git revision : //g' <<<"$1" | cut -c1-300
}

# give_up HOW: one line for each reason, the root's first, since what the others say may only follow from it.
give_up() {
  local name sync message lines='' reasons line first names why rest waiting
  waiting=$(brief "$(not_synced | cut -d'|' -f1)")
  while IFS='|' read -r _ name _ _ sync _ message; do
    if [ "$sync" = Synced ] || [ -z "$message" ]; then continue; fi
    explain "$message"
    lines+="$WHY|$(plain "$message")|$name|$NEXT"$'\n'
  done <<<"$STATE"
  if [ -z "$lines" ]; then
    reasons=$(pods argocd)
    while read -r line; do [ -z "$line" ] || say "$line"; done <<<"$(sed -n 1,5p <<<"$reasons")"
    mapfile -t why <<<"$(why_not_running "$reasons")"
    fail "${why[0]}: not Synced $1: $waiting" "${why[1]}, then run \`pulumi up\` again"
  fi
  while IFS='|' read -r why message; do
    names=$(why=$why message=$message awk -F'|' '$1 == ENVIRON["why"] && $2 == ENVIRON["message"] {print $3}' <<<"$lines")
    say "$(brief "$names"): $why: $message"
  done <<<"$(cut -d'|' -f1,2 <<<"${lines%$'\n'}" | awk '!seen[$0]++' | sed -n 1,5p)"
  IFS='|' read -r first _ _ rest <<<"$lines"
  fail "$first: not Synced $1: $waiting" "$rest"
}

# Health is reported and not required: what the payload needs, a volume or a secret, may come after the machines.
healthy() {
  local deadline=$((SECONDS + HEALTH_SECONDS)) next=$((SECONDS + 10)) ill
  while
    look
    ill=$(awk -F'|' '$1 == "Application" && $6 != "Healthy" {print $2 " (" ($6 ? $6 : "Unknown") ")"}' <<<"$STATE")
    [ -n "$ill" ] && [ $SECONDS -lt $deadline ]
  do
    if [ $SECONDS -ge $next ]; then
      say "Synced, not Healthy yet: $(brief "$ill")"
      next=$((SECONDS + 10))
    fi
    sleep 2
  done
  if [ -z "$ill" ]; then
    ended "all applications are Synced and Healthy"
  else
    diagnose "$ill"
    ended "all applications are Synced, $(wc -l <<<"$ill") not Healthy"
  fi
}

diagnose() {
  local line namespace
  say "not Healthy after $HEALTH_SECONDS s: $(brief "$1" 9)"
  while IFS= read -r line; do [ -z "$line" ] || say "$line"; done <<<"$(sealed_secrets)"
  for namespace in $(awk -F'|' '$1 == "Application" && $6 != "Healthy" {print $3}' <<<"$STATE" | sort -u); do
    while IFS= read -r line; do [ -z "$line" ] || say "$namespace/$line"; done <<<"$(pods "$namespace" | sed -n 1,5p)"
  done
}

# The ones that do not open, in the controller's words.
sealed_secrets() {
  kubectl get sealedsecrets.bitnami.com --all-namespaces --output go-template='
    {{- range .items}}{{$at := printf "%s/%s" .metadata.namespace .metadata.name}}
      {{- with .status}}{{range .conditions}}{{if and (eq .type "Synced") (eq .status "False")}}
        {{- printf "SealedSecret %s does not open: %q\n" $at .message}}
      {{- end}}{{end}}{{end}}
    {{- end}}' | cut -c1-300
}
