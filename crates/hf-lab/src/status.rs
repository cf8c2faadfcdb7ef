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
    /// As `holdfast state -o json` says it on the node; null without a daemon that answers.
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

/// A daemon that doesn't answer in time is a state of a lab too.
fn modules(lab: &Lab, node: &str) -> serde_json::Value {
    let argv = ["holdfast", "state", "-o", "json"];
    ask(lab, node, &argv, Duration::from_secs(3))
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| serde_json::from_str(&output.stdout).ok())
        .unwrap_or_default()
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
            "bad link: {} on {}: rate {}, loss {}%\n",
            shape.machine,
            shape.lan,
            shape.rate.as_deref().unwrap_or("full"),
            shape.loss_percent.unwrap_or(0.0)
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

/// `mirror: PRIM green`, one a line, whatever of it the node tells.
fn modules_text(modules: &serde_json::Value) -> String {
    let rows = modules.get("modules").unwrap_or(modules);
    let field = |row: &serde_json::Value, name: &str| {
        row.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().escape_debug().to_string()
    };
    let lines: Vec<String> = rows
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            let name = match field(row, "module") {
                empty if empty.is_empty() => field(row, "name"),
                name => name,
            };
            format!("{name}: {} {}", field(row, "state"), field(row, "colour"))
        })
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
