#!/usr/bin/env bash
# Gets what builds for ARM need beyond the packages that `make arm` installs: the standard library for each target, and the
# targets' libcrypto. `setup.sh TRIPLE..`; what is there already is left as it is.
#
# ARM_STD=source   takes the standard library's source from Debian, without asking rustup
#
# Everything of Debian's is kept below target/arm with a package list of its own: neither the machine's architectures nor
# its package lists change.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/arm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$work"

# The mirror that this machine uses already, in either of apt's ways to write it.
mirror() {
  local found
  found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    grep -oE '^(URIs:|deb( +\[[^]]*\])?) +https?://[^ ]+/debian/?( |$)' | grep -oE 'https?://[^ ]+' | head -1)
  if [ -z "$found" ]; then
    echo "arm: apt's sources name no Debian mirror: enter one in /etc/apt/sources.list.d and run this again" >&2
    return 1
  fi
  echo "$found"
}

# apt with lists of its own: `own_apt SUITE ARCHITECTURE COMMAND..`, packages land in the current folder.
own_apt() {
  local suite=$1 arch=$2 state=$work/apt/$1-$2
  shift 2
  if [ ! -e "$state/conf" ]; then
    mkdir -p "$state"/lists/partial "$state"/cache/archives/partial "$state"/state
    local uri
    uri=$(mirror)
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: %s\nSigned-By: %s\n' \
      "$uri" "$suite" "$arch" "$keyring" >"$state/list.sources"
    cat >"$state/conf.new" <<CONF
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "";
Dir::Etc::sourcelist "$state/list.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$state/state";
Dir::State::lists "$state/lists";
Dir::State::status "/dev/null";
Dir::Cache "$state/cache";
CONF
    # This program's lists are nobody else's business: the machine's own hooks stay out.
    echo '#clear APT::Update::Post-Invoke-Success; #clear APT::Update::Post-Invoke;' >>"$state/conf.new"
    APT_CONFIG=$state/conf.new apt-get -q update
    mv "$state/conf.new" "$state/conf"
  fi
  APT_CONFIG=$state/conf apt-get -q "$@"
}

# The suite that the cross compilers' C library is from: a library of a newer one might ask for more.
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:?no Debian release in /etc/os-release}")

libcrypto() {
  local arch=$1 gnu=$2
  [ ! -e "$work/$arch/done" ] || return 0
  rm -rf "${work:?}/$arch"
  mkdir -p "$work/$arch/packages"
  (cd "$work/$arch/packages" && own_apt "$suite" "$arch" download libssl3 libssl-dev)
  for package in "$work/$arch"/packages/*.deb; do dpkg-deb -x "$package" "$work/$arch"; done
  # The headers that differ by architecture lie apart, and SQLCipher's build has room for one folder.
  cp "$work/$arch/usr/include/$gnu"/openssl/*.h "$work/$arch/usr/include/openssl/"
  # Linked with the shared library, as Debian's own programs are.
  rm -f "$work/$arch/usr/lib/$gnu"/lib{crypto,ssl}.a
  rm -rf "$work/$arch/packages"
  touch "$work/$arch/done"
}

# Has rustup fetched the standard library for a target, or can it?
from_rustup() {
  [ -d "$root/lib/rustlib/$1" ] || { command -v rustup >/dev/null && timeout 300 rustup target add "$1"; }
}

# Its source, exactly this compiler's, as Debian has it.
from_source() {
  local version package
  [ ! -e "$root/lib/rustlib/src/rust/library/Cargo.lock" ] || return 0
  version=$(rustc -V | cut -d' ' -f2)
  own_apt trixie-backports amd64 --version >/dev/null
  package=$(APT_CONFIG=$work/apt/trixie-backports-amd64/conf apt-cache madison rust-src | cut -d'|' -f2 | tr -d ' ' |
    grep -F "$version+" | head -1)
  [ -n "$package" ] || {
    echo "arm: rustup can't fetch a standard library, and Debian's trixie-backports has no rust-src of $version:" \
      "run  rustup target add $1  where there is a network, or use the release of the compiler that Debian has" >&2
    return 1
  }
  rm -rf "$work/rust-src" && mkdir -p "$work/rust-src"
  (cd "$work/rust-src" && own_apt trixie-backports amd64 download "rust-src=$package" && dpkg-deb -x rust-src_*.deb . && rm rust-src_*.deb)
  mkdir -p "$root/lib/rustlib/src"
  ln -sfn "$(echo "$work"/rust-src/usr/src/rustc-*)" "$root/lib/rustlib/src/rust"
}

root=$(rustc --print sysroot)
rm -f "$work/build-std"
for triple; do
  PROFILE=setup
  . firmware/arm/env.sh "$triple"
  libcrypto "$arch" "$gnu"
  if [ "${ARM_STD:-}" = source ] || ! from_rustup "$triple"; then
    echo "arm: the standard library for $triple is built from Debian's source" >&2
    from_source "$triple"
    touch "$work/build-std"
  # Without it the supervisor is linked with glibc.
  elif [ "$triple" = aarch64-unknown-linux-gnu ]; then from_rustup aarch64-unknown-linux-musl || true
  else from_rustup armv7-unknown-linux-musleabihf 2>/dev/null || true; fi
done
