//! nf_tables over netlink: tables described as data, changed in batches that the kernel carries out whole or not at all.
//!
//! No library is used: those for the text or JSON form can't say that a checksum is to be corrected when bytes of an IPv6
//! packet are overwritten, and starting `nft` costs a process a change. Only what the farm needs is here.

pub(crate) mod attr;
mod expr;
mod kernel;
mod table;
#[cfg(test)]
mod tests;

/// IPv6 next header: fragment.
pub(crate) const FRAGMENT_HEADER: u8 = 44;

pub(crate) use expr::{Base, Comparison, Expr, Field, Meta, Register, Verdict};
pub use kernel::NftError;
pub(crate) use kernel::{Listed, Nft};
pub(crate) use table::{Chain, Elements, Family, Hook, Kind, Message, Ownership, Rule, Set, Table};
