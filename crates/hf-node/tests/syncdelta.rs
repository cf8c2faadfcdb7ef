//! `syncdelta` (reference 004, 13.6.4.4): a copy that isn't up to date starts alone, if it was in step shortly before and nobody answers.

mod pair;

use hf_types::{Command, Standing};
use pair::Lab;

const MINUTE: u64 = 60_000;
const GIVEN_UP: &str = "Action uptodate from failover rule rfs_forceuptodate";

/// PRIM and SECOND with this `syncdelta`; then the secondary is stopped, the primary works on alone and loses power after `alone_ms`.
fn outlived(syncdelta_min: u64, alone_ms: u64) -> Lab {
    let mut lab = Lab::with(|config| config.syncdelta_min = syncdelta_min);
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.command(1, Command::Second);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.run(5 * MINUTE);
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.run(alone_ms);
    lab.power_off(0);
    // Nothing of that machine is heard any more, its daemon neither.
    lab.cut();
    lab.run(1000);
    lab.clear_logs();
    lab
}

#[test]
fn young_data_starts_alone_and_says_what_was_given_up() {
    let mut lab = outlived(10, 8 * MINUTE);
    lab.command(1, Command::Start);
    lab.until(20_000, ["STOP red", "ALONE green"]);
    lab.has_in_order(1, &["Resource rfs.synced set to up by syncedcheck", "Local state ALONE green"]);
    assert!(lab.logs().contains(GIVEN_UP), "{}", lab.logs());
    let log = lab.logs();
    assert!(log.contains("given up for 10 min (syncdelta); this copy was in step 8 min ago"), "{log}");
    assert_eq!(
        lab.nodes[1].disk[0].standing,
        Standing::AloneUnconfirmed,
        "the other one has more: this copy is at risk"
    );
}

#[test]
fn old_data_waits() {
    let mut lab = outlived(10, 11 * MINUTE);
    lab.command(1, Command::Start);
    lab.until(20_000, ["STOP red", "WAIT red"]);
    lab.has_in_order(
        1,
        &["Resource rfs.synced set to down by syncedcheck", "Action wait from failover rule notuptodate_server"],
    );
    lab.run(30 * MINUTE);
    assert!(!lab.logs().contains(GIVEN_UP));
}

#[test]
fn without_syncdelta_nothing_of_it_happens() {
    let mut lab = outlived(0, MINUTE);
    lab.command(1, Command::Start);
    lab.until(20_000, ["STOP red", "WAIT red"]);
    lab.run(5 * MINUTE);
    assert!(!lab.logs().contains(GIVEN_UP), "syncdelta is off");
    assert!(!lab.logs().contains("rfs.synced"), "and so is its resource");
}

/// Its daemon says that the module is stopped there: then somebody can start it.
#[test]
fn not_while_the_other_daemon_is_heard() {
    let mut lab = outlived(10, MINUTE);
    lab.heal();
    lab.command(1, Command::Start);
    lab.until(20_000, ["STOP red", "WAIT red"]);
    assert!(!lab.logs().contains(GIVEN_UP));
}

#[test]
fn a_clock_that_went_back_gives_nothing_up() {
    let mut lab = outlived(10, MINUTE);
    lab.nodes[1].config.loops.zero_us = -3_600_000_000;
    lab.command(1, Command::Start);
    lab.until(20_000, ["STOP red", "WAIT red"]);
    assert!(!lab.logs().contains(GIVEN_UP));
}

#[test]
fn the_other_node_comes_first_as_long_as_it_answers() {
    let mut lab = outlived(10, MINUTE);
    lab.heal();
    lab.command(0, Command::Start);
    lab.command(1, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    assert!(!lab.logs().contains(GIVEN_UP));
}

/// In step for long, then both lose power: the minute in which that was noted last counts, not the beginning.
#[test]
fn in_step_is_noted_every_minute() {
    let mut lab = Lab::with(|config| config.syncdelta_min = 10);
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.command(1, Command::Second);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.run(30 * MINUTE);
    lab.power_off(0);
    lab.power_off(1);
    lab.cut();
    lab.run(5 * MINUTE);
    lab.clear_logs();
    lab.command(1, Command::Start);
    lab.until(20_000, ["STOP red", "ALONE green"]);
    assert!(lab.logs().contains(GIVEN_UP), "{}", lab.logs());
}

/// What went on under it is a line of its own: the former primary's copy isn't overwritten without being kept (P7).
#[test]
fn the_other_copy_is_kept_when_it_comes_back() {
    let mut lab = outlived(10, MINUTE);
    lab.command(1, Command::Start);
    lab.until(20_000, ["STOP red", "ALONE green"]);
    lab.heal();
    lab.command(0, Command::Start);
    lab.until(40_000, ["SECOND green", "PRIM green"]);
    assert!(!lab.nodes[0].kept.is_empty(), "{}", lab.logs());
}
