//! The commands log: a line when a command that changes something begins, one when it has ended (reference 004, 10.9).

use super::Failure;
use crate::credentials::Client;
use hf_host::clock::wall_us;
use hf_store::Store;
use hf_types::{CommandLine, ErrdOrder, ModuleName};
use hf_wire::bus::{ClusterOrder, Reply, Request, RfsOrder};

/// A command that is under way.
pub(super) struct Record {
    module: Option<String>,
    pid: u32,
    words: String,
    by: String,
}

impl Record {
    /// Writes the first line; none for commands that only look.
    pub(super) fn begin(request: &Request, client: &Client, store: &Store) -> Option<Record> {
        let (module, mut words) = words(request)?;
        if let Some(module) = module {
            words.push_str(&format!(" -m {module}"));
        }
        let by = client.to_string();
        let module = module.map(ToString::to_string);
        let record = Record { module, pid: client.pid, words, by };
        let by = if record.by == "root" { String::new() } else { format!(" -u {}", record.by) };
        store.add_command(record.line("safekit", record.module.clone(), "START", format!("{}{by}", record.words)));
        Some(record)
    }

    /// Writes the last line, and before it why the command failed.
    pub(super) fn end(self, result: &Result<Vec<Reply>, Failure>, store: &Store) {
        let (code, outcome) = match result {
            Ok(_) => (0, "ok"),
            Err(failure) => (1, failure.message.as_str()),
        };
        tracing::info!(command = %self.words, by = %self.by, outcome, "command");
        if code != 0 {
            store.add_command(self.line("safekit", self.module.clone(), "E", outcome.replace('\n', " ")));
        }
        store.add_command(self.line("", None, "END", code.to_string()));
    }

    fn line(&self, kind: &str, module: Option<String>, what: &str, text: String) -> CommandLine {
        CommandLine { at_us: wall_us(), kind: kind.to_owned(), module, pid: self.pid, what: what.to_owned(), text }
    }
}

/// The module, and the words as on a command line.
fn words(request: &Request) -> Option<(Option<&ModuleName>, String)> {
    Some(match request {
        Request::ClusterConfig { file, .. } => (None, format!("cluster config {file}").trim_end().to_owned()),
        Request::Cluster(
            order @ (ClusterOrder::Deconfig | ClusterOrder::Genkey | ClusterOrder::Delkey | ClusterOrder::Resolve),
        ) => (None, format!("cluster {order:?}").to_lowercase()),
        Request::ModuleInstall { module, package, reinstall, id } => {
            let id = id.map(|id| format!("-M {id} ")).unwrap_or_default();
            let again = if *reinstall { "-r " } else { "" };
            (module.as_ref(), format!("module install {id}{again}{package}"))
        }
        Request::ModuleKey { module, generate } => {
            (Some(module), format!("module {}", if *generate { "genkey" } else { "delkey" }))
        }
        Request::ModuleUninstall { module } => (Some(module), "module uninstall".to_owned()),
        Request::Config { module, dry_run: false } => (Some(module), "config".to_owned()),
        Request::Config { module, dry_run: true } => (Some(module), "config --dry-run".to_owned()),
        Request::Deconfig { module } => (Some(module), "deconfig".to_owned()),
        Request::Control { module, command, by } if by.is_detector() => (Some(module), format!("{command} -i {by}")),
        Request::Control { module, command, .. } => (Some(module), command.to_string()),
        Request::Set { module, assignment } => {
            (Some(module), format!("set -r {} -v {} -i {}", assignment.name, assignment.value, assignment.by))
        }
        Request::Errd { order: ErrdOrder::List, .. } => return None,
        Request::Errd { module, order, .. } => (Some(module), order.to_string()),
        Request::Rfssync { set: None, .. } => return None,
        Request::Rfssync { module, set: Some(policy), .. } => (Some(module), format!("rfssync {policy}")),
        Request::Shutdown => (None, "shutdown".to_owned()),
        Request::Boot { module, set: Some(on) } => {
            (module.as_ref(), format!("boot {}", if *on { "on" } else { "off" }))
        }
        Request::Dump { module } => (Some(module), "dump".to_owned()),
        Request::Rfs { module, order: RfsOrder::Verify } => (Some(module), "rfsverify".to_owned()),
        Request::Rfs { module, order: RfsOrder::Diff } => (Some(module), "rfsdiff".to_owned()),
        Request::Clean { module, what } => (Some(module), format!("clean {what}")),
        Request::Boot { set: None, .. }
        | Request::ClusterConfinfo
        | Request::Cluster(ClusterOrder::Confcheck { .. } | ClusterOrder::State)
        | Request::Confcheck { .. }
        | Request::ModuleScript { .. }
        | Request::State { .. }
        | Request::Log { .. }
        | Request::LogFollow { .. }
        | Request::Print { .. }
        | Request::Commands { .. }
        | Request::ResourceHistory { .. }
        | Request::Modules
        | Request::Ports { .. }
        | Request::ModuleInfo { .. }
        | Request::Waitstart { .. }
        | Request::Waitstate { .. } => return None,
    })
}
