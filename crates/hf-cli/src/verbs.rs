//! The verbs, one a file.

mod boot;
mod cluster;
mod cmdlog;
mod completion;
mod config;
mod control;
mod date;
mod errd;
mod kill;
mod level;
mod log;
mod logsave;
mod manual;
mod message;
mod module;
mod rfs;
mod rfssync;
mod set;
mod shutdown;
mod snapshot;
mod state;
mod support;
mod sync;
mod timeline;
pub(crate) mod variables;
mod waitstart;
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
    Confinfo(module::list::Confinfo),
    Deconfig(config::Deconfig),
    #[command(flatten)]
    Control(control::Control),
    Waitstate(waitstate::Waitstate),
    Boot(boot::Boot),
    Shutdown(shutdown::Shutdown),
    Reboot(shutdown::Reboot),
    Waitstart(waitstart::Waitstart),
    Waitstop(waitstart::Waitstop),
    State(state::State),
    Set(set::Set),
    Errd(errd::Errd),
    Kill(kill::Kill),
    Sync(sync::Sync),
    Rfsverify(rfs::Rfsverify),
    Rfsdiff(rfs::Rfsdiff),
    Rfssync(rfssync::Rfssync),
    Log(log::Log),
    Logview(logsave::Logview),
    Logsave(logsave::Logsave),
    Printi(message::Printi),
    Printe(message::Printe),
    Cmdlog(cmdlog::Cmdlog),
    Level(level::Level),
    Dump(support::Dump),
    Snapshot(snapshot::Snapshot),
    Clean(support::Clean),
    Timeline(timeline::Timeline),
    Completions(completion::Completions),
    #[command(hide = true)]
    ManPages(manual::ManPages),
}

/// What prints text that no program reads as JSON: asked for it, it refuses before anything is done.
fn text_only(verb: &Verb) -> Option<&'static str> {
    match verb {
        Verb::Kill(_) => Some("kill"),
        Verb::Errd(verb) if verb.lists() => Some("errd list"),
        Verb::State(verb) if verb.is_one_word() => Some("state -lq"),
        Verb::Completions(_) => Some("completions"),
        Verb::ManPages(_) => Some("man-pages"),
        _ => None,
    }
}

/// `tree`: all verbs, for what is written about them.
pub(crate) async fn run(verb: Verb, output: Output, tree: clap::Command) -> Result<ExitCode, CliError> {
    if let (Output::Json, Some(what)) = (output, text_only(&verb)) {
        return Err(CliError::Usage(format!("{what} prints text only: leave -o json out")));
    }
    match verb {
        Verb::Cluster(verb) => cluster::run(verb, output).await,
        Verb::Module(verb) => module::run(verb, output).await,
        Verb::Config(verb) => config::apply(verb, output).await,
        Verb::Confcheck(verb) => config::check(verb, output).await,
        Verb::Confinfo(verb) => module::list::confinfo(verb, output).await,
        Verb::Deconfig(verb) => config::remove(verb, output).await,
        Verb::Control(verb) => control::run(verb, output).await,
        Verb::Waitstate(verb) => waitstate::run(verb, output).await,
        Verb::Set(verb) => set::run(verb, output).await,
        Verb::Errd(verb) => errd::run(verb, output).await,
        Verb::Kill(verb) => kill::run(&verb),
        Verb::Boot(verb) => boot::run(verb, output).await,
        Verb::Shutdown(verb) => shutdown::shutdown(verb, output).await,
        Verb::Reboot(verb) => shutdown::reboot(verb, output).await,
        Verb::Waitstart(verb) => waitstart::start(verb, output).await,
        Verb::Waitstop(verb) => waitstart::stop(verb, output).await,
        Verb::Sync(verb) => sync::run(verb, output).await,
        Verb::Rfsverify(verb) => rfs::verify(verb, output).await,
        Verb::Rfsdiff(verb) => rfs::diff(verb, output).await,
        Verb::Rfssync(verb) => rfssync::run(verb, output).await,
        Verb::State(verb) => state::run(verb, output).await,
        Verb::Log(verb) => log::run(verb, output).await,
        Verb::Logview(verb) => logsave::view(verb, output).await,
        Verb::Logsave(verb) => logsave::save(verb, output).await,
        Verb::Printi(verb) => message::information(verb, output).await,
        Verb::Printe(verb) => message::event(verb, output).await,
        Verb::Cmdlog(verb) => cmdlog::run(verb, output).await,
        Verb::Level(verb) => level::run(verb, output).await,
        Verb::Snapshot(verb) => snapshot::run(verb, output).await,
        Verb::Dump(verb) => support::dump(verb, output).await,
        Verb::Clean(verb) => support::clean(verb, output).await,
        Verb::Timeline(verb) => timeline::run(verb, output).await,
        Verb::Completions(verb) => completion::run(&verb, &tree),
        Verb::ManPages(verb) => manual::run(&verb, tree),
    }
}
