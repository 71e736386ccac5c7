in_container() { systemd-detect-virt --container --quiet; }

# install_packages NAME…: asks the package manager only for what is missing.
install_packages() {
  local package missing=()
  for package in "$@"; do
    note package "$package"
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

# enable [OPTION…] UNIT…: from every boot on.
enable() {
  local word
  for word in "$@"; do
    [[ $word == -* ]] || note unit "$word"
  done
  systemctl enable --quiet "$@"
}

# fact KIND NAME: how that is on this machine now, in one line. It changes nothing and never fails: `seedbed drift` runs it too.
fact() {
  local found=
  case $1 in
    file) [ ! -f "$2" ] || found="$(sha256sum <"$2" | cut -d' ' -f1) $(stat --dereference --format='%a %U' "$2")" ;;
    # What is in it, where more of it would be read as well.
    folder) [ ! -d "$2" ] || found=$(find "$2" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | paste -sd' ') ;;
    # Whether it runs, what adds to its file, and whether it begins with the machine.
    unit) found=$(systemctl show --property=ActiveState,DropInPaths,UnitFileState "$2" | sort | cut -d= -f2- | paste -sd' ') ;;
    sysctl | floor) found=$(sysctl -n "$2" | tr -s '[:blank:]' ' ') ;;
    package) found=$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$2") ;;
    mount) found=$(findmnt --noheadings --output SOURCE --mountpoint "$2") && found=$(named_device "$found") ;;
    dropped) ! iptables -w -t raw -C PREROUTING -d "$2" -j DROP || found=yes ;;
    machine) found=$(machine_fact "$2") ;;
  esac 2>/dev/null || true
  echo "${found:-none}"
}

# A disk's place in /dev depends on the order in which disks were found.
named_device() {
  local link
  for link in /dev/disk/by-id/*; do
    if [ "$(readlink -f "$link")" = "$1" ]; then echo "$link" && return; fi
  done
  echo "$1"
}

machine_fact() {
  case $1 in
    hostname) hostname ;;
    swap) [ "$(wc -l </proc/swaps)" -gt 1 ] && echo on || echo off ;;
    logins) sshd -T | grep -E '^(passwordauthentication|kbdinteractiveauthentication|permitemptypasswords|permitrootlogin) ' | sort | paste -sd' ' ;;
    forward-policy) iptables -w -S FORWARD | sed -n 1p ;;
    k3s) /usr/local/bin/k3s --version | sed -n 1p ;;
  esac
}

# The notes as lines KIND NAME VALUE, each once.
installed() {
  local kind name value
  while read -r kind name value; do
    printf '%s %s %s\n' "$kind" "$name" "${value:-$(fact "$kind" "$name" </dev/null)}"
  done < <(sort -u "$NOTES")
}

# A machine is paved once. What it was paved with stays in the marker: the same again only proves it, anything else is
# refused, because a machine is replaced and not repaired. A step without `pave` only looks, and leaves no marker.
main() {
  local marker=/var/lib/seedbed/paved/$STEP list=/var/lib/seedbed/installed/$STEP result=paved
  if ! declare -F pave >/dev/null; then
    prove
    say ready
    printf '{"machine":"%s","step":"%s","result":"ready"}\n' "$NODE" "$STEP"
    return
  elif [ ! -e "$marker" ]; then
    # Anew each time: the notes of a step that was interrupted are not those of this one.
    NOTES=/run/seedbed.notes
    : >"$NOTES"
    pave
  elif [ "$(cat "$marker")" = "$DIGEST" ]; then
    result="already paved"
  else
    fail "this machine was paved with something else before" \
      "give the machine a new generation (or a fresh system): a machine is replaced, never repaired"
  fi
  prove
  if [ -n "$NOTES" ]; then
    local found
    found=$(installed)
    rm "$NOTES"
    NOTES=
    printf '%s\n' "$found" | put "$list" 0600 || true
    printf '%s\n' "$DIGEST" | put "$marker"
  fi
  say "$result"
  # The list stays on the machine, and the engine's state remembers which: it can be told there when somebody changes it.
  printf '{"machine":"%s","step":"%s","result":"%s","installed":"%s"}\n' "$NODE" "$STEP" "$result" \
    "$([ ! -e "$list" ] || sha256sum <"$list" | cut -c1-32)"
}
