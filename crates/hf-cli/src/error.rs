//! Why a verb did not do what it was asked.

use std::io;
use std::path::PathBuf;

use hf_bus::BusError;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Wrongly called.
    #[error("{0}")]
    Usage(String),
    /// Known from the reference, not served by this version.
    #[error("{0} isn't served yet")]
    NotYet(String),
    /// Nobody listens on the daemon's socket. The words are the reference's (004, 4.1.3).
    #[error("safeadmin administrator daemon not running")]
    NoDaemon,
    /// This user may not talk to the daemon.
    #[error("this user may not use {path}: it is for root and the group holdfast")]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The connection failed.
    #[error("the daemon can't be asked")]
    Bus(#[from] BusError),
    /// The daemon ended the connection in the middle.
    #[error("the daemon went away before it had answered; what was asked may have been done")]
    Unanswered,
    /// The daemon says why not.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
        /// The way out, where there is one.
        hint: Option<String>,
        /// The exit code for this.
        exit_code: u8,
    },
    /// A file can't be read.
    #[error("can't read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// All modules are stopped, and the machine runs on.
    #[error(
        "all modules are stopped, but 'systemctl reboot' failed: restart the machine, or 'holdfast start' them again"
    )]
    Reboot {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file can't be written.
    #[error("can't write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A package could not be made.
    #[error(transparent)]
    Pack(#[from] hf_package::PackError),
    /// Processes could not be looked at, or not ended.
    #[error("{what}")]
    Special {
        /// What was tried.
        what: String,
        /// The cause, if it is the system's.
        #[source]
        source: Option<io::Error>,
        /// 2: wrongly called; 1: it failed.
        exit_code: u8,
    },
    /// Nothing can be printed.
    #[error("can't print the answer")]
    Print(#[source] io::Error),
    /// The answer can't be written as JSON.
    #[error("can't write the answer as JSON")]
    Json(#[from] serde_json::Error),
    /// The process could not set itself up.
    #[error("can't start")]
    Runtime {
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl CliError {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Usage(_) | CliError::NotYet(_) => 2,
            CliError::Refused { exit_code, .. } | CliError::Special { exit_code, .. } => *exit_code,
            _ => 1,
        }
    }

    /// The way out, where there is one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            CliError::Refused { hint, .. } => hint.as_deref(),
            CliError::NoDaemon => Some("start it: systemctl start holdfast"),
            _ => None,
        }
    }
}
