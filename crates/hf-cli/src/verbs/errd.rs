//! `errd` (reference 004, 9.4 and 13.9.4).

use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use hf_types::{Caller, ErrdOrder};
use hf_wire::bus::Request;

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::caller;
use crate::error::CliError;
use crate::paths::Paths;
use crate::print;

/// Suspends and resumes the watching of the application's processes, or lists them
///
/// suspend, resume: nothing is watched, to stop the application by hand without an action following; until the module stops. off, on: the
/// same, kept over a stop and a start, also said to a stopped module. enable, disable: one class of processes, for start and stop scripts;
/// prim, both, second, sec and pre follow the scripts by themselves. list: every <proc>, how it is, and its processes; also in
/// SAFEVAR/modules/AM/errdlist.
#[derive(Debug, Args)]
pub(crate) struct Errd {
    /// What is to be done
    #[arg(value_parser = PossibleValuesParser::new(["suspend", "resume", "on", "off", "enable", "disable", "list"]))]
    order: String,
    /// The class that is enabled or disabled
    #[arg(required_if_eq_any([("order", "enable"), ("order", "disable")]))]
    class: Option<String>,
    #[command(flatten)]
    module: ModuleArg,
    /// Who calls, for the log
    #[arg(short, value_name = "IDENTITY")]
    identity: Option<String>,
}

impl Errd {
    /// It prints the list of processes.
    pub(super) fn lists(&self) -> bool {
        self.order == "list"
    }
}

pub(crate) async fn run(verb: Errd, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    let order = order(&verb.order, verb.class)?;
    let by = verb.identity.map_or_else(|| Caller(caller::user()), |identity| Caller::detector(&identity));
    let lists = order == ErrdOrder::List;
    admin::order(Request::Errd { module: module.clone(), order, by }, output).await?;
    if lists {
        let path = Paths::from_environment().errd_list(&module);
        let text = std::fs::read_to_string(&path).map_err(|source| CliError::Read { path, source })?;
        print::text(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn order(word: &str, class: Option<String>) -> Result<ErrdOrder, CliError> {
    let order = match (word, class) {
        ("enable", Some(class)) => return Ok(ErrdOrder::Enable(class)),
        ("disable", Some(class)) => return Ok(ErrdOrder::Disable(class)),
        (word, Some(class)) => {
            return Err(CliError::Usage(format!("errd {word} is for all classes: {class} is too much")));
        }
        ("suspend", None) => ErrdOrder::Suspend,
        ("resume", None) => ErrdOrder::Resume,
        ("on", None) => ErrdOrder::On,
        ("off", None) => ErrdOrder::Off,
        // The parser lets nothing else through.
        (_, None) => ErrdOrder::List,
    };
    Ok(order)
}
