//! Taking names away, and moving them.

use std::io;

use rustix::fs::{AtFlags, RenameFlags};

use super::{Backing, Found, Name, Replaced};
use crate::pipeline::FileId;
use crate::table::HELD;

/// What became of the file that lost a name.
pub type Removed = Replaced;

impl Backing {
    /// Takes away a name of the file that was found under it. If it was the last one and the kernel knows the file, the file is held.
    pub fn unlink(&self, parent: FileId, name: &Name, found: &Found) -> io::Result<Removed> {
        if found.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        let dir = self.node(parent)?;
        let fate = self.fate(found);
        match fate {
            Replaced::Held => self.hold_entry(&dir, name, found.id)?,
            Replaced::Goes => {
                rustix::fs::unlinkat(dir.dir()?, name.as_c_str(), AtFlags::empty())?;
                self.gone_if_last(found);
            }
        }
        self.names_changed(parent);
        Ok(fate)
    }

    /// Takes away an empty directory.
    pub fn rmdir(&self, parent: FileId, name: &Name, found: &Found) -> io::Result<()> {
        let dir = self.node(parent)?;
        rustix::fs::unlinkat(dir.dir()?, name.as_c_str(), AtFlags::REMOVEDIR)?;
        self.names_changed(parent);
        self.dir_gone(found.id);
        Ok(())
    }

    /// Moves `source`, or exchanges it with `target`; `target` is what is found under the new name now. Call it only for two different files: two names of one file stay as they are (POSIX).
    pub fn rename(
        &self,
        (parent, name, source): (FileId, &Name, &Found),
        (new_parent, new_name, target): (FileId, &Name, Option<&Found>),
        flags: RenameFlags,
    ) -> io::Result<()> {
        let (from, to) = (self.node(parent)?, self.node(new_parent)?);
        let replaced = target.filter(|_| !flags.contains(RenameFlags::EXCHANGE));
        let held = replaced.filter(|t| !t.is_dir() && self.fate(t) == Replaced::Held);
        // A target that will not be replaced after all (a directory onto a file...) must not stay there: see below.
        if let Some(target) = held {
            self.hold_link(&to, new_name, target.id)?;
        }
        let done = rustix::fs::renameat_with(from.dir()?, name.as_c_str(), to.dir()?, new_name.as_c_str(), flags);
        if let Err(error) = done {
            if let Some(target) = held {
                self.unhold(target.id)?;
            }
            return Err(error.into());
        }
        debug_assert!(target.is_none_or(|t| t.id != source.id));
        self.names_changed(parent);
        self.names_changed(new_parent);
        match (replaced, held) {
            (_, Some(target)) => self.held(target.id)?,
            (Some(target), None) if target.is_dir() => self.dir_gone(target.id),
            (Some(target), None) => self.gone_if_last(target),
            (None, None) => {}
        }
        Ok(())
    }

    /// What becomes of a file (no directory) when it loses this name.
    fn fate(&self, found: &Found) -> Replaced {
        if found.stat.st_nlink == 1 && self.table.is_known_to_kernel(found.id) {
            Replaced::Held
        } else {
            Replaced::Goes
        }
    }

    fn gone_if_last(&self, found: &Found) {
        if found.stat.st_nlink == 1 {
            self.forget(found.id);
        }
    }

    /// A directory that a process stands in goes on to exist, empty, as long as its descriptor is open.
    pub(crate) fn dir_gone(&self, id: FileId) {
        if self.table.is_known_to_kernel(id) {
            self.table.set_flags(id, HELD);
        } else {
            self.forget(id);
        }
    }
}
