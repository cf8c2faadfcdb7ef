//! The file of `cluster config`: a cluster.xml, or a zip file with it and the key.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use hf_wire::bus::ClusterKeySource;
use zip::ZipArchive;

use crate::error::CliError;

/// No real cluster.xml is larger; the daemon refuses it anyway.
const MAX_BYTES: u64 = 1 << 20;
const KEY_MAX_BYTES: u64 = 1 << 10;
/// A cluster.zip has two files; one that has thousands is something else.
const ENTRIES_MAX: usize = 64;

/// What a file holds.
pub(super) struct Contents {
    pub(super) xml: String,
    pub(super) key: ClusterKeySource,
}

pub(super) fn read(path: &Path) -> Result<Contents, CliError> {
    let unreadable = |source| CliError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
        return read_zip(path, file);
    }
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > MAX_BYTES {
        return Err(CliError::Usage(format!("{} has {bytes} bytes; that is no cluster.xml", path.display())));
    }
    let mut xml = String::new();
    file.take(MAX_BYTES).read_to_string(&mut xml).map_err(unreadable)?;
    Ok(Contents { xml, key: ClusterKeySource::Fresh })
}

fn read_zip(path: &Path, file: File) -> Result<Contents, CliError> {
    let bad = |why: String| CliError::Usage(format!("{} can't be used: {why}", path.display()));
    let mut archive = ZipArchive::new(file).map_err(|error| bad(error.to_string()))?;
    if archive.len() > ENTRIES_MAX {
        return Err(bad(format!("it has {} files; a cluster.zip has cluster.xml and cluster.key", archive.len())));
    }
    let mut text = |name: &str, limit: u64| -> Result<Option<String>, CliError> {
        let Some(at) = (0..archive.len()).find(|at| {
            // An entry that can't be read isn't the one.
            let Ok(entry) = archive.by_index(*at) else { return false };
            entry.name().is_ok_and(|inside| inside == name || inside.ends_with(&format!("/{name}")))
        }) else {
            return Ok(None);
        };
        let entry = archive.by_index(at).map_err(|error| bad(error.to_string()))?;
        let mut text = String::new();
        // One byte more than allowed tells that it is too long, whatever its head says.
        entry.take(limit + 1).read_to_string(&mut text).map_err(|error| bad(format!("{name}: {error}")))?;
        if text.len() as u64 > limit { Err(bad(format!("{name} in it is too large"))) } else { Ok(Some(text)) }
    };
    let xml = text("cluster.xml", MAX_BYTES)?.ok_or_else(|| bad("it has no cluster.xml".to_owned()))?;
    let key = text("cluster.key", KEY_MAX_BYTES)?;
    Ok(Contents { xml, key: key.map_or(ClusterKeySource::Fresh, ClusterKeySource::Given) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_zip_file_has_the_configuration_and_the_key() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("cluster.zip");
        let write = |files: &[(&str, &str)]| {
            let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
            for (name, text) in files {
                zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
                zip.write_all(text.as_bytes()).unwrap();
            }
            zip.finish().unwrap();
        };
        write(&[("cluster/cluster.xml", "<cluster/>"), ("cluster/cluster.key", "ab")]);
        let read = read(&path).unwrap();
        assert_eq!((read.xml.as_str(), read.key), ("<cluster/>", ClusterKeySource::Given("ab".to_owned())));
        write(&[("cluster.xml", "<cluster/>")]);
        assert_eq!(super::read(&path).unwrap().key, ClusterKeySource::Fresh);
        write(&[("other.xml", "")]);
        assert!(super::read(&path).is_err());
        write(&[("cluster.xml", &" ".repeat(2 << 20))]);
        assert!(super::read(&path).is_err());
        std::fs::write(&path, "no zip").unwrap();
        assert!(super::read(&path).is_err());
    }
}
