# The API through this server itself, whatever the load balancer in front of it does.
kubectl() { timeout 180 /usr/local/bin/k3s kubectl --kubeconfig /etc/rancher/k3s/k3s.yaml "$@"; }

# After a power cut SSH lets in before the API answers.
api() {
  await 120 "the API" answers ||
    fail "the API of this server does not answer" "read \`journalctl -u k3s\` on it, mend the cause, run \`pulumi up\` again"
}

answers() { kubectl get --raw /readyz >/dev/null 2>&1; }

# pods NAMESPACE: a line for each pod that cannot run and why, in the words of the scheduler or the kubelet.
pods() {
  kubectl --namespace "$1" get pods --output go-template='
    {{- range .items}}{{$pod := .metadata.name}}
      {{- range .status.conditions}}{{if and (eq .type "PodScheduled") (eq .status "False")}}
        {{- $pod}}: {{.reason}}: {{.message}}{{"\n"}}
      {{- end}}{{end}}
      {{- range .status.initContainerStatuses}}{{with .state.waiting}}{{if ne .reason "PodInitializing"}}
        {{- $pod}}: {{.reason}}: {{.message}}{{"\n"}}
      {{- end}}{{end}}{{end}}
      {{- range .status.containerStatuses}}{{$last := .lastState}}{{with .state.waiting}}
        {{- if and (ne .reason "PodInitializing") (ne .reason "ContainerCreating")}}
          {{- $pod}}: {{.reason}}{{with $last.terminated}} after {{.reason}} ({{.exitCode}}){{end}}: {{.message}}{{"\n"}}
        {{- end}}
      {{- end}}{{end}}
    {{- end}}' |
    sed -E 's/<no value>//g; s/(rpc error: code = [A-Za-z]+ desc = |failed to pull and unpack image "[^"]*": )//g' | cut -c1-300
}

# Why pods of a namespace do not run, by what the reasons name, and what to do: two lines.
why_not_running() {
  local lines=$1 image
  case $lines in
  *Insufficient\ memory* | *OOMKilled*)
    echo "too little memory on the nodes"
    echo "give the machines more memory or add one" ;;
  *Insufficient\ cpu*)
    echo "too little CPU on the nodes"
    echo "give the machines more CPU or add one" ;;
  *ImagePull* | *ErrImage* | *InvalidImageName*)
    image=$(sed -nE '/(image|reference|tag) "/{s/.*(image|reference|tag) "([^"]+)".*/\2/p}' <<<"$lines" | sed -n 1p)
    echo "an image cannot be pulled${image:+ ($image)}"
    echo "check that the nodes reach the registry and that the image exists" ;;
  *)
    echo "a pod does not run"
    echo "read the lines above, and \`kubectl describe\` on the pod" ;;
  esac
}

# ended RESULT: the one line of result.
ended() {
  say "$1"
  printf '{"machine":"%s","step":"%s","result":"%s"}\n' "$NODE" "$STEP" "$1"
}
