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

# put FILE [MODE]: writes standard input to FILE if it differs, and returns 1 when nothing had to be written.
# Written beside it and renamed, so that a power cut leaves the old or the new, never half of one.
put() {
  local file=$1 mode=${2:-0644} new
  note file "$file"
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

# note KIND NAME [VALUE]: what the machine gets and has to keep; `seedbed drift` looks whether it has it still. The kinds are those
# of `fact`, and without VALUE it is what holds when the step ends. A file, because most of it is said at the end of a pipe.
NOTES=
note() { [ -z "$NOTES" ] || printf '%s\n' "$*" >>"$NOTES"; }

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
