//! A gateway with two ways out of the house, Ethernet and LTE: the connection moves with the route, and what goes over LTE
//! is counted. Network namespaces make the two; without the right to make any the test says so and ends.

use crate::stand::{Cloud, Gateway, LONGEST};
use anyhow::Context;
use engawa_stage::process;
use engawa_stage::wait;
use std::path::Path;

fn ip(words: &str) -> anyhow::Result<String> {
    process::run(Path::new("ip"), words.split(' ').map(str::to_owned)).with_context(|| format!("ip {words}"))
}

/// The house's network and the world's, and two cables between them.
struct Nets {
    house: String,
    world: String,
}

impl Nets {
    fn new() -> anyhow::Result<Self> {
        let id = std::process::id();
        let nets = Self { house: format!("engawa-house-{id}"), world: format!("engawa-world-{id}") };
        ip(&format!("netns add {}", nets.house))?;
        ip(&format!("netns add {}", nets.world))?;
        let Self { house, world } = &nets;
        for (n, name) in [(1, "eth0"), (2, "wwan0")] {
            ip(&format!("link add {name} netns {house} type veth peer name w{n} netns {world}"))?;
            ip(&format!("-n {house} address add 10.77.{n}.2/24 dev {name}"))?;
            ip(&format!("-n {world} address add 10.77.{n}.1/24 dev w{n}"))?;
            ip(&format!("-n {house} link set {name} up"))?;
            ip(&format!("-n {world} link set w{n} up"))?;
        }
        for net in [house, world] {
            ip(&format!("-n {net} link set lo up"))?;
        }
        ip(&format!("-n {world} address add 10.77.9.1/32 dev lo"))?;
        ip(&format!("-n {house} route add default via 10.77.2.1 dev wwan0 metric 700"))?;
        nets.plug()?;
        Ok(nets)
    }

    /// The Ethernet cable is in.
    fn plug(&self) -> anyhow::Result<()> {
        ip(&format!("-n {} link set eth0 up", self.house))?;
        ip(&format!("-n {} route add default via 10.77.1.1 dev eth0 metric 100", self.house)).map(drop)
    }

    /// It is pulled.
    fn pull(&self) -> anyhow::Result<()> {
        ip(&format!("-n {} link set eth0 down", self.house)).map(drop)
    }
}

impl Drop for Nets {
    fn drop(&mut self) {
        for net in [&self.house, &self.world] {
            // One that was not made needs no removal.
            let _ = ip(&format!("netns delete {net}"));
        }
    }
}

#[test]
fn the_connection_moves_from_ethernet_to_lte_and_back_and_lte_is_counted() {
    let nets = match Nets::new() {
        Ok(nets) => nets,
        Err(error) => {
            eprintln!("no network namespaces of our own: the change of the uplink is left out ({error:#})");
            return;
        }
    };
    let folder = tempfile::Builder::new().prefix("engawa-uplink-").tempdir().unwrap();
    let folder = folder.path();
    let cloud = Cloud::open_at(folder, "10.77.9.1:8443".parse().unwrap(), Some(&nets.world), &[]).unwrap();
    let lines = "address = \"10.77.9.1:8443\"\nmetered = { interface = \"wwan0\", bytes_per_day = 25000 }";
    let mut house = Gateway::new(folder, "box", lines).unwrap().within(&nets.house);
    house.enroll(&cloud.claim("g1").unwrap(), &[]).unwrap();
    house.start().unwrap();
    house.until_up(0).unwrap();
    cloud.talks_to("g1", "over Ethernet").unwrap();
    let used = |house: &Gateway| -> u64 {
        let text = house.file("line.metered").unwrap_or_default();
        text.trim_end().split_once(' ').map_or(0, |(_, bytes)| bytes.parse().unwrap())
    };
    assert_eq!(used(&house), 0, "Ethernet costs nothing");

    nets.pull().unwrap();
    house.until_said("the connection goes on from a new port", 1).unwrap();
    cloud.talks_to("g1", "over LTE").unwrap();
    wait::until("LTE to be counted", LONGEST, || Ok((used(&house) > 0).then_some(()))).unwrap();
    // Commands and their outcomes use the budget up; they go on all the same, only telemetry waits.
    let mut sent = 0;
    wait::until("the budget to be used up", LONGEST, || {
        cloud.talks_to("g1", &format!("over LTE {sent}"))?;
        sent += 1;
        Ok((house.says("has used its budget of the day")? > 0).then_some(()))
    })
    .unwrap();
    cloud.talks_to("g1", "past the budget").unwrap();

    nets.plug().unwrap();
    house.until_said("the connection goes on from a new port", 2).unwrap();
    cloud.talks_to("g1", "over Ethernet again").unwrap();
    house.until_said("telemetry goes on", 1).unwrap();
    // All of it on one connection.
    assert_eq!(house.ups().unwrap(), 1, "{}", house.log().unwrap());
    assert_eq!(cloud.serving.output().unwrap().matches("a gateway is connected").count(), 1);
}
