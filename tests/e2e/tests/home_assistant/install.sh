#!/usr/bin/env bash
# Installs Home Assistant for the tests, once:  install.sh FOLDER
# The release is one whose behaviour is known. It needs Python 3.13; where the system has none, one that pyenv or uv
# brings is taken.
set -euo pipefail
into=${1:?where to}
packages=(homeassistant==2025.4.4 home-assistant-frontend==20250411.0 paho-mqtt==2.1.0)

[ "$(cat "$into/installed" 2>/dev/null)" = "${packages[*]}" ] && exit 0

fits() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; }

python() {
  local found
  for found in "${PYTHON:-}" python3.13 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13.*/bin/python3 /usr/local/bin/python3.13; do
    if [ -n "$found" ] && fits "$found"; then
      command -v "$found"
      return
    fi
  done
  # uv fetches one, where it may.
  python3 -m venv "$into/uv" && "$into/uv/bin/pip" install --quiet --disable-pip-version-check uv &&
    "$into/uv/bin/uv" python install --quiet 3.13 && "$into/uv/bin/uv" python find 3.13
}

mkdir -p "$into"
into=$(cd "$into" && pwd)
if ! found=$(python); then
  echo "Home Assistant needs Python 3.13: install it (Debian 13: python3 and python3-venv; elsewhere: pyenv install 3.13)," \
    "or name it in PYTHON" >&2
  exit 1
fi
echo "installing ${packages[*]} into $into (a few minutes, once)"
rm -rf "${into:?}/venv" "$into/installed"
"$found" -m venv "$into/venv"
"$into/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[*]}" >"$into/installed"
