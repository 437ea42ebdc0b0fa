//! Node-RED: a reading node for each device, a filter node ("report by exception"), one node that publishes.

use super::{Publish, Site, write};
use crate::spawn::Program;
use serde_json::{Value, json};
use std::path::Path;

/// Writes flows and settings.
pub(super) fn prepare(site: &Site<'_>, peers: &Path) -> anyhow::Result<Program> {
    let home = peers.join("node-red");
    let (flows, settings) = (site.folder.join("flows.json"), site.folder.join("settings.js"));
    write(&flows, &Value::from(nodes(site)).to_string())?;
    let object = json!({
        "uiHost": "127.0.0.1", "uiPort": 0, "httpAdminRoot": false, "httpNodeRoot": false, "disableEditor": true,
        "userDir": home, "flowFile": flows, "credentialSecret": false, "telemetry": { "enabled": false },
        "logging": { "console": { "level": "warn", "metrics": false, "audit": false } },
    });
    write(&settings, &format!("module.exports = {object};\n"))?;
    let red = home.join("node_modules/node-red/red.js");
    Ok(Program::new("node", [red.into_os_string(), "-s".into(), settings.into_os_string()]))
}

fn nodes(site: &Site<'_>) -> Vec<Value> {
    let load = &site.load;
    let mut all = vec![
        json!({ "id": "tab", "type": "tab", "label": "bench" }),
        json!({ "id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": site.broker.to_string(),
            "clientid": "", "autoConnect": true, "usetls": false, "protocolVersion": "4", "keepalive": "60",
            "cleansession": true }),
        json!({ "id": "out", "type": "mqtt out", "z": "tab", "topic": "", "qos": "0", "retain": "false",
            "broker": "broker", "wires": [] }),
        json!({ "id": "filter", "type": "rbe", "z": "tab", "func": "rbe", "gap": "", "start": "", "inout": "out",
            "septopics": true, "property": "payload", "topi": "topic", "wires": [["out"]] }),
    ];
    let next = match load.publish {
        Publish::OnChange => "filter",
        Publish::Always => "out",
    };
    for (n, server) in site.servers.iter().enumerate() {
        all.push(json!({ "id": format!("client{n}"), "type": "modbus-client", "name": format!("bus {n}"),
            "clienttype": "tcp", "bufferCommands": true, "stateLogEnabled": false, "queueLogEnabled": false,
            "failureLogEnabled": false, "tcpHost": "127.0.0.1", "tcpPort": server.port().to_string(),
            "tcpType": "DEFAULT", "unit_id": "1", "commandDelay": "1", "clientTimeout": "1000",
            "reconnectOnTimeout": true, "reconnectTimeout": "2000", "parallelUnitIdsAllowed": true,
            "showErrors": false, "showWarnings": false, "showLogs": false }));
        for unit in 1..=load.units {
            all.push(json!({ "id": format!("read{n}x{unit}"), "type": "modbus-read", "z": "tab",
                "name": format!("b{n}u{unit}"), "topic": format!("nodered/{n}/{unit}"), "unitid": unit.to_string(),
                "dataType": "HoldingRegister", "adr": "0", "quantity": load.registers.to_string(),
                "rate": load.period_ms.to_string(), "rateUnit": "ms", "delayOnStart": false, "startDelayTime": "",
                "server": format!("client{n}"), "useIOFile": false, "ioFile": "", "useIOForPayload": false,
                "emptyMsgOnFail": false, "showStatusActivities": false, "showErrors": false,
                "showWarnings": false, "wires": [[next], []] }));
        }
    }
    all
}
