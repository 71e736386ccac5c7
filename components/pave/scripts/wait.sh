# The machine has finished its first boot and is one that can be paved.
prove() {
  if command -v cloud-init >/dev/null; then
    say "waiting for cloud-init"
    local status=0
    timeout "$CLOUD_INIT_SECONDS" cloud-init status --wait >/dev/null 2>&1 || status=$?
    # 2 is "done, with recoverable errors", which deprecation warnings cause on new images.
    # Source: https://docs.cloud-init.io/en/latest/explanation/return_codes.html
    case $status in
      0 | 2) ;;
      124) fail "cloud-init did not finish within $CLOUD_INIT_SECONDS s" "read /var/log/cloud-init-output.log on the machine" ;;
      *) fail "cloud-init ended with an error" "read \`cloud-init status --long\` on the machine; replace it if its first boot went wrong" ;;
    esac
  fi
  local problems=()
  [ -d /run/systemd/system ] || problems+=("systemd does not run it")
  command -v apt-get >/dev/null || problems+=("it has no apt-get: only Debian and Ubuntu are paved")
  case $(uname -m) in x86_64 | aarch64) ;; *) problems+=("its architecture $(uname -m) has no k3s digest here") ;; esac
  [ "$(df --output=avail -m / | tail -1)" -ge 2048 ] || problems+=("it has less than 2 GiB of free disk")
  grep -qF "inet $NODE_ADDRESS/" <<<"$(ip -o -4 address show)" || problems+=("$NODE_ADDRESS is not one of its addresses")
  if [ ${#problems[@]} -gt 0 ]; then
    fail "this machine cannot be paved: $(printf '%s; ' "${problems[@]}")" "give it what it lacks or take another machine"
  fi
}
