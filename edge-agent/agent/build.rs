//! Tells the program what it is built for: releases are made for a target.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=ENGAWA_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}
