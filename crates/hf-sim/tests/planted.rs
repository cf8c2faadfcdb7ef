//! The harness sees what it is there for: each planted bug is caught by the invariant that it breaks, within some seeds (most at once; a late record takes hundreds).

use hf_sim::bugs::Bug;
use hf_sim::faults::Class;
use hf_sim::{Options, run};

/// Runs seeds with the bug until one of `invariants` is violated. Others may be violated on the way.
fn caught(bug: Bug, faults: &[Class], invariants: &[&str]) {
    const SEEDS: std::ops::Range<u64> = 1..4000;
    let options = Options { ops: 600, faults: faults.to_vec(), bug: Some(bug), ..Options::default() };
    let mut others = Vec::new();
    for seed in SEEDS {
        match run(seed, &options) {
            Err(failure) if invariants.contains(&failure.violation.invariant) => return,
            Err(failure) => others.push(failure.violation.invariant),
            Ok(_) => {}
        }
    }
    panic!("{bug:?} was never caught by {invariants:?} in {SEEDS:?}, but by {others:?}");
}

const LOST: &str = "no_acknowledged_operation_lost";
const ONE: &str = "one_acknowledges";
const NOT_UP_TO_DATE: &str = "not_up_to_date_never_primary";

#[test]
fn a_record_that_is_not_stored() {
    caught(Bug::RecordLost, &[Class::Power, Class::Admin], &[LOST, ONE, NOT_UP_TO_DATE, "reaches_prim_second"]);
}

#[test]
fn a_record_that_is_stored_too_late() {
    caught(
        Bug::RecordEarly,
        &[Class::Power, Class::SlowDisk, Class::Link, Class::KillRfs],
        &[LOST, ONE, NOT_UP_TO_DATE],
    );
}

#[test]
fn a_fence_that_is_ignored() {
    caught(Bug::FenceIgnored, &[Class::KillHeart, Class::KillRfs], &["fence_ends_grants", ONE]);
}

#[test]
fn a_permission_without_ground() {
    caught(Bug::GrantForNothing, &[Class::Link, Class::Power, Class::Partition], &[LOST, ONE]);
}

#[test]
fn an_acknowledgement_without_the_other_copy() {
    caught(Bug::AckBeforePeer, &[Class::Power, Class::Partition], &[LOST, ONE]);
}

#[test]
fn up_to_date_before_it_is_applied() {
    caught(Bug::UpToDateEarly, &[Class::Power, Class::KillHeart], &[NOT_UP_TO_DATE, LOST]);
}

#[test]
fn an_address_that_outlives_its_heart() {
    caught(Bug::VipOutlives, &[Class::Freeze], &["one_virtual_ip"]);
}

#[test]
fn a_stall_that_nobody_notices() {
    caught(Bug::StallUnnoticed, &[Class::Freeze], &["thawed_never_alone"]);
}

#[test]
fn a_copy_that_always_says_it_is_up_to_date() {
    caught(Bug::AlwaysUpToDate, &[Class::Power], &[NOT_UP_TO_DATE, LOST]);
}

#[test]
fn a_generation_without_parent() {
    caught(Bug::HistoryForgotten, &[Class::Power], &["generations_descend"]);
}

#[test]
fn an_operation_that_is_confirmed_and_left_out() {
    caught(Bug::OperationSkipped, &[Class::Power], &[LOST, "reaches_prim_second"]);
}
