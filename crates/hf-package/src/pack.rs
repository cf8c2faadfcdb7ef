//! From a module's directory to a package, the same bytes each time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::error::PackError;
use crate::name::parts;
use crate::plan::Limits;

/// Packs a module's directory into a package.
///
/// The same files give the same bytes: entries come in the order of their names, owners and times are left out, and of
/// the modes only whether a file can be run. The package is written beside its place and renamed when complete.
pub fn pack(dir: &Path, package_file: &Path) -> Result<(), PackError> {
    let mut files = Vec::new();
    collect(dir, "", &mut files)?;
    files.sort();
    if !files.iter().any(|name| name == "conf/userconfig.xml") {
        let why = "a module needs conf/userconfig.xml".to_owned();
        return Err(PackError::Unfit { path: dir.to_owned(), why });
    }
    let bytes = encode(dir, &files, package_file)?;
    write_whole(package_file, &bytes)
}

/// The names of all files below a directory, relative, with slashes. Directories come from the names again.
fn collect(dir: &Path, prefix: &str, files: &mut Vec<String>) -> Result<(), PackError> {
    let here = dir.join(prefix);
    for entry in fs::read_dir(&here).map_err(|error| io_error("read", &here, error))? {
        let entry = entry.map_err(|error| io_error("read", &here, error))?;
        let unfit = |why: &str| PackError::Unfit { path: entry.path(), why: why.to_owned() };
        let name = entry.file_name().into_string().map_err(|_| unfit("its name isn't UTF-8"))?;
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        parts(&name, Limits::default().depth).map_err(|why| unfit(&format!("its name {why}")))?;
        let kind = entry.file_type().map_err(|error| io_error("look at", &entry.path(), error))?;
        if kind.is_dir() {
            collect(dir, &name, files)?;
        } else if kind.is_file() {
            files.push(name);
        } else {
            return Err(unfit("only files and directories are accepted"));
        }
    }
    Ok(())
}

fn encode(dir: &Path, files: &[String], package_file: &Path) -> Result<Vec<u8>, PackError> {
    let failed = |source| PackError::Zip { path: package_file.to_owned(), source };
    let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
    for name in files {
        let path = dir.join(name);
        let contents = fs::read(&path).map_err(|error| io_error("read", &path, error))?;
        let metadata = fs::metadata(&path).map_err(|error| io_error("look at", &path, error))?;
        let executable = name.starts_with("bin/") || metadata.permissions().mode() & 0o111 != 0;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(if executable { 0o755 } else { 0o644 });
        writer.start_file(name, options).map_err(failed)?;
        writer.write_all(&contents).map_err(|error| failed(error.into()))?;
    }
    Ok(writer.finish().map_err(failed)?.into_inner())
}

fn write_whole(package_file: &Path, bytes: &[u8]) -> Result<(), PackError> {
    let mut name = package_file.file_name().unwrap_or_default().to_owned();
    name.push(".packing");
    let beside: PathBuf = package_file.with_file_name(name);
    let mut file = File::create(&beside).map_err(|error| io_error("make", &beside, error))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| io_error("write", &beside, error))?;
    fs::rename(&beside, package_file).map_err(|error| io_error("rename", &beside, error))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> PackError {
    PackError::Io { action, path: path.to_owned(), source }
}
