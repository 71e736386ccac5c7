# Progress goes to standard error, the one line of result to standard output.
say() { printf '%s %s: %s\n' "$NODE" "$STEP" "$*" >&2; }

# fail WHAT REMEDY: ends the step with one line that says what to do next.
fail() {
  trap - ERR
  journal
  printf '%s %s: FAILED: %s\n%s %s: %s\n' "$NODE" "$STEP" "$1" "$NODE" "$STEP" "next: $2" >&2
  exit 1
}

# The last lines of the unit that the step is busy with; set UNIT before starting one.
UNIT=
journal() {
  [ -n "$UNIT" ] || return 0
  say "last lines of $UNIT:"
  journalctl --unit "$UNIT" --no-pager --lines 20 --output cat 2>/dev/null | cut -c1-300 >&2 || true
}
# What `timeout` around the script sends when the step's time is over.
trap 'fail "not done within the time that the step may take" "read the lines above; mend what is slow or raise seedbed:timeouts.step, then run \`pulumi up\` again"' TERM
trap 'fail "line $LINENO of the step: \"$BASH_COMMAND\" ended with status $?" "read the lines above, mend the cause, run \`pulumi up\` again"' ERR

in_container() { systemd-detect-virt --container --quiet; }

# put FILE [MODE]: writes standard input to FILE if it differs, and returns 1 when nothing had to be written.
# Written beside it and renamed, so that a power cut leaves the old or the new, never half of one.
put() {
  local file=$1 mode=${2:-0644} new
  mkdir -p "${file%/*}"
  new=$(mktemp "$file.XXXXXX")
  cat >"$new"
  chmod "$mode" "$new"
  if [ -e "$file" ] && cmp -s "$new" "$file" && [ "$(stat -c %a "$file")" = "$(stat -c %a "$new")" ]; then
    rm "$new"
    return 1
  fi
  mv "$new" "$file"
}

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

# await SECONDS WHAT COMMAND…: until COMMAND succeeds, with a line every ten seconds.
await() {
  local deadline=$((SECONDS + $1)) what=$2 next=$((SECONDS + 10))
  shift 2
  until "$@"; do
    [ $SECONDS -lt $deadline ] || return 1
    if [ $SECONDS -ge $next ]; then
      say "still waiting for $what"
      next=$((SECONDS + 10))
    fi
    sleep 0.3
  done
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
