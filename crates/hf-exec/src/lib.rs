//! Runs the user scripts of a module (reference 004, 13.7 and 14) and watches processes.
//!
//! A script is somebody else's program that runs as root, so three things are kept apart from it:
//!
//! * *who may have written it*: [`run`] refuses a file that anybody but root could have changed;
//! * *what it sees*: a clean environment, no descriptor of ours, ordinary signals, priority and OOM
//!   score, a session of its own, no shell between us and its arguments;
//! * *what it leaves behind*: daemons live on in the module's [`ModuleCgroup`] and hold only the user
//!   log, so nobody waits for them, and a forced stop finds every one of them.
//!
//! Nothing here decides: the outcome goes back to the state machine as [`hf_types::ScriptOutcome`].

mod cgroup;
mod child;
mod monitor;
mod pidfile;
mod proc_scan;
mod script;
mod table;
mod trust;
mod userlog;
mod watch;

pub use cgroup::{CgroupError, Enclosure, ModuleCgroup, own_cgroup};
pub use monitor::{Found, Monitor, Target};
pub use pidfile::{Identity, Liveness, PidFile, PidFileError};
pub use proc_scan::{Holder, comm_of, holders_below};
pub use script::{HANG_AFTER, Ran, SCRIPT_PATH, ScriptSpec, TERM_GRACE, run, run_or_kill, run_watched};
pub use table::{ProcessEntry, command_of, processes};
pub use trust::{Untrusted, check_trust};
pub use userlog::{RunLog, truncate_userlog};
pub use watch::{ProcessWatch, WatchError};
