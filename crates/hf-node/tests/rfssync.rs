//! `rfssync` (reference 004, 13.6.4.9): what it chooses holds for the next synchronisation, and no longer.

mod pair;

use hf_node::heart::HeartInput;
use hf_types::{Command, SyncPolicy, SyncRole, SyncWish, Ticket};
use hf_wire::bus::DaemonToHeart;
use pair::Lab;

fn settings(lab: &Lab, node: usize) -> [String; 3] {
    ["rfssyncmode", "rfssyncrole", "rfssyncuid"]
        .map(|name| lab.nodes[node].resources[&format!("usersetting.{name}")].clone())
}

fn choose(lab: &mut Lab, node: usize, policy: SyncPolicy) {
    lab.hear(node, HeartInput::Daemon(DaemonToHeart::Rfssync { ticket: Ticket(9), policy }));
    lab.run(100);
}

/// The secondary leaves and comes back; what that synchronisation was begun with.
fn synchronise(lab: &mut Lab) -> SyncWish {
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.command(1, Command::Start);
    lab.until(30_000, ["PRIM green", "SECOND green"]);
    *lab.nodes[0].wishes.last().expect("one was begun")
}

fn external(role: SyncRole) -> SyncPolicy {
    SyncPolicy::external(role, "one").unwrap()
}

#[test]
fn what_was_chosen_before_the_start_is_asked_for_and_over_once_both_are_in_step() {
    let mut lab = Lab::with(|config| {
        let role = if config.me_first { SyncRole::Prim } else { SyncRole::Second };
        config.sync_policy = external(role);
    });
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    assert_eq!(settings(&lab, 0), ["external", "prim", "one"]);
    lab.command(1, Command::Second);
    lab.until(20_000, ["ALONE green", "SECOND magenta"]);
    assert_eq!(settings(&lab, 1), ["external", "second", "one"]);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    for node in 0..2 {
        assert_eq!(settings(&lab, node), ["default", "default", "default"]);
        assert_eq!(lab.nodes[node].policies_forgotten, 1);
    }
    assert_eq!(lab.nodes[0].wishes, [SyncWish::FULL]);
    assert_eq!(synchronise(&mut lab), SyncWish::default(), "only once");
}

#[test]
fn what_is_chosen_in_step_waits_for_the_next_synchronisation() {
    let mut lab = Lab::paired();
    choose(&mut lab, 0, SyncPolicy::Full);
    lab.run(5_000);
    assert_eq!(settings(&lab, 0), ["full", "default", "default"]);
    assert_eq!(synchronise(&mut lab), SyncWish::FULL);
    assert_eq!(settings(&lab, 0), ["default", "default", "default"]);
    assert_eq!(lab.nodes[0].policies_forgotten, 1);
}

#[test]
fn a_choice_is_taken_back() {
    let mut lab = Lab::paired();
    choose(&mut lab, 0, external(SyncRole::Prim));
    assert_eq!(settings(&lab, 0), ["external", "prim", "one"]);
    choose(&mut lab, 0, SyncPolicy::Default);
    assert_eq!(settings(&lab, 0), ["default", "default", "default"]);
    assert_eq!(synchronise(&mut lab), SyncWish::default());
}
