//! `mountover="off"`: a replicated directory that keeps its name.
//!
//! The data stays in `/a/dir`. While the module runs, the same directory is also mounted under the backing directory's name, where it is opened and covered as
//! every other, and our mount lies over `/a/dir`. Stopped, nothing of ours is left but the control directory; a boot after a crash finds the directory as it is.
//!
//! The second mount is a border that no file can be moved over, so files without names are kept inside, as on a file system of its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::filesystem::{bind, unmount};
use super::{Kind, Place, PlaceError, step};

impl Place {
    /// Mounts the directory a second time. What another configuration left is undone first.
    pub(super) fn bring_unrenamed(&self) -> Result<(), PlaceError> {
        let (_, at_backing) = self.own_mounts()?;
        if at_backing && !self.moved().exists() {
            return self.check_same_directory();
        }
        self.give_name_back()?;
        self.check_filesystem()?;
        self.check_free()?;
        match (self.kind(&self.dir)?, self.kind(&self.backing)?) {
            (Kind::Dir { .. }, Kind::Absent) => step(&self.backing, "made", fs::create_dir(&self.backing))?,
            (Kind::Dir { .. }, Kind::Dir { empty: true }) => {}
            (Kind::Dir { .. }, Kind::Dir { empty: false }) => {
                return Err(PlaceError::Both { dir: self.dir.clone(), backing: self.backing.clone() });
            }
            (dir, backing) => return Err(self.in_the_way(dir, backing)),
        }
        bind(&self.dir, &self.backing)
    }

    /// The second mount goes.
    pub(super) fn return_unrenamed(&self) -> Result<(), PlaceError> {
        let (_, at_backing) = self.own_mounts()?;
        if !at_backing || self.moved().exists() {
            return Ok(());
        }
        unmount(&self.backing)?;
        step(&self.backing, "removed", fs::remove_dir(&self.backing))
    }

    /// The module was configured with `mountover="on"` before: the data has the other name.
    fn give_name_back(&self) -> Result<(), PlaceError> {
        match (self.kind(&self.dir)?, self.kind(&self.backing)?) {
            (Kind::Link(target), Kind::Dir { .. }) if target == self.backing => self.undo_renaming(),
            (Kind::Absent | Kind::Dir { empty: true }, Kind::Dir { empty: false }) => self.undo_renaming(),
            _ => Ok(()),
        }
    }

    /// We died between the mount and ours, or are started again.
    fn check_same_directory(&self) -> Result<(), PlaceError> {
        let identity = |path: &Path| step(path, "examined", fs::metadata(path)).map(|meta| (meta.dev(), meta.ino()));
        if identity(&self.dir)? == identity(&self.backing)? {
            return Ok(());
        }
        let what = "another directory than the one that is replicated".into();
        Err(PlaceError::InTheWay { path: self.backing.clone(), what })
    }
}
