//! Module packages: `.safe` files, which are zip files with `conf/` and `bin/` at their top.
//!
//! [`install`] unpacks one into a directory that appears complete or not at all; [`pack`] makes one, the same bytes
//! from the same files each time.
//!
//! A package comes from somewhere else, and its scripts will run as root. Unpacking must not do more than put files
//! where they belong, so a package is refused as a whole, before the first byte is written, when
//!
//! - a name is absolute, climbs (`..`), is empty, has a backslash or a control character, or isn't UTF-8,
//! - two entries have one name, or one is a file where another needs a directory,
//! - an entry is a link, a device, a pipe or a socket, has the set-user or set-group bit, or is encrypted,
//! - there are more entries, bytes or directories in each other than [`Limits`] allows, or the contents are so much
//!   larger than the package that it must be a bomb; the real sizes are counted again while unpacking,
//! - two entries share bytes of the package,
//! - `conf/userconfig.xml` is missing.
//!
//! Owners and times in the package mean nothing: files come out as whoever unpacks, 0644, or 0755 if they can be run
//! (every file in `bin/` can).
//!
//! **Known gap:** the package is decoded in the process that calls, with its rights. A decoder that runs as `nobody` in a
//! process of its own would also contain a bug in the decompressor (safe Rust, without C); this isn't there yet.

mod error;
mod install;
mod name;
mod pack;
mod plan;

pub use error::{InstallError, PackError, Refused};
pub use install::{install, replace};
pub use pack::pack;
pub use plan::Limits;
