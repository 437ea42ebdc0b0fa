//! Scenarios through several crates at once; they live in this package's `tests` folder.
