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
//! **Nothing is ignored.** The tables in `spec` say of every tag and attribute of the reference what becomes of it.
//! What this version doesn't serve and what would be missed is refused with [`Code::NotYet`]; what is merely without
//! effect (so far, here, or on this system) is checked and accepted, with a note or a warning that says so:
//! [`check_cluster`] and [`check_module`] return those beside the value. A name that nobody knows is refused with the
//! nearest known one. [`reference_page`] writes the tables down, [`tag_pages`] a page for each tag.
//!
//! **Hostile text** can cost time in proportion to its size, bounded by [`MAX_TEXT_BYTES`], and never a panic.

mod change;
mod check_model;
mod cluster;
mod context;
mod diagnostic;
mod element;
mod farm_model;
mod model;
mod module;
mod ocf;
mod render;
mod schedule;
mod spec;
mod values;
mod wanted;
mod xml;

pub use change::{Change, changes};
pub use check_model::{
    Check, CheckAction, Checker, CustomCheck, DiskCheck, Errd, Failover, HttpBody, HttpCheck, HttpTls, IntfCheck,
    IpCheck, ModuleCheck, PingCheck, Proc, ProcAction, Reaction, Room, SCRIPT_CLASSES, SplitbrainCheck, Target,
    TcpCheck, When,
};
pub use cluster::{
    Addresses, BadAddresses, Cluster, Family, Host, Lan, LanNode, UnknownOwnNode, check_cluster, parse_cluster,
};
pub use context::OnNode;
pub use diagnostic::{Checked, Code, Diagnostic, Diagnostics, Severity};
pub use farm_model::{Farm, Filter, LoadGroup, LoadRule, Proto, VirtualMac};
pub use hf_types::{Mode, nearest};
pub use model::{
    AsyncMode, Boot, DefaultPrim, Heart, Heartbeat, HostNameWhen, Logging, ModuleConfig, NotReplicated, OcfAgent,
    OcfClass, Replicated, Rfs, Service, User, Variable, Vip, VipInterface, VirtualAddr, VirtualHostName,
};
pub use module::ocf::MONITOR as OCF_MONITOR;
pub use module::{Exclusions, FAILOVER_XML, Pattern, RFS_XML, check_module, check_module_on, parse_module};
pub use ocf::{OcfMetaData, OcfParameter};
pub use schedule::{Schedule, WallMinute};
pub use spec::{TagPage, reference_page, tag_pages};
pub use wanted::Wanted;
pub use xml::MAX_TEXT_BYTES;
