//! `rfssync` (reference 004, 13.6.4.9).

use std::process::ExitCode;

use clap::Args;
use hf_types::{Caller, SyncPolicy, SyncRole};
use hf_wire::bus::{Reply, Request};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::caller;
use crate::error::CliError;
use crate::print;

/// Chooses how the next synchronisation of this node is done, or shows what is chosen
///
/// Without arguments: shows. full: everything is compared. external prim UID, external second UID: the secondary's directories were restored from a
/// backup of the primary's; everything is compared, and only what differs from the backup travels. UID: a name of yours, at most 24 characters. default: takes the
/// choice back. It is kept over a stop, until a synchronisation has succeeded. Say it on both nodes, in any state of the module.
#[derive(Debug, Args)]
pub(crate) struct Rfssync {
    /// full, default, external prim UID, external second UID; with -d: prim UID, second UID
    #[arg(value_name = "POLICY", num_args = 0..=3)]
    policy: Vec<String>,
    /// External, without looking for changes between backup and start; here as without it: everything is compared
    #[arg(short = 'd')]
    unchecked: bool,
    #[command(flatten)]
    module: ModuleArg,
}

pub(crate) async fn run(verb: Rfssync, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    let words: Vec<&str> = verb.policy.iter().map(String::as_str).collect();
    let set = policy(&words, verb.unchecked).map_err(CliError::Usage)?;
    let by = Caller(caller::user());
    for reply in admin::ask(Request::Rfssync { module, set, by }, output).await? {
        if let Reply::Rfssync(policy) = reply {
            match output {
                Output::Json => print::json(&json(&policy))?,
                Output::Text => print::text(&format!("{policy}\n"))?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn json(policy: &SyncPolicy) -> serde_json::Value {
    let (mode, role, uid) = policy.settings();
    serde_json::json!({ "mode": mode, "role": role, "uid": uid })
}

/// None: show it.
fn policy(words: &[&str], unchecked: bool) -> Result<Option<SyncPolicy>, String> {
    let policy = match words {
        [] if !unchecked => return Ok(None),
        ["full"] if !unchecked => SyncPolicy::Full,
        ["default"] if !unchecked => SyncPolicy::Default,
        ["external", role @ ("prim" | "second"), uid] => external(role, uid)?,
        [role @ ("prim" | "second"), uid] if unchecked => external(role, uid)?,
        _ => {
            return Err(
                "rfssync full | rfssync external prim UID | rfssync external second UID | rfssync -d prim UID | \
                        rfssync -d second UID | rfssync default | rfssync"
                    .to_owned(),
            );
        }
    };
    Ok(Some(policy))
}

fn external(role: &str, uid: &str) -> Result<SyncPolicy, String> {
    SyncPolicy::external(if role == "prim" { SyncRole::Prim } else { SyncRole::Second }, uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_reference() {
        let external = |role| Ok(Some(SyncPolicy::External { role, uid: "u1".to_owned() }));
        assert_eq!(policy(&[], false), Ok(None));
        assert_eq!(policy(&["full"], false), Ok(Some(SyncPolicy::Full)));
        assert_eq!(policy(&["default"], false), Ok(Some(SyncPolicy::Default)));
        for unchecked in [false, true] {
            assert_eq!(policy(&["external", "prim", "u1"], unchecked), external(SyncRole::Prim));
            assert_eq!(policy(&["external", "second", "u1"], unchecked), external(SyncRole::Second));
        }
        assert_eq!(policy(&["second", "u1"], true), external(SyncRole::Second));
        let wrong: [(&[&str], bool); 7] = [
            (&["second", "u1"], false),
            (&["full"], true),
            (&[], true),
            (&["external"], false),
            (&["external", "prim"], false),
            (&["external", "third", "u1"], false),
            (&["external", "prim", "a b"], false),
        ];
        for (words, unchecked) in wrong {
            assert!(policy(words, unchecked).is_err(), "{words:?}");
        }
    }
}
