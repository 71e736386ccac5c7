# Disks that outlive the machine, mounted where their data is looked for. They are never formatted here.
pave() {
  local device place
  while read -r device place; do
    await "$DEVICE_SECONDS" "$device" test -b "$device" ||
      fail "$device is not there" "look whether the volume is attached to this machine, then run \`pulumi up\` again"
    mkdir -p "$place"
    [ -z "$(ls -A "$place")" ] || mountpoint --quiet "$place" ||
      fail "$place is not empty" "what is there would be hidden: give the volume another place, or the machine a new generation"
    grep -qF "$device $place " /etc/fstab ||
      printf '%s %s %s nofail,noatime,discard 0 2\n' "$device" "$place" "$FILESYSTEM" >>/etc/fstab
    mountpoint --quiet "$place" || mount "$place"
    note mount "$place" "$device"
    say "mounted $place"
  done <<<"$MOUNTS"
  systemctl daemon-reload
}

prove() {
  local device place
  while read -r device place; do
    [ "$(findmnt --noheadings --output SOURCE --mountpoint "$place")" = "$(readlink -f "$device")" ] ||
      fail "$device is not mounted at $place" "read \`journalctl --unit '*.mount'\` and \`dmesg\` on the machine"
  done <<<"$MOUNTS"
}
