//! ThingsBoard's gateway, aimed at the run's broker: a stand-in answers the two questions that it asks of a server.

use super::{Publish, Site, write};
use crate::spawn::Program;
use anyhow::Context;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const STAND_IN: &str = include_str!("../../peers/thingsboard_server.py");

/// Writes its configuration, from the one that it is delivered with.
pub(super) fn prepare(site: &Site<'_>, peers: &Path) -> anyhow::Result<(Vec<Program>, Vec<Program>)> {
    let (load, folder) = (&site.load, site.folder.join("thingsboard"));
    std::fs::create_dir_all(folder.join("logs")).context("making the gateway's folder")?;
    let delivered = delivered(peers)?;
    let read = |name: &str| -> anyhow::Result<String> {
        let path = delivered.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let mut gateway: Value = serde_json::from_str(&read("tb_gateway.json")?).context("tb_gateway.json")?;
    let strategy = match load.publish {
        Publish::OnChange => json!({ "type": "ON_CHANGE" }),
        Publish::Always => json!({ "type": "ON_RECEIVED" }),
    };
    let server = &mut gateway["thingsboard"];
    server["host"] = json!("127.0.0.1");
    server["port"] = json!(site.broker);
    server["remoteConfiguration"] = json!(false);
    server["remoteShell"] = json!(false);
    server["qos"] = json!(0);
    server["security"] = json!({ "type": "accessToken", "accessToken": "bench" });
    server["statistics"]["enable"] = json!(false);
    server["reportStrategy"] = strategy.clone();
    server["maxPayloadSizeBytes"] = json!(65_536);
    server["minPackSendDelayMS"] = json!(50);
    let limits = ["", "dp", "messages", "deviceMessages", "device", "deviceDp"];
    for limit in limits {
        let name = if limit.is_empty() { "rateLimits".to_owned() } else { format!("{limit}RateLimits") };
        server[name] = json!("0:0,");
    }
    gateway["connectors"] = json!([{ "name": "bench", "type": "modbus", "configuration": "modbus.json" }]);
    write(&folder.join("tb_gateway.json"), &gateway.to_string())?;
    let logs = ["INFO", "DEBUG", "TRACE"]
        .iter()
        .fold(read("logs.json")?, |logs, level| logs.replace(&format!("\"{level}\""), "\"ERROR\""));
    write(&folder.join("logs.json"), &logs)?;
    let slaves: Vec<_> = (0..load.devices()).map(|device| slave(site, device, &strategy)).collect();
    let connector = json!({ "name": "bench", "logLevel": "ERROR", "master": { "slaves": slaves } });
    write(&folder.join("modbus.json"), &connector.to_string())?;

    let start = "from thingsboard_gateway.tb_gateway import main; main()";
    let mut program = Program::new(peers.join("thingsboard/bin/python"), ["-c", start]);
    program.variables.push(format!("TB_GW_CONFIG_DIR={}/", folder.display()).into());
    let file = site.folder.join("thingsboard_server.py");
    write(&file, STAND_IN)?;
    let stand_in = Program::new(
        peers.join("thingsboard/bin/python"),
        [file.into_os_string(), site.broker.to_string().into()],
    );
    Ok((vec![program], vec![stand_in]))
}

/// All registers of a device as one range: one request.
fn slave(site: &Site<'_>, device: usize, strategy: &Value) -> Value {
    let load = &site.load;
    let range = json!({ "tag": "r${address}", "type": "16uint", "address": format!("0-{}", load.registers - 1),
        "objectsCount": 1, "functionCode": 3, "maxRegistersPerRequest": 125 });
    json!({ "host": "127.0.0.1", "port": site.servers[device / load.units].port(), "type": "tcp",
        "method": "socket", "unitId": device % load.units + 1, "deviceName": format!("d{device}"),
        "deviceType": "default", "timeout": 1, "byteOrder": "BIG", "wordOrder": "BIG", "retries": 1,
        "retryOnEmpty": true, "retryOnInvalid": true, "pollPeriod": load.period_ms, "connectAttemptTimeMs": 500,
        "connectAttemptCount": 5, "waitAfterFailedAttemptsMs": 3000, "reportStrategy": strategy, "attributes": [],
        "timeseries": [range], "attributeUpdates": [], "rpc": [] })
}

/// The configuration that the package brings.
fn delivered(peers: &Path) -> anyhow::Result<PathBuf> {
    let lib = peers.join("thingsboard/lib");
    let folders = std::fs::read_dir(&lib).with_context(|| format!("reading {}", lib.display()))?;
    let mut found = folders
        .flatten()
        .map(|folder| folder.path().join("site-packages/thingsboard_gateway/config"))
        .filter(|path| path.is_dir());
    found.next().with_context(|| format!("no thingsboard_gateway below {}", lib.display()))
}
