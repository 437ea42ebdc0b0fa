#!/usr/bin/env bash
# Installs the agent: binary, systemd unit, completions, and a configuration where there is none.
# DESTDIR: a folder that stands for the root (for packagers; then no user is made and no service is touched).
# PREFIX: where the binary goes, /usr/local by default.  ENGAWA: the built binary.  --dry-run: says what it would do.
# --supervised: the agent is started out of slots by engawa-supervisor (SUPERVISOR: the built binary), and can be updated.
set -euo pipefail
cd "$(dirname "$0")/.."

destdir=${DESTDIR:-}
prefix=${PREFIX:-/usr/local}
binary=${ENGAWA:-target/dist/engawa}
supervisor=${SUPERVISOR:-target/supervisor/engawa-supervisor}
dry=0
supervised=0
for option in "$@"; do
  case "$option" in
    --dry-run) dry=1 ;;
    --supervised) supervised=1 ;;
    *) echo "install: unknown option $option; there are --dry-run and --supervised" >&2; exit 2 ;;
  esac
done

say() { echo "install: $*"; }
do_it() { if [ "$dry" = 1 ]; then echo "  would run: $*"; else "$@"; fi; }

if [ "$dry" = 0 ] && [ -z "$destdir" ] && [ "$(id -u)" != 0 ]; then
  echo "install: this needs root: run  sudo make install  (or set DESTDIR to a folder of your own)" >&2
  exit 1
fi
if [ ! -x "$binary" ]; then
  if command -v cargo >/dev/null && [ -z "${ENGAWA:-}" ]; then
    say "building the agent (this takes some minutes the first time)"
    do_it cargo build --profile dist --locked -p engawa
  else
    echo "install: there is no binary at $binary: build it with  cargo build --profile dist --locked -p engawa" >&2
    exit 1
  fi
fi

if [ "$supervised" = 1 ] && [ ! -x "$supervisor" ]; then
  if command -v cargo >/dev/null && [ -z "${SUPERVISOR:-}" ]; then
    do_it cargo build --profile supervisor --locked -p engawa-supervisor
  else
    echo "install: there is no supervisor at $supervisor: build it with  cargo build --profile supervisor --locked -p engawa-supervisor" >&2
    exit 1
  fi
fi

if [ -z "$destdir" ]; then
  if ! getent group engawa >/dev/null; then
    say "group engawa"
    do_it groupadd --system engawa
  fi
  if ! getent passwd engawa >/dev/null; then
    say "user engawa"
    do_it useradd --system --gid engawa --home-dir /var/lib/engawa --no-create-home --shell /usr/sbin/nologin engawa
  fi
fi

place() { # mode, source, target
  say "$3"
  do_it install -D -m "$1" "$2" "$destdir$3"
}

unit=$(mktemp)
trap 'rm -f "$unit"' EXIT
sed "s#/usr/local/#$prefix/#g" deploy/systemd/engawa.service >"$unit"
place 0644 "$unit" /etc/systemd/system/engawa.service
dropin=/etc/systemd/system/engawa.service.d/supervised.conf
if [ "$supervised" = 1 ]; then
  place 0755 "$binary" "$prefix/lib/engawa/engawa"
  place 0755 "$supervisor" "$prefix/lib/engawa/engawa-supervisor"
  place 0755 deploy/supervised/engawa-supervised "$prefix/lib/engawa/engawa-supervised"
  version=$("$binary" --version | awk '{print $2}')
  sed "s#/usr/local/#$prefix/#g; s#@VERSION@#$version#" deploy/systemd/supervised.conf >"$unit"
  place 0644 "$unit" "$dropin"
  sed "s#/usr/local/#$prefix/#g" deploy/supervised/engawa >"$unit"
  place 0755 "$unit" "$prefix/bin/engawa"
else
  if [ -e "$destdir$dropin" ]; then
    echo "install: the agent is supervised here ($dropin): use --supervised, or remove that file first" >&2
    exit 1
  fi
  place 0755 "$binary" "$prefix/bin/engawa"
fi
place 0644 deploy/README.md "$prefix/share/doc/engawa/README.md"
for shell in bash zsh fish; do
  case $shell in
    bash) target="$prefix/share/bash-completion/completions/engawa" ;;
    zsh) target="$prefix/share/zsh/site-functions/_engawa" ;;
    fish) target="$prefix/share/fish/vendor_completions.d/engawa.fish" ;;
  esac
  say "$target"
  if [ "$dry" = 0 ]; then
    mkdir -p "$destdir$(dirname "$target")"
    "$binary" completions "$shell" >"$destdir$target"
    chmod 0644 "$destdir$target"
  fi
done

config=/etc/engawa/engawa.toml
if [ -e "$destdir$config" ]; then
  say "$config is there already and stays as it is"
else
  say "$config (an example: fill it in)"
  do_it mkdir -p "$destdir/etc/engawa"
  do_it chmod 0750 "$destdir/etc/engawa"
  do_it install -m 0640 deploy/engawa.example.toml "$destdir$config"
  if [ -z "$destdir" ]; then
    do_it chown root:engawa /etc/engawa "$config"
  fi
fi
if [ "$dry" = 0 ]; then
  "$binary" check "$destdir$config" || say "the configuration has faults: mend them before the start"
fi

# Where a first slot was laid already, later agents come into the other one.
laid=
slots=$destdir/var/lib/engawa-app
if [ "$supervised" = 1 ] && { [ -e "$slots/table.0" ] || [ -e "$slots/table.1" ]; }; then
  laid=1
  say "the slots in /var/lib/engawa-app have a release already, which is what is started: $prefix/lib/engawa/engawa is not."
  say "another one comes through the cloud (a rollout, or the command update), or from a stick:  engawa update install --from DIR"
fi

[ -z "$destdir" ] || exit 0
if [ -d /run/systemd/system ]; then
  do_it systemctl daemon-reload
  if [ -n "$laid" ]; then
    say "for the new supervisor:  systemctl restart engawa"
  elif systemctl is-active --quiet engawa; then
    say "the old version still runs; to change over:  systemctl restart engawa"
  else
    say "next:  edit $config, then  engawa check  and  systemctl enable --now engawa"
  fi
else
  say "systemd does not run here: nothing was reloaded; to try it by hand:  engawa run $config"
fi
