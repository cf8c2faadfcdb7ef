//! Commits numbers to a server (PostgreSQL, MariaDB, Redis) that may lose its machine at any moment, and keeps, on the client's own disk, each
//! number that the server has acknowledged. Afterwards `verify` proves from that journal that the database lost nothing.
//!
//! A number is sent once and never again: after an error its fate is unknown ("in doubt"), and the next number is taken. So a
//! correct database holds every acknowledged number exactly once, possibly some that are in doubt, and no other.

mod client;
mod journal;
mod run;
mod verify;

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
#[command(version, about)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Commit numbers until the time is over or the file `--stop` appears; print a summary as JSON.
    Run(RunArgs),
    /// Compare the database with the journal; exit code 1 and the numbers in question if anything is wrong.
    Verify(VerifyArgs),
}

/// What the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Postgresql,
    Mariadb,
    Redis,
}

#[derive(clap::Args, Clone)]
struct Server {
    #[arg(long, value_enum, default_value_t = Kind::Postgresql)]
    kind: Kind,
    /// Address of the server, normally the virtual IP.
    #[arg(long, default_value = "10.90.1.10")]
    host: String,
    /// The kind's own if not given.
    #[arg(long)]
    port: Option<u16>,
    /// `postgres` or `recorder` if not given; has no password.
    #[arg(long)]
    user: Option<String>,
    /// `postgres` or `recorder` if not given.
    #[arg(long)]
    dbname: Option<String>,
    /// The file with the password of Redis.
    #[arg(long)]
    password_file: Option<PathBuf>,
}

#[derive(clap::Args, Clone)]
struct RunArgs {
    #[command(flatten)]
    server: Server,
    /// Where sent and acknowledged numbers are kept; appended to.
    #[arg(long)]
    journal: PathBuf,
    /// Seconds to run at the most.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Connections that commit at the same time.
    #[arg(long, default_value_t = 4)]
    workers: u32,
    /// Milliseconds between two commits of a worker.
    #[arg(long, default_value_t = 2)]
    pace_ms: u64,
    /// End as soon as this file exists.
    #[arg(long)]
    stop: Option<PathBuf>,
}

#[derive(clap::Args, Clone)]
struct VerifyArgs {
    #[command(flatten)]
    server: Server,
    #[arg(long)]
    journal: PathBuf,
}

impl Server {
    fn port(&self) -> u16 {
        self.port.unwrap_or(match self.kind {
            Kind::Postgresql => 5432,
            Kind::Mariadb => 3306,
            Kind::Redis => 6379,
        })
    }

    fn user(&self) -> String {
        self.user.clone().unwrap_or_else(|| self.name().to_owned())
    }

    fn dbname(&self) -> String {
        self.dbname.clone().unwrap_or_else(|| self.name().to_owned())
    }

    fn name(&self) -> &'static str {
        if self.kind == Kind::Postgresql { "postgres" } else { "recorder" }
    }

    fn password(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.password_file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(file).with_context(|| format!("reading the password {}", file.display()))?;
        Ok(Some(text.trim().to_owned()))
    }

    fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.host)
            .port(self.port())
            .user(self.user())
            .dbname(self.dbname())
            .connect_timeout(Duration::from_millis(500))
            .keepalives_idle(Duration::from_secs(1))
            .keepalives_interval(Duration::from_secs(1));
        config
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<std::process::ExitCode> {
    match Args::parse().verb {
        Verb::Run(args) => run::run(args).await,
        Verb::Verify(args) => verify::verify(args).await,
    }
}
