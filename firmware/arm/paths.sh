# The same bytes from whatever folder, home and compiler's place a program is built in: their paths are not in it. Sourced
# in the project's folder; sets `same_paths` for rustc and `same_paths_c` for C compilers.
same_paths=(
  "--remap-path-prefix=$PWD=/engawa"
  "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  "--remap-path-prefix=$(rustc --print sysroot)=/rust"
)
same_paths_c=(
  "-ffile-prefix-map=$PWD=/engawa"
  "-ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo"
)
# What a C program takes __DATE__ and __TIME__ from: the commit's time. An archive without a history has its newest file's.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.lock)}
export SOURCE_DATE_EPOCH
