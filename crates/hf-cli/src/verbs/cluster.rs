//! `cluster ...` (reference 004, 9.3).

mod file;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use hf_wire::bus::{ClusterKeySource, ClusterModule, ClusterOrder, NodeConfinfo, Reply, Request};

use crate::admin;
use crate::args::Output;
use crate::error::CliError;
use crate::print;

/// Configure and look at the cluster
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    Config(ClusterConfig),
    Confcheck(ClusterConfcheck),
    Confinfo(Confinfo),
    Deconfig(ClusterDeconfig),
    State(ClusterState),
    Genkey(Genkey),
    Delkey(Delkey),
    Resolve(Resolve),
}

/// Applies a cluster.xml on this node and makes a new key
///
/// Every node of the cluster needs the same configuration and the same key: copy SAFEVAR/cluster to the others, or a zip file with
/// cluster.xml and cluster.key, which this command takes too. Modules that run go on; what can't is named, and nothing is changed then.
#[derive(Debug, Args)]
pub(crate) struct ClusterConfig {
    /// The new cluster.xml, or a cluster.zip with cluster.xml and cluster.key; without it the present configuration stays, and only the
    /// key is new
    file: Option<PathBuf>,
    /// lock: no other configuration is taken from now on; unlock: take this one, and others. Alone they change nothing else
    #[arg(value_parser = PossibleValuesParser::new(["lock", "unlock"]))]
    lock: Option<String>,
    /// No key: everybody on the networks can read and forge what the nodes say
    #[arg(long)]
    insecure_plaintext: bool,
}

/// Checks a cluster.xml without applying it
///
/// Exit code 1 if `cluster config` would refuse it. Names in it are not looked up.
#[derive(Debug, Args)]
pub(crate) struct ClusterConfcheck {
    /// The cluster.xml
    file: PathBuf,
}

/// Shows each node's cluster configuration: signature, when it was applied, whether it is locked
///
/// The configuration works when every node shows the same signature.
#[derive(Debug, Args)]
pub(crate) struct Confinfo {}

/// Removes the cluster configuration and the key from this node
///
/// Refused while modules run.
#[derive(Debug, Args)]
pub(crate) struct ClusterDeconfig {}

/// Shows which modules are configured on which node: mode, id, date and signature of the configuration
///
/// A module is configured alike on both nodes if both lines show the same signature.
#[derive(Debug, Args)]
pub(crate) struct ClusterState {}

/// Makes a new key for the present configuration
///
/// The other nodes need it too. Modules that run go on: the key before is good until every node has the new one.
#[derive(Debug, Args)]
pub(crate) struct Genkey {}

/// Takes the key away: only with --insecure-plaintext
///
/// Refused while modules run. Every display of states says that there is no key.
#[derive(Debug, Args)]
pub(crate) struct Delkey {
    /// I know that everybody on the networks can then read and forge what the nodes say
    #[arg(long)]
    insecure_plaintext: bool,
}

/// Looks up the names in cluster.xml again
///
/// A name without an answer keeps the address it had. Running modules go by new addresses at once.
#[derive(Debug, Args)]
pub(crate) struct Resolve {}

pub(crate) async fn run(verb: Cluster, output: Output) -> Result<ExitCode, CliError> {
    match verb {
        Cluster::Config(verb) => config(verb, output).await,
        Cluster::Confcheck(ClusterConfcheck { file }) => confcheck(file, output).await,
        Cluster::Confinfo(Confinfo {}) => confinfo(output).await,
        Cluster::Deconfig(ClusterDeconfig {}) => order(ClusterOrder::Deconfig, output).await,
        Cluster::State(ClusterState {}) => state(output).await,
        Cluster::Genkey(Genkey {}) => order(ClusterOrder::Genkey, output).await,
        Cluster::Delkey(Delkey { insecure_plaintext: true }) => order(ClusterOrder::Delkey, output).await,
        Cluster::Delkey(Delkey { insecure_plaintext: false }) => Err(CliError::Usage(
            "without a key everybody on the networks can read and forge what the nodes say; if that is what you want: \
             holdfast cluster delkey --insecure-plaintext"
                .to_owned(),
        )),
        Cluster::Resolve(Resolve {}) => order(ClusterOrder::Resolve, output).await,
    }
}

async fn order(order: ClusterOrder, output: Output) -> Result<ExitCode, CliError> {
    admin::order(Request::Cluster(order), output).await?;
    Ok(ExitCode::SUCCESS)
}

async fn config(verb: ClusterConfig, output: Output) -> Result<ExitCode, CliError> {
    let (path, word) = match (verb.file, verb.lock) {
        // "lock" alone is the word, not a file.
        (Some(file), None) if file.as_os_str() == "lock" || file.as_os_str() == "unlock" => {
            (None, Some(file.display().to_string()))
        }
        other => other,
    };
    let lock = word.map(|word| word == "lock");
    let (file, xml, mut key) = match &path {
        Some(path) => {
            let read = file::read(path)?;
            (path.display().to_string(), Some(read.xml), read.key)
        }
        None if lock.is_some() => ("cluster.xml".to_owned(), None, ClusterKeySource::Keep),
        None => ("cluster.xml".to_owned(), None, ClusterKeySource::Fresh),
    };
    if verb.insecure_plaintext {
        if matches!(key, ClusterKeySource::Given(_)) {
            return Err(CliError::Usage("the zip file has a key: leave --insecure-plaintext out".to_owned()));
        }
        key = ClusterKeySource::InsecurePlaintext;
    }
    admin::order(Request::ClusterConfig { file, xml, key, lock }, output).await?;
    Ok(ExitCode::SUCCESS)
}

async fn confcheck(path: PathBuf, output: Output) -> Result<ExitCode, CliError> {
    let file = path.display().to_string();
    let xml = file::read(&path)?.xml;
    admin::order(Request::Cluster(ClusterOrder::Confcheck { file: file.clone(), xml }), output).await?;
    if output == Output::Text {
        print::text(&format!("{} has no errors.\n", print::clean_line(&file)))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn state(output: Output) -> Result<ExitCode, CliError> {
    let replies = admin::ask(Request::Cluster(ClusterOrder::State), output).await?;
    let insecure = admin::is_insecure(&replies);
    let modules = replies.into_iter().filter_map(|reply| match reply {
        Reply::ClusterState { modules } => Some(modules),
        _ => None,
    });
    let modules: Vec<ClusterModule> = modules.flatten().collect();
    let head = ["Node", "Module", "Mode", "Id", "Date", "Signature"];
    match output {
        Output::Json => print::json(&serde_json::json!({ "modules": modules, "insecure": insecure }))?,
        Output::Text if modules.is_empty() => print::text("No module is configured.\n")?,
        Output::Text => print::text(&print::table(&head, modules.iter().map(module_row)))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn module_row(line: &ClusterModule) -> Vec<String> {
    let node = if line.heard { line.node.to_string() } else { format!("{} (not heard)", line.node) };
    let date = print::local_time(line.applied_s.saturating_mul(1_000_000), "%Y-%m-%dT%H:%M:%S");
    let (mode, signature) = (print::clean_line(&line.mode), print::clean_line(&line.signature));
    vec![node, line.module.to_string(), mode, line.id.to_string(), date, signature]
}

async fn confinfo(output: Output) -> Result<ExitCode, CliError> {
    let replies = admin::ask(Request::ClusterConfinfo, output).await?;
    let insecure = admin::is_insecure(&replies);
    let nodes: Vec<NodeConfinfo> = replies
        .into_iter()
        .filter_map(|reply| match reply {
            Reply::Confinfo { nodes } => Some(nodes),
            _ => None,
        })
        .flatten()
        .collect();
    match output {
        Output::Json => print::json(&serde_json::json!({ "nodes": nodes, "insecure": insecure }))?,
        Output::Text => {
            print::text(&print::table(&["Node", "Signature", "Date", "Lock"], nodes.iter().map(row)))?;
            print::progress(verdict(&nodes));
        }
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

/// Beside the table, on standard error: scripts read the table.
fn verdict(nodes: &[NodeConfinfo]) -> &'static str {
    let heard: Vec<&NodeConfinfo> = nodes.iter().filter(|node| node.heard).collect();
    let alike = heard.windows(2).all(|pair| pair[0].signature == pair[1].signature);
    match (alike, heard.len() == nodes.len()) {
        _ if nodes.len() < 2 => "This node belongs to no cluster yet: holdfast cluster config FILE",
        (true, true) => "All nodes have the same configuration.",
        (true, false) => {
            "A node is not heard: it is down, or has another configuration or key. Compare with 'holdfast cluster confinfo' there."
        }
        (false, _) => {
            "The nodes have different configurations: apply the same cluster.xml and cluster.key on all of them."
        }
    }
}
