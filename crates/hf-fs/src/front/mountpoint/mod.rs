//! Putting the mount in the directory's place, and a link there when the module is stopped (reference 004, 13.6.3).
//!
//! `/a/dir` is what applications use. Its data is in `/a/dir<suffix>`. Stopped: `/a/dir` is a symbolic link to it. Started: `/a/dir` is a
//! directory to mount over, and the data's own path is covered, so that nobody changes it past us.
//!
//! A path under a mount that nobody serves hangs whoever asks for it, so [`mounts`] are read from the kernel's list first.

mod filesystem;
mod holders;
mod mounts;
mod unrenamed;
mod writers;

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

pub use holders::Holder;
pub use mounts::{MountEntry, mounts};
pub use writers::{Watch, writers_below};

/// The suffix of the reference.
pub const DEFAULT_SUFFIX: &str = "_For_SafeKit_Replication";
/// What `mount` shows for a cover.
const COVER: &str = "holdfast-cover";
/// Where the kernel's FUSE connections are listed, each with a file to abort it.
const CONNECTIONS: &str = "/sys/fs/fuse/connections";
/// The type of our mounts.
const OURS: &str = "fuse.holdfast";

/// Where a replicated directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What applications use.
    pub dir: PathBuf,
    /// Where the data is.
    pub backing: PathBuf,
    /// Records and files without names; only for root.
    pub control: PathBuf,
    /// `mountover`: while it is replicated the data has the name of `backing`; else it keeps its own.
    pub renamed: bool,
}

/// Why a directory can't be replicated, or can't be put in its place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Not an absolute path without `.`, `..` and double slashes.
    #[error("{dir} isn't a plain absolute path")]
    NotPlain { dir: PathBuf },
    /// A directory that the system or Holdfast itself needs.
    #[error("{dir} can't be replicated: {why}")]
    Refused { dir: PathBuf, why: String },
    /// Neither the directory nor its data is there.
    #[error("there is no directory {dir} (and no {backing}): make it on this server first")]
    Missing { dir: PathBuf, backing: PathBuf },
    /// Both are there and both have something in them.
    #[error(
        "{dir} isn't empty, but the data is in {backing}: something was written there while the link was missing; move it away"
    )]
    Both { dir: PathBuf, backing: PathBuf },
    /// It is a file system of its own, which isn't mounted.
    #[error("the file system of {dir} isn't mounted: mount it there, then start again")]
    NotMounted { dir: PathBuf },
    /// Not the one that was replicated before.
    #[error(
        "another file system is mounted at {dir} than the one that was replicated; mount that one, or, if this one shall take its place, remove {control} and start this node as second"
    )]
    OtherFilesystem { dir: PathBuf, control: PathBuf },
    /// Something else is there.
    #[error("{path} is {what}; remove it or set it right")]
    InTheWay { path: PathBuf, what: String },
    /// Somebody uses the data past the mount.
    #[error("{} below {backing}: stop {} first", holders::list(holders), if holders.len() == 1 { "it" } else { "them" })]
    Held { backing: PathBuf, holders: Vec<Holder> },
    /// The mount is still there.
    #[error("{dir} is still mounted")]
    Mounted { dir: PathBuf },
    /// A step failed; running it again goes on from there.
    #[error("{path} can't be {what}")]
    Step { path: PathBuf, what: &'static str, source: io::Error },
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Absent,
    Dir { empty: bool },
    Link(PathBuf),
    Other,
}

impl Place {
    /// The places of a directory; checks only the path's form.
    pub fn new(dir: &Path, suffix: &str) -> Result<Place, PlaceError> {
        let plain: PathBuf = dir.components().collect();
        let normal = |c: Component<'_>| matches!(c, Component::RootDir | Component::Normal(_));
        if !dir.is_absolute()
            || plain.as_os_str() != dir.as_os_str()
            || !dir.components().all(normal)
            || dir.file_name().is_none()
        {
            return Err(PlaceError::NotPlain { dir: dir.to_owned() });
        }
        if suffix.is_empty() || suffix.contains('/') {
            return Err(refused(dir, format!("the suffix {suffix:?} makes no other name beside it")));
        }
        let beside = |tail: &str| {
            let mut name = dir.as_os_str().to_owned();
            name.push(tail);
            PathBuf::from(name)
        };
        let (backing, control) = (beside(suffix), beside(&format!("{suffix}.hold")));
        Ok(Place { dir: dir.to_owned(), backing, control, renamed: true })
    }

    /// The same with `mountover="off"`, if `renamed` isn't set.
    pub fn renamed(self, renamed: bool) -> Place {
        Place { renamed, ..self }
    }

    /// May it be replicated? `own` are SAFE and SAFEVAR; `others` are the other replicated directories of all modules.
    pub fn check(&self, own: &[&Path], others: &[&Path]) -> Result<(), PlaceError> {
        let dir = &self.dir;
        const SYSTEM: [&str; 14] = [
            "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys",
            "/usr", "/var",
        ];
        if SYSTEM.iter().any(|system| dir == Path::new(system))
            || ["/dev", "/proc", "/sys"].iter().any(|s| dir.starts_with(s))
        {
            return Err(refused(dir, "the system needs it".into()));
        }
        for path in own {
            if dir.starts_with(path) || path.starts_with(dir) {
                return Err(refused(dir, format!("Holdfast's own {} is there", path.display())));
            }
        }
        for other in others.iter().filter(|other| *other != dir) {
            if dir.starts_with(other) || other.starts_with(dir) {
                return Err(refused(dir, format!("it and {} are nested", other.display())));
            }
        }
        self.check_links()?;
        self.check_mounts()
    }

    fn check_links(&self) -> Result<(), PlaceError> {
        for above in self.dir.ancestors().skip(1) {
            if fs::symlink_metadata(above).is_ok_and(|meta| meta.is_symlink()) {
                return Err(refused(&self.dir, format!("{} is a symbolic link", above.display())));
            }
        }
        Ok(())
    }

    fn check_mounts(&self) -> Result<(), PlaceError> {
        for mount in self.mounts()? {
            let at = &mount.mountpoint;
            if [&self.dir, &self.backing].iter().any(|root| at.starts_with(root) && at != *root) {
                let why = format!(
                    "{} is mounted inside of it and would not be replicated; unmount it, or replicate it as a directory of its own",
                    at.display()
                );
                return Err(refused(&self.dir, why));
            }
        }
        Ok(())
    }

    /// Makes `/a/dir` a directory to mount over; its content becomes `/a/dir<suffix>` the first time. Nothing to do when it is mounted.
    pub fn prepare(&self) -> Result<(), PlaceError> {
        if self.is_mounted()? {
            return Ok(());
        }
        if !self.renamed {
            return self.bring_unrenamed();
        }
        self.bring_filesystem()?;
        match (self.kind(&self.dir)?, self.kind(&self.backing)?) {
            (Kind::Dir { .. }, Kind::Absent) => {
                step(&self.backing, "made out of the directory", fs::rename(&self.dir, &self.backing))?;
                self.make_dir()
            }
            (Kind::Link(target), Kind::Dir { .. }) if target == self.backing => {
                step(&self.dir, "unlinked", fs::remove_file(&self.dir))?;
                self.make_dir()
            }
            (Kind::Absent, Kind::Dir { .. }) => self.make_dir(),
            (Kind::Dir { empty: true }, Kind::Dir { .. }) => Ok(()),
            (Kind::Dir { empty: false }, Kind::Dir { .. }) => {
                Err(PlaceError::Both { dir: self.dir.clone(), backing: self.backing.clone() })
            }
            (dir, backing) => Err(self.in_the_way(dir, backing)),
        }
    }

    /// Puts the link in place, or a file system of its own back. Not while it is mounted.
    pub fn restore(&self) -> Result<(), PlaceError> {
        if self.is_mounted()? {
            return Err(PlaceError::Mounted { dir: self.dir.clone() });
        }
        if !self.renamed {
            return self.return_unrenamed();
        }
        if self.return_filesystem()? {
            return Ok(());
        }
        match (self.kind(&self.dir)?, self.kind(&self.backing)?) {
            (Kind::Link(target), Kind::Dir { .. }) if target == self.backing => return Ok(()),
            (Kind::Dir { empty: true }, Kind::Dir { .. }) => {
                step(&self.dir, "removed", fs::remove_dir(&self.dir))?;
            }
            (Kind::Absent, Kind::Dir { .. }) => {}
            (Kind::Dir { .. }, Kind::Absent) => {
                step(&self.backing, "made out of the directory", fs::rename(&self.dir, &self.backing))?;
            }
            (Kind::Dir { empty: false }, Kind::Dir { .. }) => {
                return Err(PlaceError::Both { dir: self.dir.clone(), backing: self.backing.clone() });
            }
            (dir, backing) => return Err(self.in_the_way(dir, backing)),
        }
        step(&self.dir, "linked", symlink(&self.backing, &self.dir))?;
        self.sync_parent()
    }

    /// Gives the directory back: no link, the data under its own name again (the module is uninstalled).
    pub fn undo(&self) -> Result<(), PlaceError> {
        if self.is_mounted()? {
            return Err(PlaceError::Mounted { dir: self.dir.clone() });
        }
        if !self.renamed {
            return self.return_unrenamed();
        }
        self.undo_renaming()
    }

    fn undo_renaming(&self) -> Result<(), PlaceError> {
        if self.return_filesystem()? {
            return Ok(());
        }
        match (self.kind(&self.dir)?, self.kind(&self.backing)?) {
            (Kind::Dir { .. }, Kind::Absent) => return Ok(()),
            (Kind::Link(target), Kind::Dir { .. }) if target == self.backing => {
                step(&self.dir, "unlinked", fs::remove_file(&self.dir))?;
            }
            (Kind::Dir { empty: true }, Kind::Dir { .. }) => {
                step(&self.dir, "removed", fs::remove_dir(&self.dir))?;
            }
            (Kind::Absent, Kind::Dir { .. }) => {}
            (dir, backing) => return Err(self.in_the_way(dir, backing)),
        }
        step(&self.backing, "given its name back", fs::rename(&self.backing, &self.dir))?;
        self.sync_parent()
    }

    /// Refuses while processes (other than `ours`) use something below the backing directory: they would change it past the mount.
    pub fn check_unused(&self, ours: &[u32]) -> Result<(), PlaceError> {
        let holders = holders::below(&self.backing, ours);
        if holders.is_empty() {
            return Ok(());
        }
        Err(PlaceError::Held { backing: self.backing.clone(), holders })
    }

    /// Covers the backing directory's path with an empty read-only file system. Open it before ([`crate::backing::Backing::open`]).
    pub fn cover(&self) -> Result<(), PlaceError> {
        if self.is_covered()? {
            return Ok(());
        }
        let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
        let options = c"size=4k,nr_inodes=2,mode=0";
        let done = rustix::mount::mount(COVER, &self.backing, "tmpfs", flags, Some(options));
        step(&self.backing, "covered", done.map_err(io::Error::from))
    }

    /// Takes the cover away.
    pub fn uncover(&self) -> Result<(), PlaceError> {
        while self.is_covered()? {
            let flags = UnmountFlags::NOFOLLOW | UnmountFlags::DETACH;
            let done = rustix::mount::unmount(&self.backing, flags);
            step(&self.backing, "uncovered", done.map_err(io::Error::from))?;
        }
        Ok(())
    }

    /// Is it covered?
    pub fn is_covered(&self) -> Result<bool, PlaceError> {
        Ok(self.mounts()?.iter().any(|m| m.mountpoint == self.backing && m.source == COVER))
    }

    /// Is our mount there (served or not)?
    pub fn is_mounted(&self) -> Result<bool, PlaceError> {
        Ok(self.connection()?.is_some())
    }

    /// The number of its FUSE connection: the mount's device minor.
    pub fn connection(&self) -> Result<Option<u32>, PlaceError> {
        let mounts = self.mounts()?;
        let ours = mounts.iter().rev().find(|m| m.mountpoint == self.dir && m.fs_type == OURS);
        Ok(ours.map(|mount| mount.device_minor))
    }

    fn mounts(&self) -> Result<Vec<MountEntry>, PlaceError> {
        step(Path::new("/proc/self/mountinfo"), "read", mounts())
    }

    fn make_dir(&self) -> Result<(), PlaceError> {
        step(&self.dir, "made", fs::create_dir(&self.dir))?;
        self.sync_parent()
    }

    fn sync_parent(&self) -> Result<(), PlaceError> {
        let parent = self.dir.parent().unwrap_or(Path::new("/"));
        step(parent, "synced", fs::File::open(parent).and_then(|dir| dir.sync_all()))
    }

    fn kind(&self, path: &Path) -> Result<Kind, PlaceError> {
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kind::Absent),
            Err(error) => return step(path, "examined", Err(error)),
        };
        if meta.is_symlink() {
            return step(path, "read", fs::read_link(path)).map(Kind::Link);
        }
        if !meta.is_dir() {
            return Ok(Kind::Other);
        }
        let mut entries = step(path, "listed", fs::read_dir(path))?;
        Ok(Kind::Dir { empty: entries.next().is_none() })
    }

    fn in_the_way(&self, dir: Kind, backing: Kind) -> PlaceError {
        if dir == Kind::Absent && backing == Kind::Absent {
            return PlaceError::Missing { dir: self.dir.clone(), backing: self.backing.clone() };
        }
        let (path, kind) = match dir {
            Kind::Link(_) | Kind::Other => (&self.dir, dir),
            Kind::Absent | Kind::Dir { .. } => (&self.backing, backing),
        };
        let what = match kind {
            Kind::Absent => "missing".into(),
            Kind::Dir { .. } => "a directory".into(),
            Kind::Link(target) => format!("a symbolic link to {}", target.display()),
            Kind::Other => "no directory".into(),
        };
        PlaceError::InTheWay { path: path.clone(), what }
    }
}

/// Ends a FUSE connection: everyone who waits in it gets an error at once, also processes that can't be killed otherwise.
pub fn abort_connection(connection: u32) -> io::Result<()> {
    let abort = || fs::write(format!("{CONNECTIONS}/{connection}/abort"), "1");
    match abort() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !mounted_connections()? => {
            rustix::mount::mount("fusectl", CONNECTIONS, "fusectl", MountFlags::empty(), None)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => return other,
    }
    match abort() {
        // It ended meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Is the file system there that lists the connections? Not every system mounts it.
fn mounted_connections() -> io::Result<bool> {
    Ok(mounts()?.iter().any(|mount| mount.fs_type == "fusectl" && mount.mountpoint == Path::new(CONNECTIONS)))
}

fn refused(dir: &Path, why: String) -> PlaceError {
    PlaceError::Refused { dir: dir.to_owned(), why }
}

fn step<T>(path: &Path, what: &'static str, done: io::Result<T>) -> Result<T, PlaceError> {
    done.map_err(|source| PlaceError::Step { path: path.to_owned(), what, source })
}

#[cfg(test)]
mod tests;
