#!/usr/bin/env bash
# Builds the programs for ARM, in target/out/ARCHITECTURE, and says how big they are: `build.sh TRIPLE..`.
#
# PROFILE=release   a quicker build than `dist`, for trying things; no budget then
# CLOUD=1           engawa-cloud too
# BUDGET=0          the sizes are told, and nothing fails
set -euo pipefail
cd "$(dirname "$0")/../.."
mib=$((1024 * 1024))
declare -A budget=([engawa]=$((14 * mib)) [engawa-supervisor]=$mib)
programs=(engawa-supervisor engawa)
if [ "${CLOUD:-}" = 1 ]; then programs+=(engawa-cloud); fi
for triple; do bash firmware/arm/programs.sh "$triple" "${programs[@]}"; done

over=0
printf '\n%-7s %-18s %12s %8s %s\n' arch program bytes MiB budget
for triple; do
  arch=$(. firmware/arm/env.sh "$triple" && echo "$arch")
  for program in "${programs[@]}"; do
    size=$(stat -c %s "target/out/$arch/$program")
    limit=${budget[$program]:-0}
    if [ "${PROFILE:-dist}" != dist ] || [ "$limit" = 0 ]; then verdict=-
    elif [ "$size" -le "$limit" ]; then verdict="below $((limit / mib)) MiB"
    else verdict="OVER $((limit / mib)) MiB" over=1; fi
    awk -v a="$arch" -v p="$program" -v s="$size" -v m="$mib" -v v="$verdict" \
      'BEGIN { printf "%-7s %-18s %12d %8.2f %s\n", a, p, s, s / m, v }'
  done
done
if [ "$over" = 1 ] && [ "${BUDGET:-1}" != 0 ]; then
  echo "arm: a program is over its budget (firmware/arm/build.sh); look at what has grown, or BUDGET=0 to go on" >&2
  exit 1
fi
