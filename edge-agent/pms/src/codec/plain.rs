//! Texts of guests as a terminal may show them.

/// `text` without what a terminal takes for an order: control characters and marks that turn the direction of text become
/// blanks. Whoever books can choose a name.
pub(crate) fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn no_name_gives_orders_to_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\u{7}\u{202e}c"), "a [31mb  c");
        assert_eq!(plain("佐藤 O\u{2019}Neill"), "佐藤 O\u{2019}Neill");
    }
}
