#!/usr/bin/env bash
# Removes what install.sh put there. Configuration, data and the key stay, unless --purge (asks first, or --yes).
set -euo pipefail

destdir=${DESTDIR:-}
prefix=${PREFIX:-/usr/local}
purge=0
yes=0
for option in "$@"; do
  case "$option" in
    --purge) purge=1 ;;
    --yes) yes=1 ;;
    *) echo "uninstall: unknown option $option; there are --purge and --yes" >&2; exit 2 ;;
  esac
done
say() { echo "uninstall: $*"; }

if [ -z "$destdir" ] && [ "$(id -u)" != 0 ]; then
  echo "uninstall: this needs root: run  sudo make uninstall" >&2
  exit 1
fi
if [ "$purge" = 1 ] && [ "$yes" = 0 ]; then
  echo "This removes /etc/engawa, /var/lib/engawa and /var/lib/engawa-app: the configuration, every guest's data on this"
  echo "machine, its key, the gateway's identity, and the releases in its slots. What the cloud has not yet got is lost."
  read -r -p "Type purge to go on: " answer
  [ "$answer" = purge ] || { say "nothing was removed"; exit 1; }
fi
if [ -z "$destdir" ] && [ -d /run/systemd/system ]; then
  systemctl disable --now engawa 2>/dev/null || true
fi
for path in \
  /etc/systemd/system/engawa.service \
  /etc/systemd/system/engawa.service.d/supervised.conf \
  "$prefix/lib/engawa/engawa" \
  "$prefix/lib/engawa/engawa-supervisor" \
  "$prefix/lib/engawa/engawa-supervised" \
  "$prefix/bin/engawa" \
  "$prefix/share/doc/engawa/README.md" \
  "$prefix/share/bash-completion/completions/engawa" \
  "$prefix/share/zsh/site-functions/_engawa" \
  "$prefix/share/fish/vendor_completions.d/engawa.fish"; do
  if [ -e "$destdir$path" ]; then
    say "$path"
    rm -f "$destdir$path"
  fi
done
for folder in "$prefix/share/doc/engawa" "$prefix/lib/engawa" /etc/systemd/system/engawa.service.d; do
  rmdir "$destdir$folder" 2>/dev/null || true
done
if [ -z "$destdir" ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
if [ "$purge" = 1 ]; then
  say "/etc/engawa, /var/lib/engawa and /var/lib/engawa-app"
  rm -rf "$destdir/etc/engawa" "$destdir/var/lib/engawa" "$destdir/var/lib/engawa-app"
  if [ -z "$destdir" ]; then
    userdel engawa 2>/dev/null || true
    groupdel engawa 2>/dev/null || true
  fi
else
  say "/etc/engawa, /var/lib/engawa and /var/lib/engawa-app stay (PURGE=1 removes them)"
fi
