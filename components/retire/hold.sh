# On the leaving server, where the cluster needs its vote until the member is removed: k3s runs on, and when it ends then, it stays so.
# It would otherwise begin again, and may make a cluster of its own: https://github.com/k3s-io/k3s/issues/13623
main() {
  printf '[Service]\nRestart=no\n' | put "/run/systemd/system/$SERVICE.service.d/90-leaving.conf" || :
  systemctl daemon-reload
  systemctl disable --quiet "$SERVICE"
  echo held
}
