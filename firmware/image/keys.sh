#!/usr/bin/env bash
# The keys of system images, made once: an authority and a signer for RAUC's bundles, a key for the kernel images.
# Usage: keys.sh FOLDER
# For images of a fleet keep this folder offline, or give KEYS= a folder of your own with the same names.
set -euo pipefail
keys=$(realpath -m "${1:?usage: keys.sh FOLDER}")
cd "$(dirname "$0")"
# shellcheck source=SCRIPTDIR/lib.sh
. ./lib.sh
umask 077
[ ! -e "$keys/complete" ] || exit 0
rm -rf "$keys"
mkdir -p "$keys"
cd "$keys"
say "making keys in $keys"
curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${curve[@]}" -keyout ca.key -out ca.pem -days 9131 -subj "/O=Engawa/CN=System images" \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
openssl req "${curve[@]}" -keyout signer.key -out signer.csr -subj "/O=Engawa/CN=System images, signer 1" 2>/dev/null
openssl x509 -req -in signer.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out signer.pem -days 3652 -extfile <(
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n') 2>/dev/null
rm -f signer.csr ca.srl
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out kernel.key 2>/dev/null
openssl req -x509 -new -key kernel.key -out kernel.crt -days 9131 -subj "/O=Engawa/CN=Kernel images" 2>/dev/null
: >complete
