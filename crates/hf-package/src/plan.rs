//! The whole package is judged from its directory before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

use zip::ZipArchive;

use crate::error::Refused;
use crate::name::{parts, shown};

/// What a package may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the package itself in bytes.
    pub package_bytes: u64,
    /// Files and directories.
    pub entries: usize,
    /// All contents together in bytes.
    pub total_bytes: u64,
    /// How many times larger than the package the contents may be, once they have more than a mebibyte.
    pub ratio: u64,
    /// Directories in each other, the file counted too.
    pub depth: usize,
}

impl Default for Limits {
    /// Ample for scripts and configuration: 64 MiB, 4096 entries, 256 MiB of contents, ratio 100, depth 16.
    fn default() -> Self {
        Limits { package_bytes: 64 << 20, entries: 4096, total_bytes: 256 << 20, ratio: 100, depth: 16 }
    }
}

/// Below this, the ratio doesn't matter: small repetitive files compress very well.
const RATIO_FREE_BYTES: u64 = 1 << 20;

/// A file to unpack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedFile {
    /// Its number in the zip file.
    pub(crate) index: usize,
    /// Its path in parts.
    pub(crate) parts: Vec<String>,
    /// The size that it claims.
    pub(crate) bytes: u64,
    /// Whether it can be run.
    pub(crate) executable: bool,
}

/// What a package comes out as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Directories, each after the one that it is in.
    pub(crate) directories: BTreeSet<Vec<String>>,
    pub(crate) files: Vec<PlannedFile>,
}

/// Judges a package by its directory.
pub(crate) fn plan<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    package_bytes: u64,
    limits: &Limits,
) -> Result<Plan, Refused> {
    if archive.len() > limits.entries {
        return Err(Refused::TooManyEntries { count: archive.len(), limit: limits.entries });
    }
    if archive.has_duplicate_names() {
        return Err(Refused::DuplicateEntries);
    }
    if archive.has_overlapping_entries().map_err(Refused::NotAZip)? {
        return Err(Refused::Overlap);
    }
    let mut plan = Plan::default();
    for index in 0..archive.len() {
        take_entry(archive, index, limits, &mut plan)?;
    }
    check_collisions(&plan)?;
    check_sizes(&plan, package_bytes, limits)?;
    let is_configuration = |file: &PlannedFile| file.parts == ["conf", "userconfig.xml"];
    if !plan.files.iter().any(is_configuration) {
        return Err(Refused::NotAModule);
    }
    Ok(plan)
}

fn take_entry<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
    limits: &Limits,
    plan: &mut Plan,
) -> Result<(), Refused> {
    let entry = archive.by_index_raw(index).map_err(Refused::NotAZip)?;
    let raw = entry.name_raw().to_vec();
    let refuse_name = |why| Refused::BadName { name: shown(&raw), why };
    let name = std::str::from_utf8(&raw).map_err(|_| refuse_name("isn't UTF-8"))?;
    let parts: Vec<String> = parts(name, limits.depth).map_err(refuse_name)?.into_iter().map(str::to_owned).collect();
    if entry.encrypted() {
        return Err(Refused::Encrypted { name: shown(&raw) });
    }
    // Not the library's unix_mode(), which hides the special bits. Whatever system wrote the entry: if there is a
    // mode, it counts.
    let mode = entry.external_attributes() >> 16;
    let directory = check_mode(mode, name.ends_with('/')).map_err(|refusal| refusal.at(shown(&raw)))?;
    for depth in 1..parts.len() {
        plan.directories.insert(parts[..depth].to_vec());
    }
    if directory {
        plan.directories.insert(parts);
    } else {
        let executable = parts[0] == "bin" || mode & 0o111 != 0;
        plan.files.push(PlannedFile { index, parts, bytes: entry.size(), executable });
    }
    Ok(())
}

/// A refusal that doesn't know its entry yet.
#[derive(Debug, PartialEq, Eq)]
enum BadMode {
    Kind(&'static str),
    Bits(u32),
}

impl BadMode {
    fn at(self, name: String) -> Refused {
        match self {
            BadMode::Kind(what) => Refused::BadKind { name, what },
            BadMode::Bits(mode) => Refused::BadMode { name, mode },
        }
    }
}

/// Whether an entry is a directory; refuses what is neither that nor a file.
fn check_mode(mode: u32, slash_at_end: bool) -> Result<bool, BadMode> {
    if mode & 0o7000 != 0 {
        return Err(BadMode::Bits(mode & 0o7777));
    }
    match mode & 0o170_000 {
        // Packages from systems without file types have none.
        0 => Ok(slash_at_end),
        0o040_000 if slash_at_end => Ok(true),
        0o100_000 if !slash_at_end => Ok(false),
        0o040_000 | 0o100_000 => Err(BadMode::Kind("a file and a directory at once")),
        0o120_000 => Err(BadMode::Kind("a symbolic link")),
        0o060_000 | 0o020_000 => Err(BadMode::Kind("a device")),
        0o010_000 => Err(BadMode::Kind("a pipe")),
        0o140_000 => Err(BadMode::Kind("a socket")),
        _ => Err(BadMode::Kind("of an unknown kind")),
    }
}

/// No name twice, and no file where a directory has to be.
fn check_collisions(plan: &Plan) -> Result<(), Refused> {
    let mut files: BTreeMap<&[String], ()> = BTreeMap::new();
    for file in &plan.files {
        let duplicate = files.insert(&file.parts, ()).is_some() || plan.directories.contains(&file.parts);
        if duplicate {
            return Err(Refused::Duplicate { name: shown(file.parts.join("/").as_bytes()) });
        }
    }
    Ok(())
}

fn check_sizes(plan: &Plan, package_bytes: u64, limits: &Limits) -> Result<(), Refused> {
    let total = plan.files.iter().try_fold(0u64, |sum, file| sum.checked_add(file.bytes));
    let total = total.filter(|total| *total <= limits.total_bytes);
    let Some(total) = total else { return Err(Refused::ContentsTooLarge { limit: limits.total_bytes }) };
    if total > RATIO_FREE_BYTES && total > package_bytes.saturating_mul(limits.ratio) {
        return Err(Refused::RatioTooLarge { limit: limits.ratio });
    }
    if plan.directories.len() + plan.files.len() > limits.entries {
        let count = plan.directories.len() + plan.files.len();
        return Err(Refused::TooManyEntries { count, limit: limits.entries });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_and_directories() {
        assert_eq!(check_mode(0, true), Ok(true));
        assert_eq!(check_mode(0o100_755, false), Ok(false));
        assert_eq!(check_mode(0o040_755, true), Ok(true));
        assert_eq!(check_mode(0o120_777, false), Err(BadMode::Kind("a symbolic link")));
        assert_eq!(check_mode(0o104_755, false), Err(BadMode::Bits(0o4755)));
        for kind in [0o060_000, 0o020_000, 0o010_000, 0o140_000, 0o150_000] {
            assert!(matches!(check_mode(kind | 0o644, false), Err(BadMode::Kind(_))), "{kind:o} passed");
        }
        assert!(check_mode(0o100_644, true).is_err());
    }
}
