# The machine has finished its first boot and is one that can be paved.
prove() {
  # A power cut must not take the scripts, which are copied once.
  sync .seedbed.sh
  # Its own `cloud-init status --wait` says nothing while it waits, and starts a Python to look at this file.
  # Source: https://docs.cloud-init.io/en/latest/explanation/failure_states.html
  local result=/run/cloud-init/result.json
  if [ -d /run/cloud-init ] && [ ! -e /run/cloud-init/disabled ]; then
    await "$CLOUD_INIT_SECONDS" "cloud-init to finish the first boot" test -e $result ||
      fail "cloud-init did not finish within $CLOUD_INIT_SECONDS s" "read /var/log/cloud-init-output.log on the machine"
    grep -qF '"errors":[]' <<<"$(tr -d '[:space:]' <$result)" ||
      fail "cloud-init ended with an error" "read \`cloud-init status --long\` on the machine; replace it if its first boot went wrong"
  fi
  local problems=()
  [ -d /run/systemd/system ] || problems+=("systemd does not run it")
  command -v apt-get >/dev/null || problems+=("it has no apt-get: only Debian and Ubuntu are paved")
  case $(uname -m) in x86_64 | aarch64) ;; *) problems+=("its architecture $(uname -m) has no k3s digest here") ;; esac
  [ "$(df --output=avail -m / | tail -1)" -ge 2048 ] || problems+=("it has less than 2 GiB of free disk")
  [ -n "$(ip -o -4 address show to "$NODE_ADDRESS")" ] || problems+=("it has no address in $NODE_ADDRESS")
  if [ ${#problems[@]} -gt 0 ]; then
    fail "this machine cannot be paved: $(printf '%s; ' "${problems[@]}")" "give it what it lacks or take another machine"
  fi
}
