# What the machine is now. Nothing is written, not even a temporary file: a machine is replaced, never repaired.
# A line `list STEP DIGEST` for each step that has left a list here, and for each line of the list two: `was`, as it stands
# there, and `is`, as `fact` finds it now. The last line is `end`.
main() {
  local list kind name value
  for list in /var/lib/seedbed/installed/*; do
    [ -f "$list" ] || continue
    printf 'list %s %s\n' "${list##*/}" "$(sha256sum <"$list" | cut -c1-32)"
    while read -r kind name value; do
      printf 'was %s %s %s\nis %s %s %s\n' "$kind" "$name" "$value" "$kind" "$name" "$(fact "$kind" "$name" </dev/null)"
    done <"$list"
  done
  echo end
}
