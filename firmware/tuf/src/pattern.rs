//! Shell-style patterns of target paths (TUF specification 1.0.33, 4.5): `*`, `?` and `[...]` within a part between two `/`.

/// True if `path` is what `pattern` means. As many parts on both sides; the work is bounded by the product of both lengths.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) => {
                let (pattern, part): (Vec<char>, Vec<char>) =
                    (pattern.chars().collect(), part.chars().collect());
                if !part_matches(&pattern, &part) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

// The last `*` takes one more each time what follows it does not fit.
fn part_matches(pattern: &[char], part: &[char]) -> bool {
    let (mut p, mut s) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&c) = part.get(s) {
        let next = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, s));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => match set(&pattern[p..], c) {
                Some((true, length)) => Some(p + length),
                Some((false, _)) => None,
                // Without an end it is a bracket like any other character.
                None => (c == '[').then_some(p + 1),
            },
            Some(&own) => (own == c).then_some(p + 1),
            None => None,
        };
        match (next, star) {
            (Some(next), _) => (p, s) = (next, s + 1),
            (None, Some((after, from))) => {
                star = Some((after, from + 1));
                (p, s) = (after, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Whether `c` is in the set that `pattern` begins with, and how long that is. `None`: it does not end.
fn set(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negated = pattern.get(1) == Some(&'!');
    let first = if negated { 2 } else { 1 };
    let mut at = first;
    let mut found = false;
    loop {
        let own = *pattern.get(at)?;
        if own == ']' && at > first {
            return Some((found != negated, at + 1));
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some('-'), Some(&last)) if last != ']' => {
                found |= (own..=last).contains(&c);
                at += 3;
            }
            _ => {
                found |= own == c;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards_stay_within_their_part() {
        for (pattern, path, expected) in [
            ("*", "a", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("foo-?.tgz", "foo-1.tgz", true),
            ("foo-?.tgz", "foo-12.tgz", false),
            ("*.md", "README.MD", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("releases/*/*", "releases/x/", true),
            ("", "", true),
            ("**", "abc", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        let pattern = "*a".repeat(200);
        assert!(!matches(&pattern, &"b".repeat(2000)));
    }
}
