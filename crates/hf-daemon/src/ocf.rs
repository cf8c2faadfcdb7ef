//! `<ocf>`: asks the agents what they are, and writes what calls them (docs/user/ocf.md).

use hf_config::{OCF_MONITOR, OcfAgent, OcfClass, OcfMetaData};
use hf_host::files::{FileError, failed, make_dir, read_if_there, write_durably};
use hf_types::OcfCall;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where agents are (Open Cluster Framework, resource agent API).
const ROOT: &str = "/usr/lib/ocf";
/// How long an agent may take to describe itself, in seconds.
const PATIENCE_S: &str = "20";
/// The first line after `#!` of each script: that of all that `config` adds.
const HEAD: &str = "# Written by 'holdfast config' for <ocf>: change userconfig.xml instead.";
/// How a script of the module's own calls the agents: it has to contain this.
const CALL: &str = "-r ocf";

/// Why a module's agents can't be used. What was applied before is still applied.
#[derive(Debug, thiserror::Error)]
pub enum OcfError {
    #[error("there is no agent {agent} on this node ({path}): apt-get install resource-agents")]
    NoAgent { agent: String, path: PathBuf },
    #[error("the agent {agent} could not be asked what it is ({path} meta-data)")]
    NotRun {
        agent: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the agent {agent} can't be used: {why}")]
    NotDescribed { agent: String, why: String },
    #[error("{}", .0.join("; "))]
    Wrong(Vec<String>),
    #[error(
        "bin/{script} of the module would keep the agents with when=\"{class}\" from being called: take it away, or call them in it: \
         \"$SAFE/safekit\" -r ocf {verb} {class}"
    )]
    OwnScript { script: String, verb: &'static str, class: &'static str },
    #[error(transparent)]
    File(#[from] FileError),
}

/// Asks every agent what it is, and says what is wrong with the module's use of it; how each is called. `bin`: the module's own scripts.
pub fn prepare(agents: &[OcfAgent], bin: &Path) -> Result<Vec<OcfCall>, OcfError> {
    let mut calls = Vec::new();
    let mut wrong = Vec::new();
    for agent in agents {
        let known = describe(agent)?;
        wrong.extend(known.objections(agent));
        calls.push(known.call(agent));
    }
    if !wrong.is_empty() {
        return Err(OcfError::Wrong(wrong));
    }
    for (script, verb, class) in scripts(agents) {
        own_script(bin, &script, verb, class)?;
    }
    Ok(calls)
}

/// The scripts that agents need: name, what is done, with which class.
fn scripts(agents: &[OcfAgent]) -> impl Iterator<Item = (String, &'static str, &'static str)> {
    let used = OcfClass::ALL.into_iter().filter(|class| agents.iter().any(|agent| agent.class == *class));
    used.map(OcfClass::as_str).flat_map(|class| ["start", "stop"].map(|verb| (format!("{verb}_{class}"), verb, class)))
}

/// Whether the module has this script itself.
fn own_script(bin: &Path, script: &str, verb: &'static str, class: &'static str) -> Result<bool, OcfError> {
    let Some(text) = read_if_there(&bin.join(script))? else {
        return Ok(false);
    };
    if text.contains(CALL) {
        return Ok(true);
    }
    Err(OcfError::OwnScript { script: script.to_owned(), verb, class })
}

fn describe(agent: &OcfAgent) -> Result<OcfMetaData, OcfError> {
    let path = Path::new(ROOT).join("resource.d").join(&agent.provider).join(&agent.kind);
    let name = agent.name();
    if !path.is_file() {
        return Err(OcfError::NoAgent { agent: name, path });
    }
    let mut command = Command::new("timeout");
    command.args(["--kill-after=2", PATIENCE_S]).arg(&path).arg("meta-data");
    command.env_clear().env("PATH", hf_exec::SCRIPT_PATH).env("OCF_ROOT", ROOT);
    command.env("OCF_RESOURCE_TYPE", &agent.kind).env("OCF_RESOURCE_PROVIDER", &agent.provider);
    let output = command.output().map_err(|source| OcfError::NotRun { agent: name.clone(), path, source })?;
    if !output.status.success() {
        let why = format!("its meta-data ended with {}", output.status);
        return Err(OcfError::NotDescribed { agent: name, why });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    OcfMetaData::parse(&text).map_err(|why| OcfError::NotDescribed { agent: name, why })
}

/// Into the directory that is about to be applied: how the agents are called, the scripts that call them where the module has none of its own, and their
/// checker.
pub fn write(applied: &Path, agents: &[OcfAgent]) -> Result<(), OcfError> {
    if agents.is_empty() {
        return Ok(());
    }
    let bin = applied.join("bin");
    make_dir(&bin, 0o755)?;
    let calls = prepare(agents, &bin)?;
    let list = applied.join("ocf.json");
    let text = serde_json::to_vec(&calls).map_err(|error| failed("write", &list)(io::Error::other(error)))?;
    write_durably(&list, &text, 0o644)?;
    for (script, verb, class) in scripts(agents) {
        if !own_script(&bin, &script, verb, class)? {
            write_script(&bin, &script, &format!("{verb} {class} \"$@\""))?;
        }
    }
    write_script(&bin, OCF_MONITOR, "monitor \"$@\"")
}

fn write_script(bin: &Path, name: &str, call: &str) -> Result<(), OcfError> {
    let text = format!("#!/bin/sh\n{HEAD}\nexec \"$SAFE/safekit\" {CALL} {call}\n");
    Ok(write_durably(&bin.join(name), text.as_bytes(), 0o755)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_of_the_modules_own_has_to_call_the_agents() {
        let place = tempfile::tempdir().unwrap();
        let script = |text: &str| {
            std::fs::write(place.path().join("start_prim"), text).unwrap();
            own_script(place.path(), "start_prim", "start", "prim")
        };
        assert!(!own_script(place.path(), "start_prim", "start", "prim").unwrap());
        assert!(script("mount /x && \"$SAFE/safekit\" -r ocf start prim\n").unwrap());
        let refused = script("systemctl start nginx\n").unwrap_err().to_string();
        assert!(refused.contains("-r ocf start prim"), "{refused}");
    }

    #[test]
    fn an_agent_that_is_not_there_is_named_with_the_way_out() {
        let agent = OcfAgent {
            ident: "x".into(),
            provider: "nobody".into(),
            kind: "nothing".into(),
            class: OcfClass::Prim,
            interval_ms: 0,
            timeout_ms: 0,
            start_timeout_ms: 0,
            stop_timeout_ms: 0,
            action: None,
            parameters: Vec::new(),
        };
        let said = prepare(&[agent], Path::new("/nowhere")).unwrap_err().to_string();
        assert!(said.contains("nobody:nothing") && said.contains("apt-get install resource-agents"), "{said}");
    }
}
