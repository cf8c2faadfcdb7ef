//! Virtual addresses that meet others, are taken away, or lose their link.

mod pair;

use hf_node::heart::HeartInput;
use pair::{Lab, MS};
use std::net::IpAddr;

const VIP: &str = "10.0.0.100";
const STRANGER: &str = "02:00:00:00:00:07 on eth0";

fn vip() -> IpAddr {
    VIP.parse().unwrap()
}

fn removed(lab: &mut Lab) {
    lab.nodes[0].vip = false;
    lab.hear(0, HeartInput::VipRemoved { address: vip() });
}

fn claimed(lab: &mut Lab) {
    lab.hear(0, HeartInput::VipClaimed { address: vip(), by: STRANGER.to_owned() });
}

fn resource(lab: &Lab) -> &str {
    &lab.nodes[0].resources["ip.10.0.0.100"]
}

fn times_logged(lab: &Lab, part: &str) -> usize {
    lab.nodes[0].log.iter().filter(|line| line.contains(part)).count()
}

#[test]
fn an_address_that_somebody_takes_away_is_set_again_at_once_but_not_endlessly() {
    let mut lab = Lab::paired();
    lab.run(100);
    assert_eq!(resource(&lab), "up");
    let before = lab.nodes[0].tried.len();
    removed(&mut lab);
    lab.run(50);
    assert_eq!(lab.nodes[0].tried.len(), before + 1, "at once");
    lab.has_in_order(
        0,
        &[
            "Virtual IP <10.0.0.100 of mirror> failed: somebody removed it from its interface; it is set again",
            "Virtual IP <10.0.0.100 of mirror> set",
        ],
    );
    removed(&mut lab);
    lab.run(50);
    assert_eq!(resource(&lab), "down");
    assert_eq!(lab.nodes[0].tried.len(), before + 1, "somebody goes on: not at once again");
    lab.run(5_000);
    assert_eq!(lab.nodes[0].tried.len(), before + 2);
    assert_eq!(resource(&lab), "up");
}

#[test]
fn an_address_that_a_stranger_has_is_not_set_until_it_is_free() {
    let mut lab = Lab::new();
    lab.stranger = Some(format!("{STRANGER} has it"));
    let mut lab = lab.pair_up();
    lab.run(20_000);
    assert!(!lab.nodes[0].vip, "two machines with the address");
    assert_eq!(resource(&lab), "down");
    assert_eq!(times_logged(&lab, "has it"), 1, "told once\n{}", lab.logs());
    let tried = &lab.nodes[0].tried;
    assert_eq!((tried[1] - tried[0]) / 1000, 1, "the first time soon: {tried:?}");
    assert_eq!((tried[2] - tried[1]) / 1000, 5, "{tried:?}");
    lab.stranger = None;
    lab.run(6_000);
    assert!(lab.nodes[0].vip);
    assert_eq!(resource(&lab), "up");
}

#[test]
fn an_address_that_a_stranger_claims_too_stays_and_is_defended() {
    let mut lab = Lab::paired();
    lab.nodes[0].announced.clear();
    let begin = lab.now / MS;
    for _ in 0..12 {
        claimed(&mut lab);
        lab.run(1_000);
    }
    assert!(lab.nodes[0].vip);
    assert_eq!(resource(&lab), "down");
    assert_eq!(times_logged(&lab, STRANGER), 1, "{}", lab.logs());
    let times: Vec<u64> = lab.nodes[0].announced.iter().map(|at| at - begin).collect();
    assert_eq!(times, [0, 10_000], "at once, and at most every ten seconds");
    lab.run(30_000);
    assert_eq!(resource(&lab), "up");
    let name = "Virtual IP <10.0.0.100 of mirror>";
    let claimed = format!("{name} is claimed by {STRANGER} too: it stays here; take it away there");
    lab.has_in_order(0, &[&claimed, &format!("{name}: nobody else claims it any more")]);
}

#[test]
fn one_word_of_a_stranger_is_no_conflict() {
    let mut lab = Lab::paired();
    for _ in 0..3 {
        claimed(&mut lab);
        claimed(&mut lab);
        lab.run(31_000);
        assert_eq!(resource(&lab), "up");
    }
    assert_eq!(times_logged(&lab, "set to down"), 0, "{}", lab.logs());
    claimed(&mut lab);
    lab.run(1_000);
    claimed(&mut lab);
    lab.run(10);
    assert_eq!(resource(&lab), "down", "it was said again after this node had answered");
    assert_eq!(times_logged(&lab, "Resource ip.10.0.0.100 set to down by ipcheck"), 1);
    lab.run(31_000);
    assert_eq!(times_logged(&lab, "Resource ip.10.0.0.100 set to up by ipcheck"), 2);
}

#[test]
fn an_address_that_is_just_coming_is_not_down() {
    let mut lab = Lab::new();
    lab.stranger = Some(format!("{STRANGER} has it"));
    let mut lab = lab.pair_up();
    lab.run(1_000);
    assert_eq!(resource(&lab), "init", "the other node's may not have expired yet");
    lab.run(15_000);
    assert_eq!(resource(&lab), "down");
}

#[test]
fn what_is_not_checked_is_not_told() {
    let mut lab = Lab::paired();
    lab.command(0, hf_types::Command::CheckerOff);
    lab.run(10);
    assert_eq!(resource(&lab), "init");
    lab.command(0, hf_types::Command::CheckerOn);
    lab.run(10);
    assert_eq!(resource(&lab), "up");
}

#[test]
fn a_link_that_returns_is_told_where_the_address_is() {
    let mut lab = Lab::paired();
    lab.nodes[0].announced.clear();
    lab.hear(0, HeartInput::VipLinkBack { address: vip() });
    lab.run(50);
    assert_eq!(lab.nodes[0].announced.len(), 1);
}

#[test]
fn a_link_that_returns_brings_an_address_that_failed() {
    let mut lab = Lab::new();
    lab.stranger = Some("there is no interface".to_owned());
    let mut lab = lab.pair_up();
    lab.run(10_000);
    lab.stranger = None;
    let before = lab.nodes[0].tried.len();
    lab.hear(0, HeartInput::VipLinkBack { address: vip() });
    lab.run(50);
    assert_eq!(lab.nodes[0].tried.len(), before + 1, "at once");
    assert!(lab.nodes[0].vip);
}

#[test]
fn connections_are_counted_where_the_address_is() {
    let mut lab = Lab::with(|config| config.vips[0].connections = true).pair_up();
    lab.run(1_000);
    let count = |lab: &Lab, node: usize| lab.nodes[node].resources["connections.10.0.0.100"].clone();
    assert_eq!((count(&lab, 0), count(&lab, 1)), ("7".to_owned(), "0".to_owned()));
    lab.command(0, hf_types::Command::Swap);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    lab.run(11_000);
    assert_eq!((count(&lab, 0), count(&lab, 1)), ("0".to_owned(), "7".to_owned()));
}

#[test]
fn the_lan_is_asked_while_the_silence_still_lasts() {
    let mut lab = Lab::paired();
    lab.run(3_000);
    let begin = lab.now / MS;
    lab.cut();
    lab.until(20_000, ["ALONE green", "ALONE green"]);
    let taken = lab.nodes[1].tried.last().expect("it was set") - begin;
    let asked: Vec<u64> = lab.nodes[1].asked.iter().map(|at| at - begin).collect();
    assert_eq!(asked.len(), 1, "once: {asked:?}");
    assert!((taken - 250..=taken - 200).contains(&asked[0]), "asked at {asked:?}, taken over at {taken}");
    assert!(lab.nodes[0].asked.is_empty(), "the one that has the address asks nobody");
}

#[test]
fn a_question_changes_nothing_if_the_other_node_is_heard_again() {
    let mut lab = Lab::paired();
    lab.run(3_000);
    for round in 1..=2 {
        let tried = lab.nodes[1].tried.len();
        lab.beats = false;
        while lab.nodes[1].asked.len() < round {
            lab.run(10);
        }
        lab.beats = true;
        lab.run(10_000);
        assert_eq!(lab.nodes[1].asked.len(), round, "each silence has its own question, and only one");
        assert_eq!(lab.nodes[1].tried.len(), tried, "nothing is set");
        assert_eq!(lab.places(), ["PRIM green", "SECOND green"], "{}", lab.logs());
    }
}

#[test]
fn nobody_asks_who_would_not_take_over() {
    let mut lab = Lab::with(|config| config.failover = false).pair_up();
    lab.run(3_000);
    lab.power_off(0);
    lab.run(10_000);
    assert!(lab.nodes[1].asked.is_empty(), "{:?}", lab.nodes[1].asked);
}

/// Clients believe the one that spoke last, and that may have been the other one.
#[test]
fn who_stays_primary_announces_the_address_when_the_other_primary_goes() {
    let quiet = |config: &mut hf_node::heart::HeartConfig| config.vips[0].arp_reroute = false;
    let mut lab = Lab::with(quiet).pair_up();
    lab.cut();
    lab.until(20_000, ["ALONE green", "ALONE green"]);
    lab.nodes[0].announced.clear();
    lab.run(5_000);
    assert!(lab.nodes[0].announced.is_empty(), "repetitions are not wanted");
    lab.heal();
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.has_in_order(0, &["Split brain recovery: staying alone"]);
    assert_eq!(lab.nodes[0].announced.len(), 1, "{}", lab.logs());
}
