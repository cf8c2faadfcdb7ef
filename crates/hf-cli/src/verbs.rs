//! The verbs, one a file.

mod cluster;
mod completion;
mod config;
mod control;
mod log;
mod module;
mod set;
mod state;
pub(crate) mod variables;
mod waitstate;

use std::process::ExitCode;

use clap::Subcommand;

use crate::args::Output;
use crate::error::CliError;

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    #[command(subcommand)]
    Module(module::Module),
    Config(config::Config),
    Confcheck(config::Confcheck),
    #[command(flatten)]
    Control(control::Control),
    Waitstate(waitstate::Waitstate),
    State(state::State),
    Set(set::Set),
    Log(log::Log),
    Completion(completion::Completion),
}

pub(crate) async fn run(verb: Verb, output: Output) -> Result<ExitCode, CliError> {
    match verb {
        Verb::Cluster(verb) => cluster::run(verb, output).await,
        Verb::Module(verb) => module::run(verb, output).await,
        Verb::Config(verb) => config::apply(verb, output).await,
        Verb::Confcheck(verb) => config::check(verb, output).await,
        Verb::Control(verb) => control::run(verb, output).await,
        Verb::Waitstate(verb) => waitstate::run(verb, output).await,
        Verb::Set(verb) => set::run(verb, output).await,
        Verb::State(verb) => state::run(verb, output).await,
        Verb::Log(verb) => log::run(verb, output).await,
        Verb::Completion(verb) => completion::run(&verb),
    }
}
