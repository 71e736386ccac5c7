# On the leaving machine: k3s ends and never begins again, what it ran ends too, and MOUNTS are free.
SYSTEM=/proc
main() {
  if systemctl cat "$SERVICE" >/dev/null 2>&1; then
    systemctl disable --quiet "$SERVICE"
    timeout 60 systemctl stop "$SERVICE" || systemctl kill --signal=KILL "$SERVICE" || :
    await 20 "the end of $SERVICE" ended || fail "$SERVICE does not end" "power the machine off, then run \`pulumi up\` again"
  fi
  # Its unit has KillMode=process: the containers and what holds them outlive it.
  await 30 "the end of its containers" kill_containers ||
    fail "containers do not end: processes $(containers | paste -sd' ')" "power the machine off, then run \`pulumi up\` again"
  local place
  while read -r place; do
    [ -z "$place" ] || free "$place"
  done <<<"$MOUNTS"
  echo stopped
}

ended() { ! systemctl is-active --quiet "$SERVICE" && ! systemctl is-enabled --quiet "$SERVICE"; }

# The processes in the kubelet's cgroups and in those of k3s' unit: v1 and v2 name them alike, by whichever driver.
containers() {
  local file
  for file in "$SYSTEM"/[0-9]*/cgroup; do
    if grep -qE ":/(.*/)?(kubepods([./-]|$)|k3s(-agent)?\.service(/|$))" "$file" 2>/dev/null; then
      file=${file%/cgroup}
      echo "${file##*/}"
    fi
  done
}

kill_containers() {
  local found
  found=$(containers)
  [ -n "$found" ] || return 0
  # shellcheck disable=SC2086
  kill -KILL $found 2>/dev/null || :
  return 1
}

# The file system that is mounted at the place, wherever else it is mounted too, container's leftovers included.
free() {
  local device
  device=$(findmnt --noheadings --output MAJ:MIN --mountpoint "$1" | head -n 1 | xargs) || :
  [ -n "$device" ] || return 0
  say "unmounting $1"
  await 30 "$1 to be free" unmount "$device" ||
    fail "$1 is still in use" "see \`fuser --verbose --mount $1\` on the machine, end that, then run \`pulumi up\` again"
}

unmount() {
  local place
  while read -r place; do
    umount "$place" 2>/dev/null || :
  done < <(awk -v device="$1" '$3 == device { print $5 }' "$SYSTEM/self/mountinfo" | tac)
  [ -z "$(grep -lsE "^[0-9]+ [0-9]+ $1 " "$SYSTEM"/[0-9]*/mountinfo || :)" ]
}
