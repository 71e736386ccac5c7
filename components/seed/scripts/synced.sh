# Waits until ArgoCD has made the cluster what git says, and says in ArgoCD's own words what is in the way.
PATIENCE=45 # seconds that an error lasts which will not go away by itself

main() {
  refresh
  synced
  healthy
}

# What was compared before this `up` says nothing about it.
refresh() {
  kubectl --namespace argocd annotate applications.argoproj.io --all argocd.argoproj.io/refresh=hard --overwrite >/dev/null
}

synced() {
  local deadline=$((SECONDS + SYNC_SECONDS)) next=0 last='' waiting errors since=''
  until
    look
    waiting=$(not_synced)
    [ -z "$waiting" ]
  do
    if [ "$waiting" != "$last" ] || [ $SECONDS -ge $next ]; then
      say "waiting for $(paste -sd, <<<"$waiting" | sed 's/,/, /g')"
      last=$waiting next=$((SECONDS + 10))
      starting
    fi
    errors=$(lasting_errors)
    if [ -z "$errors" ]; then since=''; elif [ -z "$since" ]; then since=$SECONDS; fi
    if [ $SECONDS -ge $deadline ]; then give_up "within $SYNC_SECONDS s"; fi
    if [ -n "$since" ] && [ $((SECONDS - since)) -ge $PATIENCE ]; then give_up "and will not be by waiting"; fi
    sleep 2
  done
  say "$(wc -l <<<"$STATE") applications and application sets are Synced"
}

# A line for each application and application set: KIND|NAME|NAMESPACE|REFRESH|SYNC|HEALTH|PHASE|"MESSAGE"…
STATE=
look() {
  STATE=$(kubectl --namespace argocd get applications.argoproj.io,applicationsets.argoproj.io --output go-template='
    {{- range .items}}
      {{- .kind}}|{{.metadata.name}}|{{with .spec.destination}}{{.namespace}}{{end}}|
      {{- with .metadata.annotations}}{{index . "argocd.argoproj.io/refresh"}}{{end}}|
      {{- $set := eq .kind "ApplicationSet"}}
      {{- with .status}}
        {{- if $set}}
          {{- range .conditions}}{{if and (eq .type "ResourcesUpToDate") (eq .status "True")}}Synced{{end}}{{end}}||
        {{- else}}
          {{- with .sync}}{{.status}}{{end}}|{{with .health}}{{.status}}{{end}}|{{with .operationState}}{{.phase}}{{end}}
        {{- end}}|
        {{- range .conditions}}
          {{- if $set}}{{if and (eq .type "ErrorOccurred") (eq .status "True")}}{{printf "%q" .message}} {{end}}
          {{- else}}{{printf "%q" .message}} {{end}}
        {{- end}}
        {{- with .operationState}}{{if and (ne .phase "Succeeded") (ne .phase "Running")}}{{printf "%q" .message}} {{end}}{{end}}
      {{- else}}|||{{end}}{{"\n"}}
    {{- end}}') || STATE=
}

not_synced() {
  [ -n "$STATE" ] || { echo "the API"; return; }
  while IFS='|' read -r kind name _ refreshing sync _; do
    case $refreshing in
    normal | hard) echo "$name (being compared)" ;;
    *) [ "$sync" = Synced ] || echo "$name (${sync:-not looked at yet})" ;;
    esac
  done <<<"$STATE"
}

# As long as ArgoCD itself comes up, its pods are what is waited for.
starting() {
  local line
  [ -z "$(awk -F'|' '$1 == "Application" && $5 != ""' <<<"$STATE")" ] || return 0
  while read -r line; do [ -z "$line" ] || say "$line"; done <<<"$(pods argocd | head -3)"
}

# Errors that no amount of waiting mends; a name that does not resolve yet, or a refused connection, may.
lasting_errors() {
  while IFS='|' read -r _ name _ _ _ _ _ message; do
    if [ -n "$message" ] && [ "$(explain "$message" | head -1)" != "$UNKNOWN" ]; then echo "$name"; fi
  done <<<"$STATE"
}

UNKNOWN="ArgoCD reports an error"

# explain MESSAGE: what it means and what to do, two lines. The texts are those of ArgoCD 3.5 and what it calls.
explain() {
  case $1 in
  *knownhosts:\ key\ mismatch* | *knownhosts:\ key\ is\ unknown* | *"Host key verification failed"*)
    echo "the repository's host shows another host key than the stack's settings know"
    echo "compare it with what the forge publishes, then correct seedbed:seed.repository.knownHosts and run \`pulumi up\` again" ;;
  *"unable to authenticate"* | *"ermission denied (publickey"* | *"authentication required"* | *"Repository not found"* | *"repository not found"*)
    echo "the repository does not let the deploy key in"
    echo "register the key that \`seedbed deploy-key\` prints as a read-only deploy key of $URL, then run \`pulumi up\` again" ;;
  *"app path does not exist"*)
    echo "the path is not in the repository"
    echo "push it, or correct seedbed:seed.repository.path, then run \`pulumi up\` again" ;;
  *"unable to resolve '"*"' to a commit SHA"* | *"couldn't find remote ref"*)
    echo "the branch or tag is not in the repository"
    echo "push it, or correct seedbed:seed.repository.revision, then run \`pulumi up\` again" ;;
  *"dial tcp"* | *"no such host"* | *"connection refused"* | *"i/o timeout"* | *"deadline exceeded"*)
    echo "$UNKNOWN"
    echo "check that pods reach what the message names" ;;
  *"anifest generation error"* | *"kustomize build"* | *"ailed to generate manifest"* | *"nvalidSpecError"*)
    echo "the application does not render"
    echo "render it with \`kubectl kustomize\`, push the correction; ArgoCD goes on by itself" ;;
  *)
    echo "$UNKNOWN"
    echo "mend what the message names; ArgoCD goes on by itself" ;;
  esac
}

give_up() {
  local name message why remedy='' sync reasons count=0
  while IFS='|' read -r _ name _ _ sync _ _ message; do
    [ "$sync" != Synced ] || continue
    count=$((count + 1))
    [ -n "$message" ] || continue
    mapfile -t why <<<"$(explain "$message")"
    remedy=${remedy:-${why[1]}}
    say "$name: ${why[0]}: $(cut -c1-400 <<<"$message")"
  done <<<"$STATE"
  if [ -z "$remedy" ]; then
    reasons=$(pods argocd)
    while read -r message; do [ -z "$message" ] || say "$message"; done <<<"$reasons"
    mapfile -t why <<<"$(why_not_running "$reasons")"
    fail "$count applications are not Synced $1: ${why[0]}" "${why[1]}, then run \`pulumi up\` again"
  fi
  fail "$count applications are not Synced $1" "$remedy"
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
      say "Synced, not Healthy yet: $(paste -sd, <<<"$ill" | sed 's/,/, /g')"
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
  while read -r line; do say "not Healthy after $HEALTH_SECONDS s: $line"; done <<<"$1"
  while IFS= read -r line; do [ -z "$line" ] || say "$line"; done <<<"$(sealed_secrets)"
  for namespace in $(awk -F'|' '$1 == "Application" && $6 != "Healthy" {print $3}' <<<"$STATE" | sort -u); do
    while IFS= read -r line; do [ -z "$line" ] || say "$namespace/$line"; done <<<"$(pods "$namespace" | head -5)"
  done
}

# The ones that do not open, in the controller's words.
sealed_secrets() {
  kubectl get sealedsecrets.bitnami.com --all-namespaces --output go-template='
    {{- range .items}}{{$at := printf "%s/%s" .metadata.namespace .metadata.name}}
      {{- with .status}}{{range .conditions}}{{if and (eq .type "Synced") (eq .status "False")}}
        {{- printf "SealedSecret %s: no key of the identity opens it: %s\n" $at .message}}
      {{- end}}{{end}}{{end}}
    {{- end}}' | cut -c1-300
}
