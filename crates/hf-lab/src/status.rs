//! `holdfast lab status`.

use std::time::Duration;

use serde::Serialize;

use crate::addr;
use crate::cgroup::Cgroup;
use crate::disk::control::{Ask, Report, ask as ask_disk};
use crate::enter::ask;
use crate::error::{LabError, Result};
use crate::state::{DiskKind, Drop, Lab, Shape};

/// One cable.
#[derive(Debug, Serialize)]
pub struct Cable {
    pub lan: String,
    pub interface: String,
    pub ipv4: String,
    pub ipv6: String,
    /// Not pulled by `unplug`.
    pub plugged: bool,
    /// What the machine sees.
    pub carrier: bool,
}

/// One machine.
#[derive(Debug, Serialize)]
pub struct MachineStatus {
    pub name: String,
    /// `on`, `off` or `frozen`.
    pub power: &'static str,
    pub boot_id: Option<String>,
    pub cables: Vec<Cable>,
    /// `volatile`, `fast` or `none`.
    pub disk: &'static str,
    pub disk_report: Option<Report>,
    /// The node's own rows of `holdfast state -o json`; null without a daemon that answers.
    pub modules: serde_json::Value,
}

/// The whole lab.
#[derive(Debug, Serialize)]
pub struct LabStatus {
    pub name: String,
    pub machines: Vec<MachineStatus>,
    pub partitions: Vec<Drop>,
    pub shapes: Vec<Shape>,
}

/// Looks at everything.
pub fn look(lab: &Lab) -> Result<LabStatus> {
    let machines: Result<Vec<_>> = lab.machines().map(|m| look_at(lab, m)).collect();
    Ok(LabStatus {
        name: lab.name.clone(),
        machines: machines?,
        partitions: lab.drops.iter().cloned().collect(),
        shapes: lab.shapes.clone(),
    })
}

fn look_at(lab: &Lab, name: &str) -> Result<MachineStatus> {
    let state = lab.machine(name)?;
    let alive = state.alive().is_some();
    let frozen = Cgroup::lab(&lab.name)?.child(name).is_frozen();
    let power = match (alive, frozen) {
        (true, true) => "frozen",
        (true, false) => "on",
        (false, _) => "off",
    };
    let host = addr::number(name).unwrap_or_default();
    let cables = lab.lans.iter().enumerate().map(|(card, lan)| Cable {
        lan: lan.name.clone(),
        interface: format!("eth{card}"),
        ipv4: addr::v4(lan.number, host).to_string(),
        ipv6: addr::v6(lan.number, host).to_string(),
        plugged: !state.unplugged.contains(&lan.name),
        carrier: lan.carrier(name),
    });
    let is_node = name != addr::CLIENT;
    let disk = match lab.disk {
        _ if !is_node => "none",
        DiskKind::Volatile => "volatile",
        DiskKind::Fast => "fast",
    };
    let disk_report =
        (alive && disk == "volatile").then(|| ask_disk(&lab.paths().disk_socket(name), &Ask::Report).ok()).flatten();
    Ok(MachineStatus {
        name: name.to_owned(),
        power,
        boot_id: alive.then_some(state.boot_id),
        cables: cables.collect(),
        disk,
        disk_report,
        modules: if is_node && lab.daemon && power == "on" { modules(lab, name) } else { serde_json::Value::Null },
    })
}

/// What the node says of its own modules. A daemon that doesn't answer in time is a state of a lab too.
fn modules(lab: &Lab, node: &str) -> serde_json::Value {
    let argv = ["holdfast", "state", "-o", "json"];
    let answer = ask(lab, node, &argv, Duration::from_secs(3));
    let told: Option<serde_json::Value> = answer
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| serde_json::from_str(&output.stdout).ok());
    let Some(serde_json::Value::Array(rows)) = told.and_then(|mut v| v.get_mut("modules").map(serde_json::Value::take))
    else {
        return serde_json::Value::Null;
    };
    rows.into_iter().filter(|row| row["node"] == node).collect()
}

pub fn to_json(status: &LabStatus) -> Result<String> {
    serde_json::to_string_pretty(status).map_err(|e| LabError::Failed(format!("printing the status: {e}")))
}

/// As a table for people.
pub fn to_text(status: &LabStatus) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["MACHINE", "POWER", "DISK", "CABLES", "MODULES"]);
    for machine in &status.machines {
        let cables: Vec<String> = machine.cables.iter().map(cable_text).collect();
        let disk = match &machine.disk_report {
            Some(report) => format!("{} ({} KiB unflushed)", machine.disk, report.unflushed_bytes >> 10),
            None => machine.disk.to_owned(),
        };
        table.add_row([
            machine.name.clone(),
            machine.power.to_owned(),
            disk,
            cables.join("\n"),
            modules_text(&machine.modules),
        ]);
    }
    let mut text = format!("lab {}\n{table}\n", status.name);
    for drop in &status.partitions {
        text += &format!("partition: {} to {} dropped on {}\n", drop.from, drop.to, drop.lan);
    }
    for shape in &status.shapes {
        text += &format!(
            "bad link: {} on {}: rate {}, loss {}%, delay {}\n",
            shape.machine,
            shape.lan,
            shape.rate.as_deref().unwrap_or("full"),
            shape.loss_percent.unwrap_or(0.0),
            shape.delay.as_deref().unwrap_or("none")
        );
    }
    text
}

fn cable_text(cable: &Cable) -> String {
    let state = match (cable.plugged, cable.carrier) {
        (false, _) => " (unplugged)",
        (true, false) => " (no carrier)",
        (true, true) => "",
    };
    format!("{} {} {}{state}", cable.lan, cable.interface, cable.ipv4)
}

/// `mirror: PRIM green`, one a line.
fn modules_text(modules: &serde_json::Value) -> String {
    let Some(rows) = modules.as_array() else {
        return String::new();
    };
    let field = |row: &serde_json::Value, name: &str| {
        let text = row[name].as_str().unwrap_or_default();
        text.escape_debug().to_string()
    };
    let lines: Vec<String> = rows
        .iter()
        .map(|row| format!("{}: {} {}", field(row, "module"), field(row, "state"), field(row, "colour")))
        .collect();
    lines.join("\n")
}

/// What `up` says at its end.
pub fn greet(lab: &Lab, took: Duration) {
    println!(
        "lab {}: {} and client are up on {} ({:.1} s)",
        lab.name,
        lab.nodes.join(", "),
        lab.lans.iter().map(|l| l.name.as_str()).collect::<Vec<_>>().join(", "),
        took.as_secs_f64()
    );
}
