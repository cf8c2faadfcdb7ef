//! From a package to a directory that is there complete or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use zip::ZipArchive;

use crate::error::{InstallError, Refused};
use crate::name::shown;
use crate::plan::{Limits, Plan, PlannedFile, plan};
use crate::receive;

/// As [`install`], but a process of its own decodes the package: `decoder` must call [`crate::decode_as_nobody`]. What it says is
/// judged as if the package itself said it.
pub fn install_with(
    decoder: &mut Command,
    package_file: &Path,
    target_dir: &Path,
    limits: &Limits,
) -> Result<(), InstallError> {
    refuse_existing(target_dir)?;
    place(target_dir, |fresh| receive::unpack(decoder, package_file, fresh, limits), |fresh| put_new(fresh, target_dir))
}

/// As [`replace`], with a process of its own as [`install_with`] has it.
pub fn replace_with(
    decoder: &mut Command,
    package_file: &Path,
    target_dir: &Path,
    limits: &Limits,
) -> Result<(), InstallError> {
    place(
        target_dir,
        |fresh| receive::unpack(decoder, package_file, fresh, limits),
        |fresh| exchange(fresh, target_dir),
    )
}

/// Unpacks a package as `target_dir`, which must not be there yet; the directory it lies in must be.
///
/// The contents are unpacked beside the target, written to the disk and then renamed, so that a power cut leaves
/// the complete directory or none (and a `.NAME.unpacking`, which the next call removes).
pub fn install(package_file: &Path, target_dir: &Path, limits: &Limits) -> Result<(), InstallError> {
    refuse_existing(target_dir)?;
    unpack_beside(package_file, target_dir, limits, |fresh| put_new(fresh, target_dir))
}

fn refuse_existing(target_dir: &Path) -> Result<(), InstallError> {
    match target_dir.symlink_metadata() {
        Ok(_) => Err(InstallError::AlreadyThere { path: target_dir.to_owned() }),
        Err(_) => Ok(()),
    }
}

fn put_new(fresh: &Path, target_dir: &Path) -> Result<(), InstallError> {
    match renameat_with(CWD, fresh, CWD, target_dir, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::EXIST) => Err(InstallError::AlreadyThere { path: target_dir.to_owned() }),
        other => other.map_err(|error| write_error("rename", fresh, error.into())),
    }
}

fn exchange(fresh: &Path, target_dir: &Path) -> Result<(), InstallError> {
    renameat_with(CWD, fresh, CWD, target_dir, RenameFlags::EXCHANGE)
        .map_err(|error| write_error("exchange", target_dir, error.into()))?;
    fs::remove_dir_all(fresh).map_err(|error| write_error("remove the old", fresh, error))
}

/// Unpacks a package in the place of a directory that is there; the old one is removed when the new one is complete.
///
/// At every moment the target is the old or the new directory as a whole.
pub fn replace(package_file: &Path, target_dir: &Path, limits: &Limits) -> Result<(), InstallError> {
    unpack_beside(package_file, target_dir, limits, |fresh| exchange(fresh, target_dir))
}

fn unpack_beside(
    package_file: &Path,
    target_dir: &Path,
    limits: &Limits,
    put_in_place: impl FnOnce(&Path) -> Result<(), InstallError>,
) -> Result<(), InstallError> {
    let (mut archive, plan) = open(package_file, limits)?;
    place(target_dir, |fresh| unpack(package_file, &mut archive, &plan, fresh), put_in_place)
}

/// Has the contents written beside the target, and then put in its place.
fn place(
    target_dir: &Path,
    unpack: impl FnOnce(&Path) -> Result<(), InstallError>,
    put_in_place: impl FnOnce(&Path) -> Result<(), InstallError>,
) -> Result<(), InstallError> {
    let (parent, fresh) = fresh_path(target_dir)?;
    let parent_file = File::open(&parent).map_err(|error| write_error("open", &parent, error))?;
    // One at a time, so that the leftover that is removed here is nobody's work in progress.
    flock(&parent_file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| InstallError::Busy { path: parent.clone() })?;
    remove_leftover(&fresh)?;
    let done = unpack(&fresh).and_then(|()| put_in_place(&fresh));
    if let Err(cause) = done {
        return Err(clean_up(fresh, cause));
    }
    parent_file.sync_all().map_err(|error| write_error("sync", &parent, error))
}

/// The target's parent, and where the contents are put together.
fn fresh_path(target_dir: &Path) -> Result<(PathBuf, PathBuf), InstallError> {
    let bad = || InstallError::BadTarget { path: target_dir.to_owned() };
    let name = target_dir.file_name().and_then(|name| name.to_str()).ok_or_else(bad)?;
    if name.starts_with('.') {
        return Err(bad());
    }
    let parent = match target_dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => return Err(bad()),
    };
    let fresh = parent.join(format!(".{name}.unpacking"));
    Ok((parent, fresh))
}

fn open(package_file: &Path, limits: &Limits) -> Result<(ZipArchive<File>, Plan), InstallError> {
    let file = File::open(package_file);
    open_file(
        package_file,
        file.map_err(|source| InstallError::Read { path: package_file.to_owned(), source })?,
        limits,
    )
}

/// Opens a package and judges it by its directory; `package_file` is for messages.
pub(crate) fn open_file(
    package_file: &Path,
    file: File,
    limits: &Limits,
) -> Result<(ZipArchive<File>, Plan), InstallError> {
    let unreadable = |source| InstallError::Read { path: package_file.to_owned(), source };
    let refused = |reason| InstallError::Refused { path: package_file.to_owned(), reason };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("it isn't a file")));
    }
    let bytes = metadata.len();
    if bytes > limits.package_bytes {
        return Err(refused(Refused::PackageTooLarge { bytes, limit: limits.package_bytes }));
    }
    let mut archive = ZipArchive::new(file).map_err(|error| refused(Refused::NotAZip(error)))?;
    let plan = plan(&mut archive, bytes, limits).map_err(refused)?;
    Ok((archive, plan))
}

fn remove_leftover(fresh: &Path) -> Result<(), InstallError> {
    match fs::remove_dir_all(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(write_error("remove", fresh, error)),
        _ => Ok(()),
    }
}

fn unpack(package_file: &Path, archive: &mut ZipArchive<File>, plan: &Plan, fresh: &Path) -> Result<(), InstallError> {
    // Nobody else gets into it before it is complete.
    make_directory(fresh)?;
    for directory in &plan.directories {
        make_directory(&join(fresh, directory))?;
    }
    for file in &plan.files {
        unpack_file(package_file, archive, file, fresh)?;
    }
    let mut directories: Vec<PathBuf> = plan.directories.iter().map(|parts| join(fresh, parts)).collect();
    directories.reverse();
    directories.push(fresh.to_owned());
    directories.iter().try_for_each(|directory| finish_directory(directory))
}

pub(crate) fn make_directory(path: &Path) -> Result<(), InstallError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| write_error("make the directory", path, error))
}

pub(crate) fn finish_directory(path: &Path) -> Result<(), InstallError> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|error| write_error("set the mode of", path, error))?;
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| write_error("sync", path, error))
}

fn unpack_file(
    package_file: &Path,
    archive: &mut ZipArchive<File>,
    file: &PlannedFile,
    fresh: &Path,
) -> Result<(), InstallError> {
    let path = join(fresh, &file.parts);
    let damaged = |source| InstallError::Damaged {
        path: package_file.to_owned(),
        name: shown(file.parts.join("/").as_bytes()),
        source,
    };
    let mut entry = archive.by_index(file.index).map_err(|error| damaged(io::Error::other(error)))?;
    let mut out = create_file(&path)?;
    copy(&mut entry, &mut out, file.bytes, &path, &damaged)?;
    finish_file(&out, &path, file.executable)
}

pub(crate) fn create_file(path: &Path) -> Result<File, InstallError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| write_error("make", path, error))
}

pub(crate) fn finish_file(out: &File, path: &Path, executable: bool) -> Result<(), InstallError> {
    let mode = if executable { 0o755 } else { 0o644 };
    out.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(|error| write_error("set the mode of", path, error))?;
    out.sync_all().map_err(|error| write_error("sync", path, error))
}

/// Copies exactly the size that was planned with; a byte more or fewer is damage. The end of the entry is where its
/// checksum is compared.
pub(crate) fn copy(
    entry: &mut impl Read,
    out: &mut File,
    bytes: u64,
    path: &Path,
    damaged: &dyn Fn(io::Error) -> InstallError,
) -> Result<(), InstallError> {
    let mut buffer = vec![0; 64 * 1024];
    let mut done = 0u64;
    loop {
        let read = entry.read(&mut buffer).map_err(damaged)?;
        done += read as u64;
        if done > bytes || (read == 0 && done < bytes) {
            return Err(damaged(io::Error::new(io::ErrorKind::InvalidData, "it isn't of the size that it claims")));
        }
        if read == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..read]).map_err(|error| write_error("write", path, error))?;
    }
}

pub(crate) fn join(fresh: &Path, parts: &[String]) -> PathBuf {
    parts.iter().fold(fresh.to_owned(), |path, part| path.join(part))
}

fn clean_up(fresh: PathBuf, cause: InstallError) -> InstallError {
    match fs::remove_dir_all(&fresh) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            InstallError::LeftBehind { cause: Box::new(cause), path: fresh, source }
        }
        _ => cause,
    }
}

fn write_error(action: &'static str, path: &Path, source: io::Error) -> InstallError {
    InstallError::Write { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(contents: &[u8], claimed: u64) -> Result<(), InstallError> {
        let mut out = tempfile::tempfile().expect("a temporary file");
        let damaged = |source| InstallError::Damaged { path: PathBuf::from("p"), name: "n".to_owned(), source };
        copy(&mut &contents[..], &mut out, claimed, Path::new("n"), &damaged)
    }

    #[test]
    fn contents_must_have_the_size_that_was_planned_with() {
        copied(b"abc", 3).expect("the right size");
        assert!(matches!(copied(b"abc", 2), Err(InstallError::Damaged { .. })));
        assert!(matches!(copied(b"abc", 4), Err(InstallError::Damaged { .. })));
    }
}
