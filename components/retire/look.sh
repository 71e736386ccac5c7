# On a server: whether its API answers, and what it knows of the Nodes. Another server is asked where it does not.
main() {
  # Not before it has joined, nor when somebody has stopped it.
  if ! systemctl is-active --quiet k3s; then
    echo "silent k3s does not run on it"
  # One that has just begun again needs some seconds.
  elif ! await "$READY_SECONDS" "the API" api_ready; then
    echo "silent its API does not answer"
  else
    nodes
    echo seen
  fi
}
