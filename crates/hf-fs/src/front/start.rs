//! Everything between a keeper and a served directory, for the first start and for a takeover.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use hf_config::Exclusions;

use super::{Front, RESULT_MEMORY_BYTES, ResultMemory, Role, ServeError, Server, serve};
use crate::backing::{Backing, BackingError};
use crate::keeper::{Client, KeeperError, Options};
use crate::pipeline::Pipeline;
use crate::table::{Table, TableError};

/// A replicated directory to be served.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Where applications see it.
    pub mountpoint: PathBuf,
    /// Where its data is.
    pub backing: PathBuf,
    /// Its control directory.
    pub control: PathBuf,
    /// What of it isn't replicated.
    pub left_out: Exclusions,
    /// `acl="on"`: access control lists are part of the copy.
    pub acl: bool,
    /// The range of new ids (see [`Table`]).
    pub range: u16,
    /// How it begins.
    pub role: Role,
    /// How many threads answer the kernel.
    pub threads: usize,
}

/// Why it can't be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// See there.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// See there.
    #[error(transparent)]
    Backing(#[from] BackingError),
    /// See there.
    #[error(transparent)]
    Table(#[from] TableError),
    /// See there.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A memory file of the keeper can't be used.
    #[error("the result memory can't be mapped")]
    Results(#[source] std::io::Error),
    /// The replication of this directory can't begin.
    #[error("replication can't begin")]
    Pipeline(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A directory whose backing is open, at the keeper, but which nobody serves yet.
pub struct Opened {
    directory: Directory,
    backing: Arc<Backing>,
    results: OwnedFd,
    takeover: bool,
}

impl Opened {
    /// Opens the backing directory, or takes over what the keeper holds of it. Open it before its path is covered.
    pub fn open(client: &mut Client, directory: Directory) -> Result<Opened, StartError> {
        let at = directory.mountpoint.to_string_lossy().into_owned();
        let (ids, _) = client.memory(&at, "ids", 0)?;
        let (results, _) = client.memory(&at, "results", RESULT_MEMORY_BYTES)?;
        let mut held = client.attach(&at)?;
        let table = Arc::new(Table::attach(ids, directory.range)?);
        let takeover = held.start.is_some();
        let backing = match directories(&mut held.kept) {
            Some((root, hold)) => Backing::from_descriptors(root, hold, table)?,
            None => {
                let backing = Backing::open(&directory.backing, &directory.control, table)?;
                client.keep(&at, "root", backing.root())?;
                client.keep(&at, "hold", backing.hold())?;
                backing
            }
        };
        let backing = backing.leaving_out(directory.left_out.clone());
        let backing = if directory.acl { backing } else { backing.without_lists() };
        Ok(Opened { directory, backing: Arc::new(backing), results, takeover })
    }

    /// The backing directory, for the pipeline and the synchronisation.
    pub fn backing(&self) -> &Arc<Backing> {
        &self.backing
    }

    /// Was it mounted and served before (by a process that died)?
    pub fn is_takeover(&self) -> bool {
        self.takeover
    }

    /// Mounts (if that isn't done yet) and serves.
    pub fn serve(self, client: &mut Client, pipeline: Arc<dyn Pipeline>) -> Result<(Arc<Front>, Server), StartError> {
        let at = self.directory.mountpoint.to_string_lossy().into_owned();
        let results = ResultMemory::attach(self.results.as_fd()).map_err(StartError::Results)?;
        client.mount(&at, &options(&self.directory, &self.backing))?;
        let held = client.attach(&at)?;
        let start = held.start.ok_or(ServeError::Gone)?;
        let front = Front::new(self.backing, pipeline, results, self.directory.role);
        let keep = |answer: &[u8]| client.answered(&at, answer).map_err(std::io::Error::other);
        let server = serve(&front, start, self.directory.threads, keep)?;
        Ok((front, server))
    }
}

fn directories(kept: &mut BTreeMap<String, OwnedFd>) -> Option<(OwnedFd, OwnedFd)> {
    Some((kept.remove("root")?, kept.remove("hold")?))
}

/// Devices and set-id programs work below it as they did before.
fn options(directory: &Directory, backing: &Backing) -> Options {
    let flags = rustix::fs::fstatvfs(backing.root().as_fd()).map(|s| s.f_flag);
    let allows = |flag| flags.is_ok_and(|flags| !flags.contains(flag));
    Options {
        source: directory.backing.to_string_lossy().into_owned(),
        dev: allows(rustix::fs::StatVfsMountFlags::NODEV),
        suid: allows(rustix::fs::StatVfsMountFlags::NOSUID),
    }
}
