# What a build for an ARM target needs to know. Sourced in the project's folder: `. firmware/arm/env.sh TRIPLE`.
#
# Sets `arch` (Debian's name), `gnu` (the name of the C tools), `emulator`, `libs` (where the target's libcrypto is), `musl`
# (the target of the supervisor, which links no library of the system; empty where there is none), `cargo_flags`; exports
# what cargo, cc-rs and libsqlite3-sys read, for these targets alone.
arm_work=$PWD/target/arm
case ${1:?which target} in
  aarch64-unknown-linux-gnu)
    arch=arm64 gnu=aarch64-linux-gnu emulator=qemu-aarch64 musl=aarch64-unknown-linux-musl ;;
  armv7-unknown-linux-gnueabihf)
    arch=armhf gnu=arm-linux-gnueabihf emulator=qemu-arm musl=armv7-unknown-linux-musleabihf ;;
  *)
    echo "arm: $1 is no target of Engawa's: aarch64-unknown-linux-gnu and armv7-unknown-linux-gnueabihf are" >&2
    exit 1 ;;
esac
libs=$arm_work/$arch/usr/lib/$gnu

sysroot=$(rustc --print sysroot)
# Where rustup has no musl either, the supervisor has glibc within it.
[ -d "$sysroot/lib/rustlib/$musl" ] || musl=

for target in "$1" $musl; do
  lower=${target//-/_}
  upper=${lower^^}
  export "CARGO_TARGET_${upper}_LINKER=$gnu-gcc"
  export "CARGO_TARGET_${upper}_RUNNER=$emulator -L /usr/$gnu -E LD_LIBRARY_PATH=$libs"
  export "CC_$lower=$gnu-gcc" "CXX_$lower=$gnu-g++" "AR_$lower=$gnu-ar"
done
lower=${1//-/_}
upper=${lower^^}

# What is shipped is the same from whatever folder it is built in, and as small as the linker can make it: the compiler's own
# linker, behind the cross gcc, folds functions with the same code into one, and packs relocations (glibc reads that from
# 2.36 on). A quick build takes neither, and so nothing is compiled twice for tests.
if [ "${PROFILE:-dist}" = dist ]; then
  . firmware/arm/paths.sh
  ship=("${same_paths[@]}")
  linker=$sysroot/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/gcc-ld
  if [ -x "$linker/ld.lld" ]; then
    ship+=("-Clink-arg=-B$linker" -Clink-arg=-fuse-ld=lld -Clink-arg=-Wl,--icf=all,-z,pack-relative-relocs)
  fi
  # A piece of code that functions share has an entry of its own in the tables for unwinding: some 32 bytes. What saves less
  # than that is better left where it is.
  if [ "$arch" = arm64 ]; then ship+=(-Cllvm-args=-outliner-benefit-threshold=40); fi
  export "CFLAGS_$lower=${same_paths_c[*]}" "CARGO_TARGET_${upper}_RUSTFLAGS=${ship[*]}"
  if [ -n "$musl" ]; then
    musl_upper=${musl//-/_}
    export "CARGO_TARGET_${musl_upper^^}_RUSTFLAGS=${same_paths[*]}"
  fi
fi
# SQLCipher's libcrypto: Debian's, of the target.
export "${upper}_OPENSSL_LIB_DIR=$libs" "${upper}_OPENSSL_INCLUDE_DIR=$arm_work/$arch/usr/include"

# The standard library from its source where rustup has none for this target; setup.sh has left the mark. The switch that
# lets a stable compiler do so is set for these builds only.
cargo_flags=()
if [ -e "$arm_work/build-std" ]; then
  export RUSTC_BOOTSTRAP=1
  cargo_flags=(-Zbuild-std=std,panic_unwind)
fi
