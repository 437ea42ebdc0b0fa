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
fn what_can_not_work_is_refused_at_its_place() {
    let other = |rest: &str| format!("[[modbus.points]]\nname = 'b'\n{rest}");
    for (head, point, words) in [
        ("", String::new(), "none"),
        // The whole profile.
        ("max_registers = 0", String::new(), "0 registers can't be read at once"),
        ("max_registers = 126", String::new(), "126 registers"),
        ("max_bits = 2001", String::new(), "2001 bits can't be read at once"),
        ("max_write_registers = 124", String::new(), "124 registers can't be written at once"),
        ("max_in_flight = 33", String::new(), "33 requests can't be on their way at once"),
        ("max_in_flight = 0", String::new(), "expected 1 to 32"),
        ("retries = 6", String::new(), "6 retries keep the bus"),
        ("interval_ms = 1", String::new(), "1 ms can't be meant"),
        ("pause_ms = 86400001", String::new(), "86400001 ms can't be meant"),
        ("blocks = [{ table = 'holding', first = 9, last = 1 }]", String::new(), "9 to 1 is no block"),
        (
            "unreadable = [{ table = 'holding', first = 0, last = 70000 }]",
            String::new(),
            "70000 is no address",
        ),
        (
            "unreadable = [{ table = 'holding', first = 0, last = 1 }]",
            String::new(),
            "lies where nothing may be read",
        ),
        ("identity = { device_id = {} }", String::new(), "every device would fit"),
        (
            "identity = { device_id = { vendor = 'S' }, table = 'holding' }",
            String::new(),
            "an identity needs",
        ),
        ("identity = { device_id = { vendor = 'S' } }", String::new(), "none"),
        ("identity = { table = 'holding' }", String::new(), "an identity needs"),
        ("identity = {}", String::new(), "an identity needs"),
        (
            "identity = { table = 'coil', address = 1, expect = [1] }",
            String::new(),
            "an identity is a register",
        ),
        ("vars.unit = { default = 'c', choices = { f = {} } }", String::new(), "`c` is not a choice"),
        ("vars.unit = { default = 'c', choices = { c = { scale = '0' } } }", String::new(), "a scale of 0"),
        ("word_order = 'low-first'", String::new(), "word_order"),
        ("order = 'bcda'", String::new(), "bcda"),
        // Addresses.
        ("printed_base = 40001", String::new(), "1 is no address of holding registers"),
        ("printed_base = 1\nnotation = 'one-based'", String::new(), "either `notation` or `printed_base`"),
        ("notation = 'one-based'", String::new(), "none"),
        (
            "notation = 'one-based'",
            other("table = 'input'\naddress = 0\ntype = 'u16'"),
            "expected 1 to 65536",
        ),
        ("notation = 'five-digit'", String::new(), "1 is of the coils, and the table is `holding`"),
        (
            "notation = 'five-digit'",
            other("table = 'input'\naddress = 40001\ntype = 'u16'"),
            "40001 is of the holding registers, and the table is `input`",
        ),
        (
            "notation = 'five-digit'",
            other("table = 'input'\naddress = 300001\ntype = 'u16'"),
            "300001 is no address of input registers",
        ),
        (
            "notation = 'six-digit'",
            other("table = 'holding'\naddress = 40001\ntype = 'u16'"),
            "40001 is of the coils",
        ),
        ("", other("table = 'holding'\naddress = 65536\ntype = 'u16'"), "65536 is no address"),
        (
            "",
            other("table = 'holding'\naddress = 65535\ntype = 'u32'"),
            "a value of 2 registers does not fit at 65535",
        ),
        // Types.
        ("", "length = 3".into(), "only texts have a `length`"),
        ("", "bits = 2".into(), "only points of type `bits`"),
        ("", "bit = 2".into(), "only points of type `bits` or `bool`"),
        ("", "read_function = 1".into(), "function 1 does not read this table"),
        ("", other("table = 'coil'\naddress = 2\ntype = 'u16'"), "single bits"),
        ("", other("table = 'coil'\naddress = 2\ntype = 'bool'\nbit = 1"), "a coil is one bit"),
        ("", other("table = 'input'\naddress = 2\ntype = 'ascii'"), "needs its `length`"),
        (
            "max_registers = 4",
            other("table = 'input'\naddress = 2\ntype = 'utf16'\nlength = 5"),
            "a text of 5 registers",
        ),
        (
            "max_registers = 3",
            other("table = 'input'\naddress = 2\ntype = 'f64'"),
            "more registers than one request",
        ),
        ("", other("table = 'holding'\naddress = 2\ntype = 'bits'\nbit = 15\nbits = 2"), "no 2 bits"),
        ("", other("table = 'holding'\naddress = 2\ntype = 'bits'\nbits = 17"), "no 17 bits"),
        // Meaning.
        ("", "scale_var = 'unit'".into(), "there is no variable `unit`"),
        ("", "scale = '0.02'".into(), "not a fraction"),
        ("", "scale = '0'".into(), "a scale of 0"),
        ("", "unit = '°C'".into(), "write \"Cel\""),
        ("", "unit = 'kWh'".into(), "write \"kW.h\""),
        ("", "unit = 'furlong'".into(), "`furlong` is no UCUM code"),
        ("", "invalid = [0x10000]".into(), "65536 is no raw value of this type"),
        ("", "invalid = [-1]".into(), "-1 is no raw value"),
        ("", "off = [70000]".into(), "70000 is no raw value"),
        ("", "names = { a = 70000 }".into(), "70000 is no raw value"),
        ("", "names = { a = 1, b = 1 }".into(), "1 has two names: `a` and `b`"),
        ("", "valid = {}".into(), "every value is plausible"),
        ("", "valid = { min = 2.0, max = 1.0 }".into(), "min 2 is above max 1"),
        ("", "valid = { min = nan }".into(), "a limit is a number"),
        ("", "dead_band = -1.0".into(), "a dead band"),
        ("", "dead_band_percent = 101.0".into(), "a share is 0 to 100 %"),
        ("", "heartbeat_ms = 500".into(), "can't be reported every 500 ms"),
        ("", "heartbeat_ms = 1".into(), "1 ms can't be meant"),
        (
            "",
            other("table = 'input'\naddress = 2\ntype = 'ascii'\nlength = 2\nscale = '1/10'"),
            "only numbers have `scale`",
        ),
        (
            "",
            other("table = 'input'\naddress = 2\ntype = 'ascii'\nlength = 2\ninvalid = [0]"),
            "no raw values to spare",
        ),
        (
            "",
            other("table = 'input'\naddress = 2\ntype = 'f32'\nnames = { a = 1 }"),
            "only whole numbers have names",
        ),
        ("", other("table = 'coil'\naddress = 2\ntype = 'bool'\ndead_band = 1.0"), "this is on or off"),
        // Writes.
        ("", "write = { function = 5 }".into(), "function 5 can't write this point"),
        ("", "write = { function = 22 }".into(), "expected 6 or 16"),
        ("", "write = { min = 2.0, max = 1.0 }".into(), "min 2 is above max 1"),
        ("", "write = { tolerance = -1.0 }".into(), "a tolerance is a number"),
        ("", "write = { names = { a = -1 } }".into(), "-1 is no raw value"),
        ("", "wirte = {}".into(), "wirte"),
        ("", other("table = 'input'\naddress = 2\ntype = 'u16'\nwrite = {}"), "can't be written"),
        (
            "",
            other("table = 'coil'\naddress = 2\ntype = 'bool'\nwrite = { function = 6 }"),
            "expected 5 or 15",
        ),
        ("", other("table = 'holding'\naddress = 2\ntype = 'u32'\nwrite = { function = 6 }"), "expected 16"),
        (
            "",
            other("table = 'holding'\naddress = 2\ntype = 'ascii'\nlength = 2\nwrite = { min = 1.0 }"),
            "only numbers have `min`",
        ),
        (
            "max_write_registers = 1",
            other("table = 'holding'\naddress = 2\ntype = 'u32'\nwrite = {}"),
            "the write has 2 registers",
        ),
        (
            "",
            "write = { companion = [{ table = 'input', address = 3, value = 6 }] }".into(),
            "expected `holding` or `coil`",
        ),
        (
            "",
            "write = { companion = [{ table = 'coil', address = 3, value = 6 }] }".into(),
            "a coil can't be 6",
        ),
        (
            "",
            "write = { companion = [{ table = 'holding', address = 1, value = 6 }] }".into(),
            "this is the point itself",
        ),
        (
            "",
            "write = { companion = [{ table = 'holding', address = 2, value = 6, mask = 4 }] }".into(),
            "bits that the mask 0x0004 leaves out",
        ),
        (
            "",
            "write = { companion = [{ table = 'holding', address = 70000, value = 6 }] }".into(),
            "70000 is no address",
        ),
        ("", "write = { companion = { table = 'holding', address = 3, value = 6 } }".into(), "companion"),
        (
            "",
            "write = { copy_from = [{ from = { table = 'input', address = 3 }, to = 5 }] }".into(),
            "not next to the point's registers",
        ),
        (
            "",
            "write = { copy_from = [{ from = { table = 'coil', address = 3 }, to = 2 }] }".into(),
            "state is copied from registers",
        ),
        (
            "",
            "write = { copy_from = [{ from = { table = 'input', address = 3 }, to = 1 }] }".into(),
            "this is the point itself",
        ),
        (
            "",
            "write = { function = 6, copy_from = [{ from = { table = 'input', address = 3 }, to = 2 }] }"
                .into(),
            "only be copied into a block",
        ),
        (
            "",
            "write = { copy_from = [{ from = { table = 'input', address = 3 }, to = 2, mask = 0 }] }".into(),
            "no bit would be copied",
        ),
        (
            "",
            "[[modbus.points]]\nname = 'a'\ntable = 'input'\naddress = 2\ntype = 'u16'".into(),
            "point `a` is there twice",
        ),
    ] {
        let got = faults(head, &point);
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
