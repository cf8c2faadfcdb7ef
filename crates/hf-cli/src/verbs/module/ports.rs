//! `module getports` (reference 004, 10.3.3.2.2).

use std::process::ExitCode;

use clap::Args;
use hf_types::ports;
use hf_wire::bus::{Port, Reply, Request};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// Lists the ports that other nodes must reach, for a firewall
///
/// Of a configured module those that it uses. Of an id (-i) those that any module with this id may use, also before it is
/// installed: heart UDP 8888 + (ID - 1), rfs TCP 5600 + (ID - 1) * 4, farm UDP 4803 + (ID - 1) * 3.
#[derive(Debug, Args)]
pub(crate) struct Getports {
    #[command(flatten)]
    module: ModuleArg,
    /// Of a module with this id, whatever it is
    #[arg(short = 'i', value_name = "ID", value_parser = clap::value_parser!(u32).range(1..=i64::from(ports::ID_MAX)))]
    id: Option<u32>,
}

pub(crate) async fn run(verb: Getports, output: Output) -> Result<ExitCode, CliError> {
    let ports = match verb.id {
        Some(id) => of_id(id),
        None => of_module(verb.module, output).await?,
    };
    match output {
        Output::Json => print::json(&serde_json::json!({ "ports": ports }))?,
        Output::Text => print::text(&shown(&ports))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn of_module(module: ModuleArg, output: Output) -> Result<Vec<Port>, CliError> {
    let module = module.required()?;
    let replies = admin::ask(Request::Ports { module }, output).await?.into_iter();
    let ports = replies.filter_map(|reply| match reply {
        Reply::Ports { ports } => Some(ports),
        _ => None,
    });
    Ok(ports.flatten().collect())
}

fn of_id(id: u32) -> Vec<Port> {
    vec![
        Port::new("safeadmin", "port", "UDP", ports::MEMBERSHIP),
        Port::new("webconsole", "port", "TCP", ports::CONSOLE),
        Port::new("heart", "port", "UDP", ports::heart(id)),
        Port::new("rfs", "safenfs_port", "TCP", ports::rfs(id)),
        Port::new("farm", "port", "UDP", ports::farm(id)),
    ]
}

/// The reference's layout, which scripts take apart.
fn shown(ports: &[Port]) -> String {
    let mut out = "List of the ports used by SafeKit\n\nProcess          Ports\n".to_owned();
    let mut process = "";
    for port in ports {
        if port.process != process {
            process = &port.process;
            out.push_str(&format!("{process}\n"));
        }
        out.push_str(&format!("  {:<14} {} {}\n", port.name, port.protocol, port.port));
    }
    out
}
