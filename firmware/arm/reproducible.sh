#!/usr/bin/env bash
# The same commit built twice, in two folders, with two homes of cargo: are the programs the same to the byte? Where not,
# says in which sections they differ. What is committed is built, nothing else.
#
# TARGET=aarch64-unknown-linux-gnu   or armv7-unknown-linux-gnueabihf
# PROGRAMS="engawa engawa-supervisor"
#
# The folders stay in target/reproducible: what is not changed is not compiled again.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${TARGET:-aarch64-unknown-linux-gnu}
read -ra programs <<<"${PROGRAMS:-engawa engawa-supervisor}"
work=$PWD/target/reproducible
commit=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH PROFILE=dist
if ! git diff --quiet HEAD; then echo "reproducible: what is not committed is left out: $commit is built" >&2; fi

folders=("$work/one" "$work/a-place-with-a-longer-name/two")
homes=("${CARGO_HOME:-$HOME/.cargo}" "$work/home")
# The second home has what the first has downloaded.
mkdir -p "$work/home"
for part in registry git; do
  if [ -e "${homes[0]}/$part" ]; then ln -sfn "${homes[0]}/$part" "$work/home/$part"; fi
done
for index in 0 1; do
  folder=${folders[$index]}
  mkdir -p "$folder/target"
  find "$folder" -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf {} +
  git archive "$commit" | tar -x -C "$folder"
  ln -sfn "$PWD/target/arm" "$folder/target/arm"
  (cd "$folder" && export CARGO_HOME=${homes[$index]} && bash firmware/arm/programs.sh "$target" "${programs[@]}")
done

arch=$(. firmware/arm/env.sh "$target" && echo "$arch")
differ=0
echo "reproducible: $commit, ${programs[*]} for $arch, built in two places"
for program in "${programs[@]}"; do
  one=${folders[0]}/target/out/$arch/$program two=${folders[1]}/target/out/$arch/$program
  if cmp -s "$one" "$two"; then
    echo "  same    $program  $(sha256sum "$one" | cut -d' ' -f1)  $(stat -c %s "$one") bytes"
    continue
  fi
  differ=1
  echo "  DIFFERS $program  ($(stat -c %s "$one") and $(stat -c %s "$two") bytes, $(cmp -l "$one" "$two" 2>/dev/null | wc -l) bytes differ)"
  for file in "$one" "$two"; do
    readelf -SW "$file" | awk '$1 == "[" {sub(/^\[ */, "["); $0 = $0} /^ *\[ *[0-9]+\]/ {sub(/^ *\[ *[0-9]+\] */, ""); print $1, $4, $5}' |
      while read -r section offset size; do
        echo "$section $size $(tail -c +$((16#$offset + 1)) "$file" | head -c $((16#$size)) | sha256sum | cut -c1-16)"
      done >"$file.sections"
    strings -n 8 "$file" | sort >"$file.strings"
  done
  echo "    sections:"; diff "$one.sections" "$two.sections" | sed -n 's/^[<>]/     &/p' | head -20 || true
  echo "    text in one of them only:"; diff "$one.strings" "$two.strings" | sed -n 's/^[<>]/     &/p' | head -20 || true
done
if [ "$differ" = 1 ]; then
  echo "reproducible: the builds differ; a path or a time has got in, or something is taken in an order of chance" >&2
  exit 1
fi
