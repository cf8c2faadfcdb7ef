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
//! The package is decoded by a process of its own ([`install_with`], [`decode_as_nobody`]), which runs as `nobody`, may open no file
//! for writing, start nothing and reach no network: it reads the package from its standard input and writes plain records, and
//! whoever unpacks judges names and sizes again before anything is written. So a bug in the decompressor is one of a process that can
//! do nothing. [`install`] decodes in the process that calls, for tools and tests that have no rights themselves.

mod decode;
mod error;
mod install;
mod name;
mod pack;
mod plan;
mod receive;
mod stream;

pub use decode::decode_as_nobody;
pub use error::{InstallError, PackError, Refused};
pub use install::{install, install_with, replace, replace_with};
pub use pack::pack;
pub use plan::Limits;
