in_container() { systemd-detect-virt --container --quiet; }

# install_packages NAME…: asks the package manager only for what is missing.
install_packages() {
  local package missing=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  # Lists of the last hour will do: the step before this one may have fetched them.
  if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mmin -60 -print -quit)" ]; then
    fetch_package_lists
  fi
  say "installing ${missing[*]}"
  apt install -y --no-install-recommends "${missing[@]}" && return 0
  say "that failed; once more, with what was interrupted finished and with fresh package lists"
  # A power cut or a timeout in the middle of an installation leaves dpkg so that it refuses all others.
  quietly dpkg --configure --pending --force-confdef --force-confold || true
  fetch_package_lists
  apt install -y --no-install-recommends "${missing[@]}" ||
    fail "the package manager could not install ${missing[*]}" "run \`apt-get install ${missing[*]}\` on the machine to see why"
}

fetch_package_lists() {
  local try
  say "fetching the package lists"
  # The lock of the lists knows no timeout of its own, and a first boot may hold it for a minute.
  for try in 1 2 3 4 5; do
    apt update && return 0
    say "the package lists could not be fetched, try $try of 5"
    sleep $((try * 2))
  done
  fail "the package lists could not be fetched" "check the machine's network and its package sources"
}

# Without the translated descriptions, which nobody reads here: they are a quarter of the work of fetching the lists.
apt() { quietly apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Languages=none -o Acquire::Retries=3 "$@"; }

# Asks nothing, and is quiet when it goes well; its last lines when it does not.
quietly() {
  local log status=0
  log=$(mktemp)
  DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes NEEDRESTART_MODE=a "$@" </dev/null >"$log" 2>&1 || status=$?
  [ $status = 0 ] || tail -n 5 "$log" >&2
  rm "$log"
  return $status
}

# A machine is paved once. What it was paved with stays in the marker: the same again only proves it, anything else is
# refused, because a machine is replaced and not repaired. A step without `pave` only looks, and leaves no marker.
main() {
  local marker=/var/lib/seedbed/paved/$STEP result=paved
  if ! declare -F pave >/dev/null; then
    marker='' result=ready
  elif [ ! -e "$marker" ]; then
    pave
  elif [ "$(cat "$marker")" = "$DIGEST" ]; then
    result="already paved"
  else
    fail "this machine was paved with something else before" \
      "give the machine a new generation (or a fresh system): a machine is replaced, never repaired"
  fi
  prove
  [ -z "$marker" ] || [ -e "$marker" ] || printf '%s\n' "$DIGEST" | put "$marker"
  say "$result"
  printf '{"machine":"%s","step":"%s","result":"%s"}\n' "$NODE" "$STEP" "$result"
}
