//! `state` (reference 004, 9.5).

use std::process::ExitCode;

use clap::Args;
use hf_types::catalogue::Class;
use hf_types::{ModuleName, ModuleState, NodeName, Resource, ResourceName, Script};
use hf_wire::bus::{ModuleStatus, Reply, Request, SyncProgress};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::exit::CANT_SAY;
use crate::paths::Paths;
use crate::print;

/// Shows the state of all modules, or of one, on every node that is heard
///
/// The state of this node comes first; under the table stands why a module waits or goes on alone, and what to do. With -lq, nothing but this node's state is printed, and the exit code says it
/// too: STOP 0, WAIT 1, ALONE or UP 2, PRIM 3, SECOND 4; 255 if this node can't say (no daemon, no such module).
#[derive(Debug, Args)]
pub(crate) struct State {
    #[command(flatten)]
    module: ModuleArg,
    /// What the module's resources were before, the newest last; with -r of one of them
    #[arg(long, conflicts_with_all = ["local", "quiet"])]
    history: bool,
    /// Which resource's history
    #[arg(short, value_name = "CLASS.ID", requires = "history")]
    resource: Option<ResourceName>,
    /// How many values of the history
    #[arg(short = 's', value_name = "NB", default_value_t = 300, requires = "history")]
    last: u32,
    /// Also the module's resources, and the progress of a synchronisation
    #[arg(short)]
    verbose: bool,
    /// For scripts, together with -q
    #[arg(short)]
    local: bool,
    /// For scripts, together with -l
    #[arg(short)]
    quiet: bool,
}

impl State {
    /// For scripts: one word, and an exit code.
    pub(super) fn is_one_word(&self) -> bool {
        self.local && self.quiet
    }
}

pub(crate) async fn run(verb: State, output: Output) -> Result<ExitCode, CliError> {
    let one_word = verb.is_one_word();
    let module = verb.module.optional()?;
    if one_word {
        let Some(module) = module else {
            print::error(&which("-lq is about one"));
            return Ok(ExitCode::from(CANT_SAY));
        };
        return Ok(local_state(module).await);
    }
    if verb.history {
        let module = module.ok_or_else(|| which("a history is about one"))?;
        return history(Request::ResourceHistory { module, name: verb.resource, last: verb.last }, output).await;
    }
    let Answer { modules, insecure, .. } = ask(module.clone(), output).await?;
    let said = match module {
        Some(module) if verb.verbose && has_script(&module) => {
            super::level::said(module, Script::State, output).await?
        }
        _ => String::new(),
    };
    match output {
        Output::Json => {
            print::json(
                &serde_json::json!({ "modules": with_readiness(&modules)?, "said": said, "insecure": insecure }),
            )?;
        }
        Output::Text => {
            print::text(&shown(&modules, verb.verbose))?;
            if !said.is_empty() {
                print::text(&format!("\nIts script state says:\n{said}"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Most modules have none; then nobody is asked.
fn has_script(module: &ModuleName) -> bool {
    let applied = Paths::from_environment().safe.join("private/modules").join(module.as_str());
    applied.join("bin").join(Script::State.as_str()).exists()
}

fn which(why: &str) -> CliError {
    CliError::Usage(format!("which module? {why}: name it with -m AM"))
}

/// What the daemon says of states.
#[derive(Default)]
pub(super) struct Answer {
    /// The node that answers.
    pub me: Option<NodeName>,
    /// The modules of all nodes.
    pub modules: Vec<ModuleStatus>,
    /// The cluster has no key.
    pub insecure: bool,
}

pub(super) async fn ask(module: Option<ModuleName>, output: Output) -> Result<Answer, CliError> {
    let replies = admin::ask(Request::State { module }, output).await?;
    let mut answer = Answer { insecure: admin::is_insecure(&replies), ..Answer::default() };
    for reply in replies {
        if let Reply::State { modules, me } = reply {
            answer.modules.extend(modules);
            answer.me = me;
        }
    }
    Ok(answer)
}

/// For scripts: one word and its exit code, or why not and a code that no state has.
async fn local_state(module: ModuleName) -> ExitCode {
    let state = ask(Some(module.clone()), Output::Text).await.and_then(|Answer { me, modules, .. }| {
        let own = modules.iter().find(|status| Some(&status.node) == me.as_ref());
        let own = own.ok_or_else(|| CliError::Refused {
            message: format!("the module {module} is not configured on this node"),
            hint: Some(format!("holdfast config -m {module}")),
            exit_code: CANT_SAY,
        })?;
        print::text(&format!("{}\n", own.state))?;
        Ok(own.state)
    });
    ExitCode::from(match state {
        Ok(ModuleState::Stop) => 0,
        Ok(ModuleState::Wait) => 1,
        Ok(ModuleState::Alone | ModuleState::Up) => 2,
        Ok(ModuleState::Prim) => 3,
        Ok(ModuleState::Second) => 4,
        Ok(ModuleState::Unknown) => CANT_SAY,
        Err(error) => {
            print::error(&error);
            CANT_SAY
        }
    })
}

async fn history(request: Request, output: Output) -> Result<ExitCode, CliError> {
    let replies = admin::ask(request, output).await?.into_iter();
    let values = replies.filter_map(|reply| match reply {
        Reply::ResourceHistory { values } => Some(values),
        _ => None,
    });
    let values: Vec<Resource> = values.flatten().collect();
    match output {
        Output::Json => print::json(&serde_json::json!({ "history": values }))?,
        Output::Text => print::text(&values.iter().map(|value| value.shown(&since(value))).collect::<String>())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// When a resource took its value; empty where nobody knows.
fn since(resource: &Resource) -> String {
    if resource.at_us == 0 {
        return String::new();
    }
    print::local_time(resource.at_us, "%Y-%m-%d %H:%M:%S")
}

fn shown(modules: &[ModuleStatus], verbose: bool) -> String {
    if modules.is_empty() {
        return "No module is installed.\n".to_owned();
    }
    let mut together: Vec<&ModuleStatus> = modules.iter().collect();
    // Stable: this node stays first in each module.
    together.sort_by_key(|status| &status.module);
    let mut out = print::table(&["Module", "Node", "State"], together.into_iter().map(row));
    for module in modules {
        out.push_str(&reason(module));
        if verbose {
            out.push_str(&details(module));
        }
    }
    out
}

/// Why it is as it is and what to do, where there is something to say (reference 004, 7.9 and 7.13).
fn reason(status: &ModuleStatus) -> String {
    let said =
        status.why.as_ref().map(|why| format!("\n{} on {}: {}\n", status.module, status.node, print::clean_line(why)));
    said.unwrap_or_default()
}

fn row(status: &ModuleStatus) -> Vec<String> {
    let state = format!("{} ({}) {}", status.state, status.colour, status.colour.readiness());
    vec![status.module.to_string(), status.node.to_string(), print::coloured(&state, status.colour)]
}

/// As the daemon said it, with the word that newer versions of the reference have for a colour.
fn with_readiness(modules: &[ModuleStatus]) -> Result<Vec<serde_json::Value>, CliError> {
    let one = |status: &ModuleStatus| {
        let mut value = serde_json::to_value(status)?;
        value["readiness"] = status.colour.readiness().into();
        Ok(value)
    };
    modules.iter().map(one).collect()
}

fn details(status: &ModuleStatus) -> String {
    let mut out = String::new();
    if let Some(sync) = &status.sync {
        out.push_str(&format!("\n{}\n", progress(sync)));
    }
    if !status.resources.is_empty() {
        out.push('\n');
        out.push_str(&print::table(&["Resource", "Value", "Since", "Set by"], resources(&status.resources)));
    }
    out
}

/// In the groups of the catalogue, each group in the order of names.
fn resources(all: &[Resource]) -> impl Iterator<Item = Vec<String>> {
    let mut all: Vec<&Resource> = all.iter().collect();
    all.sort_by_key(|resource| (Class::of_name(&resource.name).map(Class::group), &resource.name));
    all.into_iter().map(|resource| {
        let value = print::clean_line(&resource.value.to_string());
        vec![print::clean_line(&resource.name), value, since(resource), print::clean_line(&resource.by)]
    })
}

/// Compared, sent, rate and the time that is left if it goes on like this.
fn progress(sync: &SyncProgress) -> String {
    let percent = (sync.bytes_done * 100).checked_div(sync.bytes_total).unwrap_or(0);
    let rate = (sync.bytes_done * 1000).checked_div(sync.elapsed_ms).unwrap_or(0);
    let left = sync.bytes_total.saturating_sub(sync.bytes_done).checked_div(rate);
    let left = left.map_or_else(String::new, |seconds| format!(", about {seconds} s left"));
    format!(
        "Synchronising {}: {} of {} files, {} of {} compared ({percent} %), {} sent, {}/s{left}",
        print::clean_line(&sync.dir),
        sync.files_done,
        sync.files_total,
        size(sync.bytes_done),
        size(sync.bytes_total),
        size(sync.bytes_sent),
        size(rate),
    )
}

/// Bytes in the unit that reads best.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_of_a_synchronisation() {
        let sync = SyncProgress {
            dir: "/data".into(),
            files_done: 3,
            files_total: 10,
            bytes_done: 30_000_000,
            bytes_total: 100_000_000,
            bytes_sent: 5_000,
            elapsed_ms: 3_000,
            ..SyncProgress::default()
        };
        assert_eq!(
            progress(&sync),
            "Synchronising /data: 3 of 10 files, 30 MB of 100 MB compared (30 %), 5000 B sent, 10 MB/s, about 7 s left"
        );
        assert!(progress(&SyncProgress::default()).ends_with("0 B sent, 0 B/s"));
    }
}
