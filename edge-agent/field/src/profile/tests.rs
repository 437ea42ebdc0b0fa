use super::*;

const HEAD: &str = "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'modbus'\nsources = ['s']\n[modbus]\n";

fn faults(head: &str, point: &str) -> String {
    let text = format!(
        "{HEAD}{head}\n[[modbus.points]]\nname = 'a'\ntable = 'holding'\naddress = 1\ntype = 'u16'\n{point}\n"
    );
    match load("p.toml", &text) {
        Ok(_) => "none".to_owned(),
        Err(report) => report.to_string(),
    }
}

#[test]
fn the_shipped_profiles_are_sound_and_name_their_sources() {
    for (name, text) in builtin() {
        let profile = load(name, text).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(profile.head.name, *name);
        assert!(!profile.head.sources.is_empty());
        let resolved = profile.resolve(&BTreeMap::new()).unwrap();
        let roles: Vec<_> = resolved.point_specs().into_iter().filter_map(|spec| spec.role).collect();
        for role in [engawa_model::Role::ClimateSetpoint, engawa_model::Role::RoomTemperature] {
            assert_eq!(roles.iter().filter(|of| **of == role).count(), 1, "{name}: {role:?}");
        }
    }
}

#[test]
fn what_can_not_work_is_refused_at_its_place() {
    for (head, point, words) in [
        ("", "", "none"),
        ("max_registers = 0", "", "0 registers can't be read at once"),
        ("max_registers = 126", "", "126 registers"),
        ("interval_ms = 1", "", "1 ms can't be meant"),
        ("blocks = [{ table = 'holding', first = 9, last = 1 }]", "", "9 to 1 is no block"),
        ("identity = { device_id = 'X' }", "", "not supported yet: identification by function 43/14"),
        ("identity = { table = 'holding' }", "", "an identity needs"),
        ("printed_base = 40001", "", "1 is no address of this device"),
        ("vars.unit = { default = 'c', choices = { f = {} } }", "", "`c` is not a choice"),
        ("", "scale_var = 'unit'", "there is no variable `unit`"),
        ("", "scale = '0.02'", "not a fraction"),
        ("", "scale = '0'", "a scale of 0"),
        ("", "length = 3", "only texts have a `length`"),
        ("", "bits = 2", "only points of type `bits`"),
        ("", "read_function = 1", "function 1 does not read this table"),
        ("", "dead_band = -1.0", "a dead band"),
        ("", "write = { function = 5 }", "function 5 can't write this point"),
        ("", "write = { min = 2.0, max = 1.0 }", "min 2 is above max 1"),
        ("", "write = { companion = { address = 3, value = 6 } }", "not supported yet: `companion`"),
        ("", "write = { copy_from = { table = 'input', address = 3 } }", "not supported yet: `copy_from`"),
        ("", "wirte = {}", "wirte"),
        (
            "",
            "[[modbus.points]]\nname = 'a'\ntable = 'input'\naddress = 2\ntype = 'u16'",
            "point `a` is there twice",
        ),
        (
            "",
            "[[modbus.points]]\nname = 'b'\ntable = 'input'\naddress = 2\ntype = 'u16'\nwrite = {}",
            "can't be written",
        ),
        ("", "[[modbus.points]]\nname = 'b'\ntable = 'coil'\naddress = 2\ntype = 'u16'", "single bits"),
        (
            "",
            "[[modbus.points]]\nname = 'b'\ntable = 'input'\naddress = 2\ntype = 'ascii'",
            "needs its `length`",
        ),
        (
            "",
            "[[modbus.points]]\nname = 'b'\ntable = 'holding'\naddress = 2\ntype = 'bits'\nbit = 15\nbits = 2",
            "no 2 bits",
        ),
        (
            "",
            "[[modbus.points]]\nname = 'b'\ntable = 'holding'\naddress = 2\ntype = 'bits'\nbit = 1\nwrite = {}",
            "not supported yet: writing some bits",
        ),
        (
            "",
            "[[modbus.points]]\nname = 'b'\ntable = 'holding'\naddress = 65536\ntype = 'u16'",
            "65536 is no address",
        ),
        (
            "",
            "[[modbus.points]]\nname = 'b'\ntable = 'holding'\naddress = 65535\ntype = 'u32'",
            "65535 is no address",
        ),
    ] {
        let got = faults(head, point);
        assert!(got.contains(words), "{head} {point}\nexpected: {words}\ngot: {got}");
        assert!(got == "none" || got.contains("p.toml:"), "no place in {got}");
    }
}

#[test]
fn all_faults_come_at_once() {
    let got = faults("max_registers = 0\ninterval_ms = 1", "scale = '0'\ndead_band = -1.0");
    assert!(got.contains("4 faults"), "{got}");
}

#[test]
fn protocol_and_section_belong_together() {
    let text = "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'mqtt'\nsources = ['s']\n[modbus]\npoints = []\n";
    let report = load("p.toml", text).unwrap_err().to_string();
    assert!(report.contains("the protocol is `mqtt`"), "{report}");
}
