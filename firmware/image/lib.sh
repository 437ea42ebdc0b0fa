# shellcheck shell=bash
# What the scripts of the image share. Sourced.

# So that the same inputs give the same bytes: times are this one, or the commit's.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

say() { echo "image: $*" >&2; }
fail() { echo "image: $*" >&2; exit 1; }

# The address of this machine's Debian archive of the label $1 (Debian, Debian-Security); nothing where it has none.
mirror() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(REPO_URI)' "Label: $1" "Component: main" "Created-By: Packages" | head -1
}

# A stable id: a UUID made of the words given, so that two builds have the same.
uuid_of() {
  local hash
  hash=$(printf '%s' "engawa image $*" | sha256sum | cut -c1-32)
  printf '%s-%s-5%s-8%s-%s\n' "${hash:0:8}" "${hash:8:4}" "${hash:13:3}" "${hash:17:3}" "${hash:20:12}"
}
