//! Which packages are tried together, and by whose tests.

/// Packages that are changed, and the tests that may notice.
#[derive(Debug)]
pub(crate) struct Set {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// The packages whose mutants are tried.
    pub(crate) packages: &'static [&'static str],
    /// Their sources.
    pub(crate) folders: &'static [&'static str],
    /// Packages beside them whose tests go through them.
    pub(crate) beside: &'static [&'static str],
    /// Folders whose tests are all tried.
    pub(crate) tests: &'static [&'static str],
    /// Further tests by name.
    pub(crate) further: &'static [&'static str],
}

/// The sets; the first is tried where none is named.
pub(crate) const SETS: [Set; 2] = [
    Set {
        name: "house",
        packages: &["engawa-model", "engawa-pms"],
        folders: &["edge-agent/model/src", "edge-agent/pms/src"],
        beside: &["engawa-rules", "engawa-days", "engawa-e2e"],
        tests: &[
            "edge-agent/model/tests",
            "edge-agent/pms/tests",
            "edge-agent/rules/tests",
            "tests/days/tests",
        ],
        further: &["fias_cases", "posting_cut"],
    },
    Set {
        name: "sync",
        packages: &["engawa-protocol"],
        folders: &["cloud-sync/protocol/src"],
        // Its own tests are quick; the campaign in `tests/sync` would make each mutant wait for seconds.
        beside: &[],
        tests: &["cloud-sync/protocol/tests"],
        further: &[],
    },
];

/// The set of this name, as the command line wants it.
pub(crate) fn named(name: &str) -> Result<&'static Set, String> {
    let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
    SETS.iter().find(|set| set.name == name).ok_or_else(|| format!("expected one of {}", names.join(", ")))
}
