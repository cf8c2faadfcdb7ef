//! How the directories are shown to applications: through FUSE, with the keeper. Tests have their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hf_config::{Exclusions, NotReplicated};

use super::{EngineConfig, with_causes};
use crate::backing::Backing;
use crate::front::mountpoint::{Place, Watch, abort_connection};
use crate::front::{self, Front, Opened, Role, Server};
use crate::keeper::{Client, KeeperError};
use crate::link::ring::Ring;
use crate::link::{DirPipeline, Link};

/// Threads that answer the kernel, for each directory.
const THREADS: usize = 8;
/// How long the keeper may take to be there.
const KEEPER: Duration = Duration::from_secs(5);
/// How long somebody may go on using a mount that is to go.
const BUSY: Duration = Duration::from_secs(2);

/// Errors are sentences for the log: what failed, why, what to do.
pub trait Stage: Send {
    /// Were the directories served by a process that died?
    fn is_takeover(&self) -> bool;
    /// Opens all backing directories.
    fn open(&mut self, role: Role, range: u16) -> Result<Vec<Arc<Backing>>, String>;
    /// The link's memory, kept over a death of this process.
    fn ring(&mut self, capacity: usize) -> Result<Ring, String>;
    /// Shows the directories.
    fn serve(&mut self, link: &Arc<Link>) -> Result<Arc<dyn Shown>, String>;
    /// Hides them again; goes on past errors. Nothing to do when nothing is open.
    fn close(&mut self) -> Result<(), String>;
}

/// Directories that are shown; used from many threads.
pub trait Shown: Send + Sync {
    /// How the kernel caches.
    fn set_role(&self, role: Role);
    /// Mapped stores become writes. Waits for the gate.
    fn write_back(&self) -> Result<(), String>;
}

/// See the module.
pub struct FuseStage {
    keeper: PathBuf,
    places: Vec<Place>,
    /// A directory each.
    left_out: Vec<Vec<NotReplicated>>,
    acl: bool,
    takeover: bool,
    client: Option<Client>,
    opened: Vec<Opened>,
    served: Vec<Server>,
    watch: Option<Watch>,
}

struct Fronts(Vec<(Arc<Front>, PathBuf)>);

impl FuseStage {
    /// Nothing is open yet.
    pub fn new(config: &EngineConfig) -> FuseStage {
        let place = |directory: &super::Directory| Place {
            dir: directory.dir.clone(),
            backing: directory.backing.clone(),
            control: directory.control(),
            renamed: directory.renamed,
        };
        let places: Vec<_> = config.directories.iter().map(place).collect();
        let takeover = Client::connect(&config.keeper)
            .and_then(|mut client| client.mounts())
            .is_ok_and(|mounts| places.iter().any(|place| mounts.iter().any(|at| Path::new(at) == place.dir)));
        FuseStage {
            keeper: config.keeper.clone(),
            places,
            left_out: config.directories.iter().map(|directory| directory.left_out.clone()).collect(),
            acl: config.acl,
            takeover,
            client: None,
            opened: Vec::new(),
            served: Vec::new(),
            watch: None,
        }
    }

    fn client(&mut self) -> Result<&mut Client, String> {
        if self.client.is_none() {
            self.client = Some(connect(&self.keeper).map_err(|error| with_causes(&error))?);
        }
        self.client.as_mut().ok_or_else(|| "the keeper's connection is gone".into())
    }

    fn open_one(&mut self, n: usize, role: Role, range: u16) -> Result<Arc<Backing>, String> {
        let place = &self.places[n].clone();
        let causes = |error: &dyn std::error::Error| with_causes(error);
        if !place.is_mounted().map_err(|error| causes(&error))? {
            place.uncover().map_err(|error| causes(&error))?;
            place.prepare().map_err(|error| causes(&error))?;
            place.check_unused(&[std::process::id()]).map_err(|error| causes(&error))?;
        }
        let directory = front::Directory {
            mountpoint: place.dir.clone(),
            backing: place.backing.clone(),
            control: place.control.clone(),
            left_out: Exclusions::of(&self.left_out[n]).map_err(|why| format!("<notreplicated>: {why}"))?,
            acl: self.acl,
            range,
            role,
            threads: THREADS,
        };
        let opened = Opened::open(self.client()?, directory).map_err(|error| causes(&error))?;
        place.cover().map_err(|error| causes(&error))?;
        let backing = opened.backing().clone();
        self.opened.push(opened);
        Ok(backing)
    }

    fn close_one(&mut self, place: &Place) -> Result<(), String> {
        self.unmount(place)?;
        place.uncover().and_then(|()| place.restore()).map_err(|error| with_causes(&error))
    }

    /// Whoever still uses it gets errors after [`BUSY`].
    fn unmount(&mut self, place: &Place) -> Result<(), String> {
        let at = place.dir.to_string_lossy().into_owned();
        let end = Instant::now() + BUSY;
        loop {
            let done = self.client()?.unmount(&at, false);
            match done {
                Err(KeeperError::Refused { errno: libc::EBUSY, .. }) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(KeeperError::Refused { errno: libc::EBUSY, .. }) => break,
                other => return other.map_err(|error| with_causes(&error)),
            }
        }
        let connection = place.connection().map_err(|error| with_causes(&error))?;
        if let Some(connection) = connection {
            abort_connection(connection).map_err(|error| format!("{at} is used and can't be aborted: {error}"))?;
        }
        self.client()?.unmount(&at, true).map_err(|error| with_causes(&error))
    }
}

fn connect(keeper: &Path) -> Result<Client, KeeperError> {
    let end = Instant::now() + KEEPER;
    loop {
        match Client::connect(keeper) {
            Err(KeeperError::NoKeeper { .. }) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            other => return other,
        }
    }
}

impl Stage for FuseStage {
    fn is_takeover(&self) -> bool {
        self.takeover
    }

    fn open(&mut self, role: Role, range: u16) -> Result<Vec<Arc<Backing>>, String> {
        (0..self.places.len()).map(|n| self.open_one(n, role, range)).collect()
    }

    fn ring(&mut self, capacity: usize) -> Result<Ring, String> {
        let Some(place) = self.places.first() else { return Err("no directory is replicated".into()) };
        let at = place.dir.to_string_lossy().into_owned();
        let (file, _) =
            self.client()?.memory(&at, "ring", Ring::file_size(capacity)).map_err(|error| with_causes(&error))?;
        Ring::attach(file).map_err(|error| with_causes(&error))
    }

    fn serve(&mut self, link: &Arc<Link>) -> Result<Arc<dyn Shown>, String> {
        let mut fronts = Vec::new();
        for (n, opened) in std::mem::take(&mut self.opened).into_iter().enumerate() {
            let pipeline = Arc::new(DirPipeline::new(link.clone(), n as u16));
            let (front, server) = opened.serve(self.client()?, pipeline).map_err(|error| with_causes(&error))?;
            self.served.push(server);
            fronts.push((front, self.places[n].dir.clone()));
        }
        let told: Vec<_> = fronts.iter().map(|(front, _)| front.clone()).collect();
        link.on_applied(Box::new(move |dir, op| {
            if let Some(front) = told.get(usize::from(dir)) {
                front.invalidate(op);
            }
        }));
        let watch = Watch::start(self.places.iter().map(|place| place.backing.clone()).collect());
        link.on_synchronisation(watch.asker());
        self.watch = Some(watch);
        Ok(Arc::new(Fronts(fronts)))
    }

    fn close(&mut self) -> Result<(), String> {
        self.watch = None;
        let failed: Vec<_> = self.places.clone().iter().filter_map(|place| self.close_one(place).err()).collect();
        self.opened.clear();
        for server in std::mem::take(&mut self.served) {
            if let Err(error) = server.wait() {
                tracing::debug!(%error, "the server of a mount that went away");
            }
        }
        self.client = None;
        self.takeover = false;
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    }
}

impl Shown for Fronts {
    fn set_role(&self, role: Role) {
        for (front, dir) in &self.0 {
            if let Err(error) = front.set_role(role) {
                tracing::warn!(%error, dir = %dir.display(), "the kernel's caches can't be dropped");
            }
        }
    }

    fn write_back(&self) -> Result<(), String> {
        for (front, dir) in &self.0 {
            front
                .write_back(dir)
                .map_err(|error| format!("what was mapped in {} can't be written: {error}", dir.display()))?;
        }
        Ok(())
    }
}
