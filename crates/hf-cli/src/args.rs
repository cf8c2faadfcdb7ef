//! What the verbs have in common.

use clap::{Args, Parser, ValueEnum};
use hf_types::ModuleName;

use crate::error::CliError;
use crate::verbs::Verb;

pub(crate) const AFTER: &str = "Exit codes: 0 done, 1 failed, 2 wrongly called; `state -lq` has its own.\n\n\
    A module is named with -m AM (or -v AM), else with the environment variable SAFEMODULE.\n\
    SAFE (default /opt/holdfast) and SAFEVAR (default /var/holdfast) choose the installation.\n\
    `holdfast -r COMMAND` runs a special command for scripts: boundcmd, errdpoll_running, gencron, ocf, processtree.";

/// High availability for applications: start, stop, look at and configure modules on this node.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, after_help = AFTER, arg_required_else_help = true)]
pub struct Cli {
    /// Prints SAFE, SAFEVAR and SAFEBIN, and the module's directories if SAFEMODULE is set
    #[arg(short = 'p')]
    pub(crate) print_variables: bool,

    /// How answers are printed
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,

    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Which module.
#[derive(Clone, Debug, Args)]
pub struct ModuleArg {
    /// The module; SAFEMODULE in the environment does the same
    #[arg(short = 'm', value_name = "AM")]
    module: Option<ModuleName>,
}

impl ModuleArg {
    /// The module that was named, if any.
    pub(crate) fn optional(self) -> Result<Option<ModuleName>, CliError> {
        if self.module.is_some() {
            return Ok(self.module);
        }
        match std::env::var("SAFEMODULE") {
            Ok(name) if !name.is_empty() => {
                name.parse().map(Some).map_err(|bad| CliError::Usage(format!("SAFEMODULE: {bad}")))
            }
            _ => Ok(None),
        }
    }

    /// The module that has to be named.
    pub(crate) fn required(self) -> Result<ModuleName, CliError> {
        let missing = || CliError::Usage("which module? name it with -m AM, or set SAFEMODULE".to_owned());
        self.optional()?.ok_or_else(missing)
    }
}
