//! A replicated directory that is a file system of its own (reference 004, 13.6.4.2).
//!
//! A mount point can't be renamed. What the reference asks the administrator for, is done here, and undone when the module stops: while it runs the file system
//! is mounted under the backing directory's name, else where it always is. So `/etc/fstab` stays as it is, and a boot after a crash finds everything in its place.
//! Who mounts it under the backing directory's name by himself (the reference's procedure) gets a link, as everybody else.
//!
//! ```text
//! /a/dir_For_SafeKit_Replication.hold/filesystem     which file system it is; also in .holdfast/filesystem on it
//! /a/dir_For_SafeKit_Replication.hold/moved          it is to go back to /a/dir
//! ```
//! The first keeps an empty mount point, or another disk, from being taken for the copy.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, UnmountFlags};

use super::{COVER, Kind, OURS, Place, PlaceError, holders, step};
use crate::backing::INSIDE;

const NOTE: &str = "filesystem";

impl Place {
    /// Is it mounted where applications use it, and under the backing directory's name?
    pub(super) fn own_mounts(&self) -> Result<(bool, bool), PlaceError> {
        let mounts = self.mounts()?;
        let at = |path: &Path, other: &dyn Fn(&super::MountEntry) -> bool| {
            mounts.iter().any(|mount| mount.mountpoint == path && other(mount))
        };
        Ok((at(&self.dir, &|m| m.fs_type != OURS), at(&self.backing, &|m| m.source != COVER)))
    }

    /// Before anything is mounted: a file system of its own goes under the backing directory's name. Nothing to do without one.
    pub(super) fn bring_filesystem(&self) -> Result<(), PlaceError> {
        match self.own_mounts()? {
            (false, false) if self.note().exists() => Err(PlaceError::NotMounted { dir: self.dir.clone() }),
            (false, false) => Ok(()),
            (false, true) => self.check_same(&self.backing),
            (true, false) => {
                self.check_filesystem()?;
                self.check_free()?;
                self.move_there()
            }
            // We died between the two.
            (true, true) => {
                let device = |path: &Path| step(path, "examined", fs::metadata(path)).map(|meta| meta.dev());
                if device(&self.dir)? != device(&self.backing)? {
                    let what = "another file system than the one of the directory".into();
                    return Err(PlaceError::InTheWay { path: self.backing.clone(), what });
                }
                unmount(&self.dir)
            }
        }
    }

    fn move_there(&self) -> Result<(), PlaceError> {
        match self.kind(&self.backing)? {
            Kind::Absent => step(&self.backing, "made", fs::create_dir(&self.backing))?,
            Kind::Dir { empty: true } => {}
            _ => return Err(PlaceError::Both { dir: self.dir.clone(), backing: self.backing.clone() }),
        }
        step(&self.moved(), "made", fs::write(self.moved(), ""))?;
        bind(&self.dir, &self.backing)?;
        unmount(&self.dir)?;
        // What lies under the mount would be hidden for good.
        if self.kind(&self.dir)? != (Kind::Dir { empty: true }) {
            let both = PlaceError::Both { dir: self.dir.clone(), backing: self.backing.clone() };
            self.return_filesystem()?;
            return Err(both);
        }
        Ok(())
    }

    /// The other way round; false when there is nothing to be put back.
    pub(super) fn return_filesystem(&self) -> Result<bool, PlaceError> {
        let (at_dir, at_backing) = self.own_mounts()?;
        if !at_backing || !self.moved().exists() {
            return Ok(at_dir);
        }
        if !at_dir {
            match self.kind(&self.dir)? {
                Kind::Absent => step(&self.dir, "made", fs::create_dir(&self.dir))?,
                Kind::Link(target) if target == self.backing => {
                    step(&self.dir, "unlinked", fs::remove_file(&self.dir))?;
                    step(&self.dir, "made", fs::create_dir(&self.dir))?;
                }
                _ => {}
            }
            bind(&self.backing, &self.dir)?;
        }
        unmount(&self.backing)?;
        step(&self.backing, "removed", fs::remove_dir(&self.backing))?;
        step(&self.moved(), "removed", fs::remove_file(self.moved()))?;
        Ok(true)
    }

    /// If the directory is, or was, a file system of its own: is it that one?
    pub(super) fn check_filesystem(&self) -> Result<(), PlaceError> {
        match self.own_mounts()?.0 {
            true => self.check_same(&self.dir),
            false if self.note().exists() => Err(PlaceError::NotMounted { dir: self.dir.clone() }),
            false => Ok(()),
        }
    }

    pub(super) fn check_free(&self) -> Result<(), PlaceError> {
        let holders = holders::below(&self.dir, &[std::process::id()]);
        if holders.is_empty() { Ok(()) } else { Err(PlaceError::Held { backing: self.dir.clone(), holders }) }
    }

    /// Is it the one that was replicated before? The first time it is noted.
    fn check_same(&self, at: &Path) -> Result<(), PlaceError> {
        let inside = at.join(INSIDE);
        for dir in [&self.control, &inside] {
            step(dir, "made", fs::DirBuilder::new().recursive(true).mode(0o700).create(dir))?;
        }
        let (ours, theirs) = (read(&self.note())?, read(&inside.join(NOTE))?);
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if ours == theirs => Ok(()),
            (Some(_), _) => Err(PlaceError::OtherFilesystem { dir: self.dir.clone(), control: self.control.clone() }),
            (None, theirs) => {
                let mark = theirs.map_or_else(|| step(&inside, "marked", new_mark()), Ok)?;
                for path in [inside.join(NOTE), self.note()] {
                    let written = fs::write(&path, &mark).and_then(|()| fs::File::open(&path)?.sync_all());
                    step(&path, "written", written)?;
                }
                Ok(())
            }
        }
    }

    fn note(&self) -> PathBuf {
        self.control.join(NOTE)
    }

    pub(super) fn moved(&self) -> PathBuf {
        self.control.join("moved")
    }
}

fn new_mark() -> io::Result<String> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:032x}\n", u128::from_le_bytes(bytes)))
}

fn read(path: &Path) -> Result<Option<String>, PlaceError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => step(path, "read", other).map(Some),
    }
}

/// The same file system at another place. What is mounted there later is nobody else's.
pub(super) fn bind(from: &Path, to: &Path) -> Result<(), PlaceError> {
    step(to, "mounted", rustix::mount::mount_bind(from, to).map_err(io::Error::from))?;
    let private = rustix::mount::mount_change(to, MountPropagationFlags::PRIVATE);
    step(to, "made private", private.map_err(io::Error::from))
}

/// Who still has a directory of it open keeps that.
pub(super) fn unmount(at: &Path) -> Result<(), PlaceError> {
    let flags = UnmountFlags::NOFOLLOW | UnmountFlags::DETACH;
    step(at, "unmounted", rustix::mount::unmount(at, flags).map_err(io::Error::from))
}
