use super::*;
use crate::profile::load;

const HEAD: &str = "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'mqtt'\nsources = ['s']\n[mqtt]\n";

fn faults(head: &str, point: &str) -> String {
    let text = format!("{HEAD}{head}\n[[mqtt.points]]\nname = 'p'\nkind = 'float'\n{point}\n");
    match load("p.toml", &text) {
        Ok(_) => "none".to_owned(),
        Err(report) => report.to_string(),
    }
}

#[test]
fn what_can_not_work_is_refused_at_its_place() {
    let z = "status_topic = 'z/{device}'";
    for (head, point, words) in [
        (z, "pointer = '/t'", "none"),
        ("status_topic = 'z/{room}'", "pointer = ''\ncommand_topic = 'z/{device}/set'", "none"),
        ("", "topic = 'z'\npointer = ''", "none"),
        ("status_topic = ''", "pointer = ''", "`` can't be a topic"),
        ("status_topic = 'z/+'", "pointer = ''", "`z/+` can't be a topic"),
        ("status_topic = 'z/{name}'", "pointer = ''", "nothing stands for `{name}`"),
        ("status_topic = 'z/{device'", "pointer = ''", "a brace in a topic"),
        ("status_topic = 'z}'", "pointer = ''", "a brace in a topic"),
        ("", "pointer = '/t'", "point `p` has no topic"),
        ("", "topic = 'z'\npointer = ''\nalso = [{ pointer = '/x' }]", "this place has no topic"),
        (z, "pointer = 't'", "`t` is not a JSON pointer"),
        (z, "pointer = '/{channel}'", "nothing stands for `{channel}`"),
        (z, "topic = 'z'", "a topic without a `pointer`"),
        (z, "", "can be neither read nor written"),
        (z, "pointer = '/t'\ncommand_template = '{value}'", "it has no `command_template`"),
        (z, "pointer = '/t'\nmin = 1.0", "it has no `min`"),
        (z, "pointer = '/t'\ndead_band = -1.0", "a dead band is a number from 0 on"),
        (z, "pointer = '/t'\ncommand_topic = 'c'\nmin = 2.0\nmax = 1.0", "min 2 is above max 1"),
        (
            z,
            "pointer = '/t'\ncommand_topic = 'c'\ncommand_template = '{vlaue}'",
            "nothing stands for `{vlaue}`",
        ),
        (z, "pointer = '/t'\ncommand_topic = 'c'\ncommand_template = '{\"a\":{value}}'", "none"),
        (
            z,
            "pointer = '/t'\ncommand_topic = 'c'\ncommand_template = '{on_off}'",
            "only a point of kind `bool`",
        ),
        (z, "pointer = '/t'\nunit = 'kWh'", "write \"kW.h\""),
        (z, "pointer = '/t'\nvalues = { warm = 'x' }", "`x` is no value of this kind"),
        (z, "pointer = '/t'\nvalues = { warm = [1] }", "true or false, a number, or a text"),
        (z, "pointer = '/t'\ninvert = true", "can be inverted"),
        (z, "pointer = '/t'\nscale = '0'", "a scale of 0"),
        (z, "pointer = '/t'\nscale = '0.1'", "is not a fraction"),
        (z, "pointer = '/t'\nscale_var = 'unit'", "there is no variable `unit`"),
        (z, "pointer = '/t'\nvalid = {}", "every value is plausible"),
        (z, "pointer = '/t'\nvalid = { min = 2.0, max = 1.0 }", "min 2 is above max 1"),
        (z, "pointer = '/t'\nstale_after_s = 0", "0 s can't be meant"),
        ("heartbeat_s = 99999999\nstatus_topic = 'z'", "pointer = '/t'", "99999999 s can't be meant"),
        ("status_topic = 'z'\nrequests = [{ topic = '#' }]", "pointer = ''", "`#` can't be a topic"),
        (
            "status_topic = 'z'\nrequests = [{ topic = 'r', payload = '{x}' }]",
            "pointer = ''",
            "nothing stands for `{x}`",
        ),
        (
            "status_topic = 'z'\navailability = [{ topic = 'a', online = '1', offline = '1' }]",
            "pointer = ''",
            "says that the device is there, too",
        ),
        ("status_topic = 'z/{base}'\nvars.base = { default = 'x' }", "pointer = ''", "none"),
        ("status_topic = 'z'\nvars.device = { default = 'x' }", "pointer = ''", "can't be called `device`"),
        ("status_topic = 'z'\nvars.base = { default = 'a#' }", "pointer = ''", "`a#` can't go into a topic"),
        (
            "status_topic = 'z'\nvars.unit = { default = 'c', choices = { f = {} } }",
            "pointer = ''",
            "`c` is not a choice of `unit`",
        ),
    ] {
        let found = faults(head, point);
        assert!(found.contains(words), "{head} {point}: {found} lacks {words}");
        assert!(found == "none" || found.contains("--> p.toml:"), "{found}");
    }
    let twice = format!("{HEAD}status_topic = 'z'\npoints = []\n");
    assert!(load("p.toml", &twice).unwrap_err().to_string().contains("at least one point"));
    let twice = "pointer = ''\n[[mqtt.points]]\nname = 'p'\nkind = 'bool'\npointer = ''\ndead_band = 1.0";
    let found = faults("status_topic = 'z'", twice);
    assert!(
        found.contains("point `p` is there twice") && found.contains("only numbers have `dead_band`"),
        "{found}"
    );
}

#[test]
fn variables_go_into_topics_pointers_and_scales() {
    let text = format!(
        "{HEAD}status_topic = '{{base}}/{{device}}'\nrequests = [{{ topic = '{{base}}/get', payload = '{{base}}' }}]\n\
         [mqtt.vars.base]\ndefault = 'b'\n\
         [mqtt.vars.unit]\ndefault = 'c'\nchoices = {{ c = {{}}, f = {{ scale = '5/9', offset = '-160/9' }} }}\n\
         [[mqtt.points]]\nname = 'p'\nkind = 'float'\npointer = '/{{base}}/t'\nscale_var = 'unit'\n\
         command_topic = '{{base}}'\ncommand_template = '{{\"{{base}}\":{{value}}}}'\n"
    );
    let profile = load("p.toml", &text).unwrap_or_else(|report| panic!("{report}"));
    let crate::profile::Protocol::Mqtt(profile) = profile.protocol else { panic!("{profile:?}") };
    let vars =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let plain = profile.resolve(&vars(&[])).unwrap();
    assert_eq!(plain.status_topic.as_deref(), Some("b/{device}"));
    assert!(!plain.points[0].is_scaled());
    let filled = profile.resolve(&vars(&[("base", "x/y"), ("unit", "f")])).unwrap();
    let point = &filled.points[0];
    assert_eq!(filled.requests, [Request { topic: "x/y/get".to_owned(), payload: "x/y".to_owned() }]);
    assert_eq!(point.pointer.as_deref(), Some("/x~1y/t"));
    assert_eq!(point.command_template.as_deref(), Some("{\"x/y\":{value}}"));
    assert!(point.is_scaled());
    for (pairs, words) in [
        ([("bas", "x")], "no variable `bas`"),
        ([("unit", "k")], "`k` is not a choice"),
        ([("base", "x/#")], "can't go into a topic"),
        ([("base", "")], "can't go into a topic"),
    ] {
        let faults = profile.resolve(&vars(&pairs)).unwrap_err();
        assert!(faults[0].message.contains(words), "{faults:?}");
    }
}

#[test]
fn templates_are_filled_once() {
    let fill = |template| super::fill(template, |name| (name == "a").then(|| "{a}".into()));
    assert_eq!(fill("x{a}{b}{a"), "x{a}{b}{a");
    assert_eq!(fill("{{a}}"), "{{a}}");
    assert_eq!(fill(""), "");
}
