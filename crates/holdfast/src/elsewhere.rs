//! Verbs of people's command line that are not served by hf-cli.

use clap::CommandFactory;

/// They stand in the help, the manual and the completions among the others, and in "did you mean".
pub fn verbs() -> Vec<clap::Command> {
    vec![hf_rfs::conflict::ConflictArgs::command(), hf_lab::LabArgs::command()]
}
