//! Configuration files: text in, values or diagnostics out.
//!
//! Two files describe an installation. `cluster.xml` (reference 004, chapter 12) names the nodes and their
//! addresses on each network; `userconfig.xml` (chapter 13) describes one module. [`parse_cluster`] and
//! [`parse_module`] turn their text into [`Cluster`] and [`ModuleConfig`], plain data with every default filled in.
//!
//! Nothing here touches a file or the environment: the caller hands in the text, a name to show for the file, and
//! a closure for environment variables (they stand for `%NAME%`, chapter 13.1).
//!
//! **All errors at once.** Parsing goes on after an error wherever the rest still has a meaning, so that an
//! administrator repairs a file in one go. Each [`Diagnostic`] has a [`Code`], a place, a message and, where there is
//! one, a way out. [`Diagnostics`] renders them as text with the line shown, and serialises for JSON.
//!
//! **Nothing is ignored.** A tag or attribute that the reference knows and this version does not serve yet is refused
//! with [`Code::NotYet`]; one that nobody knows is refused with the nearest known name. What is accepted without
//! effect (attributes of other systems, checks that come later) leaves a note or a warning: [`check_cluster`] and
//! [`check_module`] return those beside the value.
//!
//! **Hostile text** can cost time in proportion to its size, bounded by [`MAX_TEXT_BYTES`], and never a panic.

mod cluster;
mod context;
mod diagnostic;
mod element;
mod model;
mod module;
mod render;
mod spec;
mod suggest;
mod values;
mod xml;

pub use cluster::{Cluster, Lan, LanNode, UnknownOwnNode, check_cluster, parse_cluster};
pub use diagnostic::{Checked, Code, Diagnostic, Diagnostics, Severity};
pub use model::{
    AsyncMode, Boot, DefaultPrim, Heart, Heartbeat, Logging, Mode, ModuleConfig, Replicated, Rfs, Service, User,
    Variable, Vip, VipInterface, VirtualAddr,
};
pub use module::{check_module, parse_module};
pub use xml::MAX_TEXT_BYTES;
