//! `cluster config`, `cluster confinfo` (reference 004, 9.3).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hf_wire::bus::{NodeConfinfo, Reply, Request};

use crate::admin;
use crate::args::Output;
use crate::error::CliError;
use crate::print;

/// No real cluster.xml is larger; the daemon refuses it anyway.
const MAX_BYTES: u64 = 1 << 20;

/// Configure and look at the cluster
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    Config(ClusterConfig),
    Confinfo(Confinfo),
}

/// Applies a cluster.xml on this node and makes a new key
///
/// Every node of the cluster needs the same configuration and the same key: copy SAFEVAR/cluster to the others.
#[derive(Debug, Args)]
pub(crate) struct ClusterConfig {
    /// The new cluster.xml; without it the present one stays, and only the key is new
    file: Option<PathBuf>,
}

/// Shows each node's cluster configuration: signature, when it was applied, whether it is locked
///
/// The configuration works when every node shows the same signature.
#[derive(Debug, Args)]
pub(crate) struct Confinfo {}

pub(crate) async fn run(verb: Cluster, output: Output) -> Result<ExitCode, CliError> {
    match verb {
        Cluster::Config(verb) => config(verb, output).await,
        Cluster::Confinfo(Confinfo {}) => confinfo(output).await,
    }
}

async fn config(verb: ClusterConfig, output: Output) -> Result<ExitCode, CliError> {
    let (file, xml) = match &verb.file {
        Some(path) => (path.display().to_string(), Some(read(path)?)),
        None => ("cluster.xml".to_owned(), None),
    };
    admin::order(Request::ClusterConfig { file, xml }, output).await?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<String, CliError> {
    if path.extension().is_some_and(|extension| extension == "zip") {
        return Err(CliError::NotYet("cluster config with a .zip file".to_owned()));
    }
    let unreadable = |source| CliError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MAX_BYTES {
        return Err(CliError::Usage(format!("{} has {bytes} bytes; that is no cluster.xml", path.display())));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

async fn confinfo(output: Output) -> Result<ExitCode, CliError> {
    let replies = admin::ask(Request::ClusterConfinfo, output).await?;
    let nodes: Vec<NodeConfinfo> = replies
        .into_iter()
        .filter_map(|reply| match reply {
            Reply::Confinfo { nodes } => Some(nodes),
            _ => None,
        })
        .flatten()
        .collect();
    match output {
        Output::Json => print::json(&serde_json::json!({ "nodes": nodes }))?,
        Output::Text => print::text(&print::table(&["Node", "Signature", "Date", "Lock"], nodes.iter().map(row)))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn row(node: &NodeConfinfo) -> Vec<String> {
    let name = node.node.to_string();
    if !node.heard {
        return vec![name, "(not heard)".to_owned(), String::new(), String::new()];
    }
    let date = print::local_time(node.applied_us, "%Y-%m-%dT%H:%M:%S");
    vec![name, print::clean_line(&node.signature), date, u8::from(node.locked).to_string()]
}
