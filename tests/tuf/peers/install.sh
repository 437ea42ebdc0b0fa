#!/usr/bin/env bash
# Installs the reference implementation of TUF for the tests, once:  install.sh FOLDER
# Exit status 3: this machine has no python3 with venv and pip.
set -euo pipefail
into=${1:?where to}
packages=(tuf==7.0.0 'securesystemslib[crypto]==1.4.0')

[ "$(cat "$into/installed" 2>/dev/null)" = "${packages[*]}" ] && exit 0
python3 -c 'import venv, ensurepip' 2>/dev/null || exit 3
echo "installing ${packages[*]} into $into (once)"
mkdir -p "$into"
rm -rf "${into:?}/venv" "$into/installed"
python3 -m venv "$into/venv"
"$into/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[*]}" >"$into/installed"
