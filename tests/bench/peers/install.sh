#!/usr/bin/env bash
# Installs the programs that the agent is measured beside, each in a folder of its own, once:
#   install.sh FOLDER naive|node-red|thingsboard...
# One that can't be installed is said and passed over: the bench then shows it as not measured.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
into=${1:?where to}
shift
mkdir -p "$into"
into=$(cd "$into" && pwd)

venv() { # NAME PACKAGES...
  local name=$1
  shift
  # The mark carries the versions: others are installed anew.
  [ "$(cat "$into/$name/installed" 2>/dev/null)" = "$*" ] && return 0
  rm -rf "${into:?}/$name"
  echo "installing $* into $into/$name"
  python3 -m venv "$into/$name" && "$into/$name/bin/pip" install --quiet --disable-pip-version-check "$@" &&
    echo "$*" >"$into/$name/installed"
}

node_red() {
  cmp -s "$here/node-red.json" "$into/node-red/installed" && return 0
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
      apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nodejs npm || return 1
    else
      echo "missing packages: run  sudo apt-get install nodejs npm"
      return 1
    fi
  fi
  echo "installing Node-RED into $into/node-red"
  rm -rf "$into/node-red" && mkdir -p "$into/node-red" && cp "$here/node-red.json" "$into/node-red/package.json" &&
    (cd "$into/node-red" && npm install --no-audit --no-fund --loglevel=error) &&
    cp "$here/node-red.json" "$into/node-red/installed"
}

for peer in "$@"; do
  case $peer in
    naive) venv naive pymodbus==3.11.3 paho-mqtt==2.1.0 ;;
    thingsboard) venv thingsboard thingsboard-gateway==3.8.5 ;;
    node-red) node_red ;;
    *) echo "install.sh: no peer is called $peer" && exit 2 ;;
  esac || echo "$peer could not be installed: it will not be measured"
done
