//! Home Assistant's templates, as far as they only say where in a payload a value is.
//!
//! Why so little: the rest is a language of its own (Jinja), and a template that is read wrongly gives a wrong value. What
//! is not one of these forms is not understood, and said so.
//!
//! The forms: `{{ value }}`; `{{ value_json }}` followed by `.name`, `['name']` or `[0]`, any number of them; either with
//! filters that do not change the value (`is_defined`, `float`, `round(..)`, `default(..)` are such).

/// The JSON pointer that `template` comes to; the empty one is the whole payload.
pub(super) fn pointer(template: &str) -> Option<String> {
    let inner = template.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.trim_start_matches('-').trim_end_matches('-').trim();
    if inner.contains("{{") || inner.contains("}}") {
        return None;
    }
    let mut parts = inner.split('|').map(str::trim);
    let path = parts.next()?;
    parts.all(is_harmless).then_some(())?;
    if path == "value" {
        return Some(String::new());
    }
    steps(path.strip_prefix("value_json")?)
}

/// A filter that leaves the value what it is, but for digits that nobody shows.
fn is_harmless(filter: &str) -> bool {
    let (name, arguments) = filter.split_once('(').map_or((filter, ""), |(name, rest)| (name.trim(), rest));
    let closed = arguments.is_empty() && !filter.contains('(')
        || arguments.strip_suffix(')').is_some_and(|inner| !inner.contains(['(', ')', '{', '}']));
    closed && matches!(name, "is_defined" | "float" | "round" | "default")
}

/// `.a['b'][0]` as `/a/b/0`.
fn steps(path: &str) -> Option<String> {
    let (mut pointer, mut rest) = (String::new(), path);
    while !rest.is_empty() {
        let (step, after) = if let Some(rest) = rest.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
            (is_name.then_some(name)?, after)
        } else {
            let inner = rest.strip_prefix('[')?;
            match inner.chars().next()? {
                quote @ ('\'' | '"') => {
                    let (name, after) = inner.get(1..)?.split_once(quote)?;
                    (Some(name).filter(|name| !name.contains('\\'))?, after.strip_prefix(']')?)
                }
                _ => {
                    let (number, after) = inner.split_once(']')?;
                    let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
                    (is_number.then_some(number)?, after)
                }
            }
        };
        pointer.push('/');
        pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        rest = after;
    }
    Some(pointer)
}

/// A command's template as one of a profile: `{{ value }}` becomes `{text}`. `None` where it says more than that.
pub(super) fn command(template: &str) -> Option<String> {
    let (mut filled, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once("{{") {
        let (inner, after) = after.split_once("}}")?;
        let mut parts = inner.split('|').map(str::trim);
        (parts.next()? == "value" && parts.all(is_harmless)).then_some(())?;
        filled.push_str(before);
        filled.push_str("{text}");
        rest = after;
    }
    filled.push_str(rest);
    // Statements, and placeholders of profiles that nobody meant.
    let unclear =
        filled.contains("{%") || filled.contains("{#") || filled.replace("{text}", "").contains("{text");
    (!unclear && filled.contains("{text}")).then_some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_says_where_a_value_is_becomes_a_pointer() {
        for (template, expected) in [
            ("{{ value }}", Some("")),
            ("{{value}}", Some("")),
            ("{{ value_json.temperature }}", Some("/temperature")),
            ("{{ value_json['x'].y }}", Some("/x/y")),
            ("{{ value_json[\"a/b~c\"][0].d_1 }}", Some("/a~1b~0c/0/d_1")),
            ("{{- value_json.state -}}", Some("/state")),
            ("{{ value_json.current_temperature | float }}", Some("/current_temperature")),
            ("{{ value_json.t | round(1) | default(none) }}", Some("/t")),
            ("{{ value_json.t | is_defined }}", Some("/t")),
            ("{{ value_json }}", Some("")),
            ("{{ value_json.t / 10 }}", None),
            ("{{ value_json.t | multiply(10) }}", None),
            ("{{ value_json.t | float / 10 }}", None),
            ("{{ value_json.t }} °C", None),
            ("{{ 'ON' if value_json.x else 'OFF' }}", None),
            ("{% if value_json.x %}ON{% endif %}", None),
            ("{{ value_json. }}", None),
            ("{{ value_json[x] }}", None),
            ("{{ value_json['x }}", None),
            ("{{ value_json.a }}{{ value_json.b }}", None),
            ("{{ states('sensor.x') }}", None),
            ("plain", None),
            ("", None),
            ("{{", None),
        ] {
            assert_eq!(pointer(template).as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn a_command_that_only_holds_the_value_is_understood() {
        for (template, expected) in [
            ("{{ value }}", Some("{text}")),
            ("{\"mode\": \"{{ value }}\"}", Some("{\"mode\": \"{text}\"}")),
            ("{\"t\":{{ value | float }}}", Some("{\"t\":{text}}")),
            ("{{ value * 10 }}", None),
            ("{% if value == 'off' %}0{% endif %}{{ value }}", None),
            ("{\"fixed\":1}", None),
            ("{{ value", None),
        ] {
            assert_eq!(command(template).as_deref(), expected, "{template}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_template_makes_it_panic(text in "(\\{\\{|\\}\\}|value_json|value|[.\\[\\]'\"|()~/ a-zé0-9{}%])*") {
            if let Some(pointer) = pointer(&text) {
                proptest::prop_assert!(pointer.is_empty() || pointer.starts_with('/'));
            }
            command(&text);
        }
    }
}
