//! `snapshot`: what explains a module, in one file to be sent to whoever helps (reference 004, 3.5, 7.16 and 9.7).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use hf_types::ModuleName;
use hf_wire::bus::Request;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::paths::Paths;
use crate::print;

/// A package of a module is small; whatever claims to be larger in one is left out, in bytes.
const CONFIGURED_MAX: u64 = 64 << 20;

/// Saves the module's last dumps and last configurations into one zip file, to be sent to whoever helps
///
/// A dump is made first. In the file, below AM: dump_..., the last three, and config_..., the last three configurations with the
/// module's scripts. No key is in it, but what stands in userconfig.xml and in the scripts is. An existing file is
/// replaced.
#[derive(Debug, Args)]
pub(crate) struct Snapshot {
    #[command(flatten)]
    module: ModuleArg,
    /// The zip file; an absolute path
    file: PathBuf,
}

pub(crate) async fn run(verb: Snapshot, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    if !verb.file.is_absolute() {
        return Err(CliError::Usage(format!("{}: give the file with its absolute path", verb.file.display())));
    }
    admin::ask(Request::Dump { module: module.clone() }, output).await?;
    let paths = Paths::from_environment();
    write(&paths, &module, &verb.file)?;
    match output {
        Output::Text => print::text(&format!("{}\n", verb.file.display()))?,
        Output::Json => print::json(&serde_json::json!({ "path": verb.file }))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Written beside its place, for its owner alone, and renamed when complete.
fn write(paths: &Paths, module: &ModuleName, file: &Path) -> Result<(), CliError> {
    let failed = |source| CliError::Write { path: file.to_owned(), source };
    let mut beside = file.as_os_str().to_owned();
    beside.push(".writing");
    let beside = PathBuf::from(beside);
    // What an interrupted one left.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
    let mut zip = ZipWriter::new(target);
    let dumps = paths.safevar.join("snapshot/modules").join(module.as_str());
    add_directory(&mut zip, &dumps, module.as_str())?;
    for (package, stamp) in packages(paths, module)? {
        add_package(&mut zip, &package, &format!("{module}/config_{stamp}/module"))?;
    }
    let done = zip.finish().map_err(|error| failed(error.into()))?;
    done.sync_all().and_then(|()| fs::rename(&beside, file)).map_err(failed)
}

/// The kept configurations, as packages, and when each was applied.
fn packages(paths: &Paths, module: &ModuleName) -> Result<Vec<(PathBuf, String)>, CliError> {
    let dir = paths.safe.join("modules/lastconfig");
    let mut found = Vec::new();
    for name in names(&dir)? {
        let stamp = name.strip_prefix(module.as_str()).and_then(|rest| rest.strip_prefix('_'));
        let stamp = stamp
            .and_then(|rest| rest.strip_suffix(".safe"))
            .filter(|stamp| stamp.len() == "2026-01-31_17-05-00".len());
        if let Some(stamp) = stamp {
            found.push((dir.join(&name), stamp.replace('-', "_")));
        }
    }
    Ok(found)
}

/// The names in a directory, in order; none if it isn't there.
fn names(dir: &Path) -> Result<Vec<String>, CliError> {
    let failed = |source| CliError::Read { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that isn't UTF-8 is none of ours.
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// All files below a directory. Links are not followed.
fn add_directory(zip: &mut ZipWriter<File>, dir: &Path, inside: &str) -> Result<(), CliError> {
    for name in names(dir)? {
        let path = dir.join(&name);
        let inside = format!("{inside}/{name}");
        let kind = fs::symlink_metadata(&path).map_err(|source| CliError::Read { path: path.clone(), source })?;
        if kind.is_dir() {
            add_directory(zip, &path, &inside)?;
        } else if kind.is_file() {
            let mut source = File::open(&path).map_err(|source| CliError::Read { path: path.clone(), source })?;
            add(zip, &inside, &path, &mut source)?;
        }
    }
    Ok(())
}

/// What is in a package. One that is damaged is in the snapshot as it is.
fn add_package(zip: &mut ZipWriter<File>, package: &Path, inside: &str) -> Result<(), CliError> {
    let open = || File::open(package).map_err(|source| CliError::Read { path: package.to_owned(), source });
    let Ok(mut archive) = ZipArchive::new(open()?) else {
        return add(zip, &format!("{inside}.safe"), package, &mut open()?);
    };
    for at in 0..archive.len() {
        let Ok(entry) = archive.by_index(at) else { continue };
        let Some(name) = entry.enclosed_name().filter(|_| entry.is_file()) else { continue };
        let inside = format!("{inside}/{}", name.display());
        add(zip, &inside, package, &mut entry.take(CONFIGURED_MAX))?;
    }
    Ok(())
}

fn add(zip: &mut ZipWriter<File>, inside: &str, path: &Path, source: &mut dyn Read) -> Result<(), CliError> {
    let failed = |source| CliError::Read { path: path.to_owned(), source };
    zip.start_file(inside, SimpleFileOptions::default().large_file(true)).map_err(|error| failed(error.into()))?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = source.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(());
        }
        zip.write_all(&buffer[..count]).map_err(failed)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_dumps_and_configurations() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths { safe: place.path().join("safe"), safevar: place.path().join("var") };
        let module: ModuleName = "pg".parse().expect("a name");
        let put = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).expect("a file");
        };
        let dumps = paths.safevar.join("snapshot/modules/pg");
        put(dumps.join("dump_2026_01_31_17_05_00/csv/log.csv"), "a");
        put(paths.safevar.join("snapshot/modules/pg2/dump_x/log.txt"), "of another module");
        std::os::unix::fs::symlink("/etc/shadow", dumps.join("link")).expect("a link");
        put(place.path().join("pg/conf/userconfig.xml"), "<safe/>");
        put(place.path().join("pg/bin/start_prim"), "#!/bin/sh\n");
        let kept = paths.safe.join("modules/lastconfig");
        fs::create_dir_all(&kept).expect("a directory");
        hf_package::pack(&place.path().join("pg"), &kept.join("pg_2026-01-31_17-05-00.safe")).expect("a package");
        put(kept.join("pg_2026-02-01_17-05-00.safe"), "damaged");
        let file = place.path().join("s.zip");
        put(file.with_file_name("s.zip.writing"), "interrupted");
        write(&paths, &module, &file).expect("it is written");
        let mut archive = ZipArchive::new(File::open(&file).expect("a file")).expect("a zip file");
        let mut names: Vec<String> = (0..archive.len())
            .map(|at| archive.by_index(at).expect("an entry").name().expect("a name").to_string())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "pg/config_2026_01_31_17_05_00/module/bin/start_prim",
                "pg/config_2026_01_31_17_05_00/module/conf/userconfig.xml",
                "pg/config_2026_02_01_17_05_00/module.safe",
                "pg/dump_2026_01_31_17_05_00/csv/log.csv"
            ]
        );
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).expect("a file"));
        assert_eq!(mode & 0o777, 0o600);
        assert!(!file.with_file_name("s.zip.writing").exists());
    }
}
