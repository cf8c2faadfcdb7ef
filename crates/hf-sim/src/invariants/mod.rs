//! What must hold in every run: a sentence a file, with its source.

mod diverged_copy_is_kept;
mod drained_is_there;
mod fence_ends_grants;
mod generations_descend;
mod no_acknowledged_operation_lost;
mod not_up_to_date_never_primary;
mod one_acknowledges;
mod one_virtual_ip;
mod reaches_prim_second;
mod silence_is_real;
mod thawed_never_alone;
mod witness_parts_nobody;

pub use reaches_prim_second::{equal_at_rest, must_decide};

use crate::facts::{Fact, View};

/// A sentence that is checked at every fact.
pub trait Invariant {
    /// Short name, as reports and tests say it.
    fn name(&self) -> &'static str;
    /// The sentence.
    fn sentence(&self) -> &'static str;
    /// Where it is promised.
    fn source(&self) -> &'static str;
    /// Looks at a fact; the ledger knows it already.
    ///
    /// # Errors
    /// What contradicts the sentence.
    fn see(&mut self, fact: &Fact, view: &View<'_>) -> Result<(), String>;
}

/// All of them.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(one_acknowledges::OneAcknowledges::default()),
        Box::new(fence_ends_grants::FenceEndsGrants::default()),
        Box::new(no_acknowledged_operation_lost::NoAcknowledgedOperationLost),
        Box::new(not_up_to_date_never_primary::NotUpToDateNeverPrimary::default()),
        Box::new(drained_is_there::DrainedIsThere::default()),
        Box::new(diverged_copy_is_kept::DivergedCopyIsKept::default()),
        Box::new(silence_is_real::SilenceIsReal::default()),
        Box::new(thawed_never_alone::ThawedNeverAlone::default()),
        Box::new(one_virtual_ip::OneVirtualIp::default()),
        Box::new(witness_parts_nobody::WitnessPartsNobody),
        Box::new(generations_descend::GenerationsDescend::default()),
        Box::new(reaches_prim_second::ReachesPrimSecond),
    ]
}
