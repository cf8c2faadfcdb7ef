use crate::modules::ModuleError;
use hf_host::files::{FileError, failed, make_dir};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Deepest directory that is copied: nobody nests a module's scripts further, except a mistake.
const DEPTH_MAX: usize = 16;

/// Copies a directory of plain files: the copies are ours, nobody else can write them, and they are on the disk afterwards.
pub fn tree(from: &Path, to: &Path) -> Result<(), ModuleError> {
    copy_dir(from, to, 0)
}

fn copy_dir(from: &Path, to: &Path, depth: usize) -> Result<(), ModuleError> {
    if depth > DEPTH_MAX {
        return Err(unfit(from));
    }
    make_dir(to, 0o755)?;
    for entry in fs::read_dir(from).map_err(failed("list", from))? {
        let entry = entry.map_err(failed("list", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed("look at", &source))?;
        if kind.is_dir() {
            copy_dir(&source, &target, depth + 1)?;
        } else if kind.is_file() {
            copy_file(&source, &target)?;
        } else {
            return Err(unfit(&source));
        }
    }
    sync(to).map_err(failed("sync", to))?;
    Ok(())
}

fn unfit(path: &Path) -> ModuleError {
    ModuleError::Unfit { path: path.to_owned() }
}

fn copy_file(from: &Path, to: &Path) -> Result<(), FileError> {
    let copy = || -> io::Result<()> {
        let mut source = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(from)?;
        let runs = source.metadata()?.permissions().mode() & 0o111 != 0;
        let mode = if runs { 0o755 } else { 0o644 };
        let mut target = OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
        target.set_permissions(fs::Permissions::from_mode(mode))?;
        io::copy(&mut source, &mut target)?;
        target.sync_all()
    };
    copy().map_err(failed("copy", from))
}

fn sync(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}
