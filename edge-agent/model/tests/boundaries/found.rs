//! How much a found device may tell.

use crate::house::House;
use engawa_model::*;

#[test]
fn a_found_device_may_tell_32_kib_in_all() {
    let entity = |config: usize| FoundEntity {
        kind: "sensor".into(),
        name: "heat".into(),
        problem: None,
        config: "x".repeat(config),
    };
    let told = |id: &str, config: usize| Fact::DeviceFound {
        id: id.into(),
        about: FoundAbout::default(),
        source: format!("s/{id}"),
        entities: vec![entity(config), entity(1000)],
    };
    // The source, and of each of the two: its kind, its name and what it says.
    let rest = "s/a".len() + 2 * ("sensor".len() + "heat".len()) + 1000;
    let mut house = House::new();
    house.fact(told("a", 32 * 1024 - rest)).fact(told("b", 32 * 1024 - rest + 1));
    assert_eq!((house.property.found().len(), house.counted("found-too-large")), (1, 1));
    assert!(house.property.found().contains_key(&"a".into()));
}
