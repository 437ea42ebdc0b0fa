//! A file with all its mutants behind a switch: `crate::mutant(N)` says whether mutant N is on.

use crate::mutant::{Mutant, Number};
use crate::sites::{self, Site, What};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;

/// The switched file.
#[derive(Clone, Debug, Default)]
pub struct Rewritten {
    /// Its text.
    pub text: String,
    /// What of the text belongs to which mutants.
    pub regions: Vec<Region>,
    /// Mutants where a switch can't stand: in constants, in what a constant calls, in macros; and
    /// values of functions that return `impl Trait`.
    pub aside: Vec<Number>,
    /// Mutants that can't compile, seen without the compiler.
    pub unviable: Vec<Number>,
}

/// Bytes of a switched file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// From, to.
    pub range: Range<usize>,
    /// Whose.
    pub of: Of,
}

/// To whom a region belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// What one mutant has instead.
    Mutant(Number),
    /// The switch around several mutants, and what stands there with none of them on.
    Switch(Vec<Number>),
}

/// Why a file could not be switched.
#[derive(Debug, thiserror::Error)]
#[error("{line}:{column}: not the Rust that is understood here: {source}")]
pub struct NotRust {
    line: usize,
    column: usize,
    source: syn::Error,
}

/// The file with `mutants` (its own) behind the switch. Functions named in `keep_const` stay `const`; others lose it
/// where they have a mutant, for a constant can't ask the switch.
///
/// # Errors
/// The place that does not parse.
pub fn rewrite(
    source: &str,
    mutants: &[&Mutant],
    keep_const: &BTreeSet<String>,
) -> Result<Rewritten, NotRust> {
    let file = syn::parse_file(source).map_err(|source| {
        let at = source.span().start();
        NotRust { line: at.line, column: at.column + 1, source }
    })?;
    let mut found = sites::find(source, &file, mutants, keep_const);
    // The outer first; of two of the same extent the guard is the outer.
    found.sites.sort_by_key(|site| {
        (site.range.start, std::cmp::Reverse(site.range.end), !matches!(site.what, What::Guard { .. }))
    });
    let mut text = String::new();
    render(source, 0..source.len(), &found.sites, &mut 0, &mut text);
    let regions = regions(&text);
    Ok(Rewritten { text, regions, aside: found.aside, unviable: found.unviable })
}

fn render(source: &str, range: Range<usize>, sites: &[Site], next: &mut usize, out: &mut String) {
    let mut at = range.start;
    while let Some(site) = sites.get(*next).filter(|site| site.range.start < range.end) {
        *next += 1;
        out.push_str(&source[at..site.range.start]);
        let mut inner = String::new();
        render(source, site.range.clone(), sites, next, &mut inner);
        // Writing to a string does not fail.
        let _ = place(&site.what, &inner, out);
        at = site.range.end;
    }
    out.push_str(&source[at..range.end]);
}

fn place(what: &What, inner: &str, out: &mut String) -> std::fmt::Result {
    match what {
        What::Choice(all) => {
            open(out, all.iter().map(|(number, _)| *number))?;
            out.push('(');
            for (number, text) in all {
                write!(out, "if crate::mutant({number}) {{{MUTANT}{number}{END}{text}{OUT}}} else ")?;
            }
            write!(out, "{{{inner}}}){OUT}")
        }
        What::Values(all) => {
            for (number, value) in all {
                open(out, [*number])?;
                write!(
                    out,
                    " if crate::mutant({number}) {{ return {MUTANT}{number}{END}{value}{OUT}; }}{OUT}"
                )?;
            }
            Ok(())
        }
        What::Arm(gone) => {
            open(out, gone.iter().copied())?;
            write!(out, " if {}{OUT}", off(gone))
        }
        What::Guard { gone, yes, no, bare } => {
            open(out, gone.iter().chain(yes).chain(no).copied())?;
            if *bare {
                write!(out, "{} && {inner}{OUT}", off(gone))
            } else {
                let yes: String = yes.iter().map(|number| format!("crate::mutant({number}) || ")).collect();
                write!(out, "{} && ({yes}{} && ({inner})){OUT}", off(gone), off(no))
            }
        }
        What::Remove => Ok(()),
    }
}

/// That none of them is on.
fn off(numbers: &[Number]) -> String {
    let all: Vec<String> = numbers.iter().map(|number| format!("!crate::mutant({number})")).collect();
    if all.is_empty() { "true".to_owned() } else { all.join(" && ") }
}

const SWITCH: &str = "/*switch<";
const MUTANT: &str = "/*mutant<";
const END: &str = "*/";
const OUT: &str = "/*>*/";

fn open(out: &mut String, numbers: impl IntoIterator<Item = Number>) -> std::fmt::Result {
    let all: Vec<String> = numbers.into_iter().map(|number| number.to_string()).collect();
    write!(out, "{SWITCH}{}{END}", all.join(","))
}

/// Reads the marks again, so that what the compiler says about a byte is said about a mutant.
fn regions(text: &str) -> Vec<Region> {
    let (mut all, mut within, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(next) = text[at..].find("/*") {
        let start = at + next;
        let rest = &text[start..];
        at = start + 2;
        if rest.starts_with(OUT) {
            if let Some((from, of)) = within.pop() {
                all.push(Region { range: from..start, of });
            }
        } else if let Some(number) =
            rest.strip_prefix(MUTANT).and_then(numbers).and_then(|all| all.first().copied())
        {
            within.push((start, Of::Mutant(number)));
        } else if let Some(numbers) = rest.strip_prefix(SWITCH).and_then(numbers) {
            within.push((start, Of::Switch(numbers)));
        }
    }
    all
}

fn numbers(text: &str) -> Option<Vec<Number>> {
    text.split_once(END)?.0.split(',').map(|number| number.parse().ok()).collect()
}
