//! What can go wrong. Names from a package are shown escaped.

use std::io;
use std::path::PathBuf;

/// Why a package is not accepted. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not a zip file, or a broken one.
    #[error("it isn't a sound zip file")]
    NotAZip(#[source] zip::result::ZipError),
    /// The file itself is too large.
    #[error("it has {bytes} bytes; {limit} are allowed")]
    PackageTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Too many entries.
    #[error("it has {count} entries; {limit} are allowed")]
    TooManyEntries {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The contents are too large altogether.
    #[error("its contents have more than {limit} bytes")]
    ContentsTooLarge {
        /// The limit.
        limit: u64,
    },
    /// The contents are so much larger than the package that it was made to fill a disk.
    #[error("its contents are more than {limit} times as large as the package")]
    RatioTooLarge {
        /// The limit.
        limit: u64,
    },
    /// A name that could lead somewhere else or can't be a file.
    #[error("the name {name} {why}")]
    BadName {
        /// The name, escaped.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two entries with one name.
    #[error("it has the name {name} twice")]
    Duplicate {
        /// The name, escaped.
        name: String,
    },
    /// Two entries with one name, as the zip file's own directory shows without saying which.
    #[error("it has two entries with one name")]
    DuplicateEntries,
    /// Two entries that share bytes of the file.
    #[error("two of its entries share the same bytes")]
    Overlap,
    /// Something else than a file or a directory.
    #[error("{name} is {what}; only files and directories are accepted")]
    BadKind {
        /// The name, escaped.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// Set-user, set-group or sticky bit.
    #[error("{name} has the mode {mode:o}: no set-user, set-group or sticky bits are accepted")]
    BadMode {
        /// The name, escaped.
        name: String,
        /// Its permission bits.
        mode: u32,
    },
    /// An encrypted entry.
    #[error("{name} is encrypted")]
    Encrypted {
        /// The name, escaped.
        name: String,
    },
    /// What the process that decodes packages says.
    #[error("{why}")]
    Decoder {
        /// Its sentence.
        why: String,
    },
    /// No `conf/userconfig.xml`.
    #[error("it has no conf/userconfig.xml, so it isn't a module")]
    NotAModule,
}

/// Why a package was not unpacked. The target is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The package can't be read.
    #[error("can't read the package {path}")]
    Read {
        /// The package.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The process that decodes packages can't be started.
    #[error("the process that decodes the package {path} can't be started")]
    Decoder {
        /// The package.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The package isn't accepted.
    #[error("the package {path} is refused: {reason}")]
    Refused {
        /// The package.
        path: PathBuf,
        /// Why.
        #[source]
        reason: Refused,
    },
    /// An entry can't be unpacked: damaged, or not of the size that it claims.
    #[error("the package {path} is damaged at {name}")]
    Damaged {
        /// The package.
        path: PathBuf,
        /// The entry, escaped.
        name: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The target's name can't be used.
    #[error("{path} can't be the name of an installed module")]
    BadTarget {
        /// The target.
        path: PathBuf,
    },
    /// The target is there already.
    #[error("{path} is there already; take it away first, or replace it")]
    AlreadyThere {
        /// The target.
        path: PathBuf,
    },
    /// Another unpacking into the same parent directory is under way.
    #[error("another package is just being unpacked into {path}; try again")]
    Busy {
        /// The parent directory.
        path: PathBuf,
    },
    /// The file system refused something.
    #[error("can't {action} {path}")]
    Write {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It failed, and the half unpacked directory could not be removed either.
    #[error("{cause}; and {path}, half unpacked, can't be removed")]
    LeftBehind {
        /// Why it failed.
        cause: Box<InstallError>,
        /// What is left.
        path: PathBuf,
        /// Why it is left.
        #[source]
        source: io::Error,
    },
}

/// Why no package was made. The package file is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The file system refused something.
    #[error("can't {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Something in the directory would be refused when the package is installed.
    #[error("{path} can't go into a package: {why}")]
    Unfit {
        /// What it is about.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The zip file could not be written.
    #[error("can't write the package {path}")]
    Zip {
        /// The package.
        path: PathBuf,
        /// The cause.
        #[source]
        source: zip::result::ZipError,
    },
}
