//! `ocf start CLASS`, `ocf stop CLASS`, `ocf monitor MODULE RESOURCE IDENT`, `ocf check`: calls the OCF resource agents of a module
//! (docs/user/ocf.md). For the scripts that `config` writes, and for scripts of one's own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use hf_types::OcfCall;

use super::boundcmd::{Ended, bounded};
use super::{Failure, words};

const USAGE: Failure = Failure::Usage(
    "ocf start prim|second|both; ocf stop prim|second|both [force ...]; ocf check; ocf monitor MODULE RESOURCE IDENT",
);
/// Where agents are, and where they keep what only counts until the next boot (resource agent API 1.1).
const ROOT: &str = "/usr/lib/ocf";
const RUN: &str = "/run/resource-agents";
/// Of `monitor`: stopped, in good order.
const NOT_RUNNING: u8 = 7;
/// How long `set` may take.
const SET_LIMIT: Duration = Duration::from_secs(20);
/// How long `validate-all` may take.
const VALIDATE_LIMIT: Duration = Duration::from_secs(30);

pub(super) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let words = words(args);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["start", class, ..] => start(&of_class(class)?),
        ["stop", class, "force", ..] => stop(&of_class(class)?, true),
        ["stop", class, ..] => stop(&of_class(class)?, false),
        ["check"] => check(&calls()?),
        ["monitor", module, resource, ident] => monitor(module, resource, ident),
        _ => Err(USAGE),
    }
}

/// The module's agents, in the order of its configuration, as `config` applied them.
fn calls() -> Result<Vec<OcfCall>, Failure> {
    let unset = || Failure::Word("SAFEUSERBIN isn't set: this is for scripts of a module".to_owned());
    let bin = std::env::var_os("SAFEUSERBIN").ok_or_else(unset)?;
    let file = Path::new(&bin).with_file_name("ocf.json");
    let text = std::fs::read(&file).map_err(Failure::io(format!("read {}", file.display())))?;
    serde_json::from_slice(&text).map_err(|error| Failure::io(format!("read {}", file.display()))(error.into()))
}

fn of_class(class: &str) -> Result<Vec<OcfCall>, Failure> {
    if !["prim", "second", "both"].contains(&class) {
        return Err(USAGE);
    }
    Ok(calls()?.into_iter().filter(|call| call.class == class).collect())
}

/// In order; one that doesn't start keeps those after it from being started.
fn start(calls: &[OcfCall]) -> Result<ExitCode, Failure> {
    for call in calls {
        let answer = call_agent(call, "start", call.start_timeout_ms)?;
        say(&format!("{}: start: {}", call.ident, answer.text()));
        if !answer.is(0) {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The last first; goes on with the others if one doesn't stop. `force`: only what runs yet. An agent ends what hangs by itself.
fn stop(calls: &[OcfCall], force: bool) -> Result<ExitCode, Failure> {
    let mut left = false;
    for call in calls.iter().rev() {
        if force && call_agent(call, "monitor", call.timeout_ms)?.is(NOT_RUNNING) {
            continue;
        }
        let answer = call_agent(call, "stop", call.stop_timeout_ms)?;
        say(&format!("{}: stop: {}", call.ident, answer.text()));
        left |= !answer.is(0);
    }
    Ok(if left { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What each agent says of its parameters on this node, and whether it runs.
fn check(calls: &[OcfCall]) -> Result<ExitCode, Failure> {
    let mut wrong = false;
    for call in calls {
        let limit = u64::try_from(VALIDATE_LIMIT.as_millis()).unwrap_or(u64::MAX);
        let valid = call_agent(call, "validate-all", limit)?;
        let runs = call_agent(call, "monitor", call.timeout_ms)?;
        say(&format!("{}: validate-all: {}; monitor: {}", call.ident, valid.text(), runs.text()));
        wrong |= !valid.is(0);
    }
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A checker (reference 004, 15.12): sets the resource at the first look, and whenever it changes. Ends only when it is ended.
fn monitor(module: &str, resource: &str, ident: &str) -> Result<ExitCode, Failure> {
    let unknown = || Failure::Word(format!("the module has no agent {ident}: holdfast config -m {module}"));
    let call = calls()?.into_iter().find(|call| call.ident == ident).ok_or_else(unknown)?;
    let mut told: Option<bool> = None;
    loop {
        let answer = call_agent(&call, "monitor", call.timeout_ms)?;
        let up = answer.is(0);
        if told != Some(up) {
            if !up {
                say(&format!("{ident}: monitor: {}", answer.text()));
            }
            // Who can't be told now is told at the next look.
            told = set(module, resource, up)?.then_some(up);
        }
        std::thread::sleep(Duration::from_millis(call.interval_ms.max(100)));
    }
}

fn set(module: &str, resource: &str, up: bool) -> Result<bool, Failure> {
    let own = std::env::current_exe().map_err(Failure::io("find this program"))?;
    let value = if up { "up" } else { "down" };
    let mut command = Command::new(own);
    command.args(["set", "-m", module, "-r", resource, "-v", value, "-i", "ocf_monitor"]);
    Ok(matches!(bounded(&mut command, SET_LIMIT)?, Ended::With(0)))
}

/// How a call of an agent ended.
enum Answer {
    With(u8),
    TimedOut(u64),
    NotRun(PathBuf, std::io::Error),
}

impl Answer {
    fn is(&self, code: u8) -> bool {
        matches!(self, Answer::With(with) if *with == code)
    }

    fn text(&self) -> String {
        match self {
            Answer::With(code) => meaning(*code),
            Answer::TimedOut(ms) => format!("did not end within {} s, and was ended", ms / 1_000),
            Answer::NotRun(path, error) => format!("{} can't be run: {error}", path.display()),
        }
    }
}

/// Exit codes of agents (resource agent API 1.1).
fn meaning(code: u8) -> String {
    let text = match code {
        0 => "done",
        1 => "failed; the agent's own words stand above",
        2 => "the parameters are wrong for this node",
        3 => "the agent can't do that",
        4 => "the agent may not do that",
        5 => "what the agent needs isn't installed on this node",
        6 => "the parameters are wrong on any node",
        NOT_RUNNING => "it isn't running",
        8 => "it runs as a promoted resource",
        9 => "a promoted resource that failed",
        code => return format!("the agent ended with {code}"),
    };
    if code == 0 { text.to_owned() } else { format!("{text} (exit code {code})") }
}

fn call_agent(call: &OcfCall, action: &str, limit_ms: u64) -> Result<Answer, Failure> {
    prepare_run().map_err(Failure::io(format!("make {RUN}")))?;
    let path = Path::new(ROOT).join("resource.d").join(&call.provider).join(&call.kind);
    let mut command = Command::new(&path);
    command.arg(action).envs(environment(call, action, limit_ms));
    Ok(match bounded(&mut command, Duration::from_millis(limit_ms))? {
        Ended::With(code) => Answer::With(code),
        Ended::TimedOut => Answer::TimedOut(limit_ms),
        Ended::NotRun(error) => Answer::NotRun(path, error),
    })
}

/// What an agent finds in its environment, beside that of every script.
fn environment(call: &OcfCall, action: &str, limit_ms: u64) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = [
        ("OCF_ROOT", ROOT.to_owned()),
        ("OCF_RA_VERSION_MAJOR", "1".to_owned()),
        ("OCF_RA_VERSION_MINOR", "1".to_owned()),
        ("OCF_RESOURCE_INSTANCE", call.ident.clone()),
        ("OCF_RESOURCE_TYPE", call.kind.clone()),
        ("OCF_RESOURCE_PROVIDER", call.provider.clone()),
        ("OCF_CHECK_LEVEL", "0".to_owned()),
        ("OCF_RESKEY_CRM_meta_name", action.to_owned()),
        ("OCF_RESKEY_CRM_meta_timeout", limit_ms.to_string()),
        ("HA_RSCTMP", RUN.to_owned()),
        ("HA_LOGFACILITY", "none".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if action == "monitor" {
        all.push(("OCF_RESKEY_CRM_meta_interval".to_owned(), call.interval_ms.to_string()));
    }
    // An agent reads a name with "-" by a variable with "_": a shell has no others.
    all.extend(
        call.parameters.iter().map(|(name, value)| (format!("OCF_RESKEY_{}", name.replace('-', "_")), value.clone())),
    );
    all
}

fn prepare_run() -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match std::fs::DirBuilder::new().mode(0o1755).create(RUN) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn say(text: &str) {
    crate::print::progress(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> OcfCall {
        OcfCall {
            class: "prim".into(),
            ident: "web".into(),
            provider: "heartbeat".into(),
            kind: "nginx".into(),
            interval_ms: 10_000,
            timeout_ms: 30_000,
            start_timeout_ms: 40_000,
            stop_timeout_ms: 60_000,
            parameters: vec![("configfile".into(), "/srv/it's one.conf".into()), ("with-dash".into(), "$HOME".into())],
        }
    }

    #[test]
    fn an_agent_finds_what_the_api_names() {
        let found = environment(&call(), "monitor", 30_000);
        let of = |name: &str| found.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(of("OCF_RESKEY_configfile"), Some("/srv/it's one.conf"));
        assert_eq!(of("OCF_RESKEY_with_dash"), Some("$HOME"), "no shell looks at it");
        assert_eq!((of("OCF_RESOURCE_INSTANCE"), of("OCF_RESOURCE_TYPE")), (Some("web"), Some("nginx")));
        assert_eq!(of("OCF_RESKEY_CRM_meta_timeout"), Some("30000"));
        assert_eq!(of("OCF_RESKEY_CRM_meta_interval"), Some("10000"));
        assert!(environment(&call(), "start", 1).iter().all(|(name, _)| name != "OCF_RESKEY_CRM_meta_interval"));
    }

    #[test]
    fn every_exit_code_of_the_api_has_a_meaning() {
        for code in 1..10 {
            assert!(meaning(code).ends_with(&format!("(exit code {code})")), "{}", meaning(code));
        }
        assert_eq!(meaning(99), "the agent ended with 99");
    }
}
