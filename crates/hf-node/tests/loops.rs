//! `maxloop` and `loop_interval` (reference 004, 7.11, 13.2.3, 14.4.2.3).

mod pair;

use hf_node::heart::LoopLimits;
use hf_types::{Caller, Command};
use pair::Lab;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(3600);

fn lab(max: u32, interval: Duration) -> Lab {
    Lab::with(|config| config.loops = LoopLimits { max, interval, zero_us: 1_000_000_000_000_000, reboot: false })
        .pair_up()
}

fn detector(lab: &mut Lab, node: usize) {
    lab.command_by(node, Command::Stopstart, Caller::detector("errd"));
}

fn stopped(lab: &Lab, node: usize) -> bool {
    lab.nodes[node].log.iter().any(|line| line == "Stopping loop")
}

fn restarts(lab: &Lab) -> usize {
    lab.nodes[1].log.iter().filter(|line| *line == "Local state WAIT magenta").count()
}

/// The secondary restarts and comes back into step; the primary stays.
fn restart_secondary(lab: &mut Lab) {
    let before = restarts(lab);
    detector(lab, 1);
    lab.run(50);
    assert_eq!(restarts(lab), before + 1, "{}", lab.logs());
    lab.until(20_000, ["PRIM green", "SECOND green"]);
}

#[test]
fn the_restart_after_maxloop_stops_the_module() {
    let mut lab = lab(2, INTERVAL);
    restart_secondary(&mut lab);
    restart_secondary(&mut lab);
    assert!(!stopped(&lab, 1));
    detector(&mut lab, 1);
    lab.run(50);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.has_in_order(1, &["Action stopstart called by errd", "Stopping loop", "End of stop", "Local state STOP red"]);
    // A person's start begins anew, with as many restarts as before.
    lab.command(1, Command::Start);
    lab.run(50);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.clear_logs();
    restart_secondary(&mut lab);
    assert!(!stopped(&lab, 1));
}

#[test]
fn every_kind_of_restart_counts() {
    for command in [Command::Restart, Command::Stopwait, Command::Stopstart] {
        let mut lab = lab(1, INTERVAL);
        lab.command_by(1, Command::Incloop, Caller::detector("handler"));
        lab.command_by(1, command, Caller::detector("handler"));
        lab.run(50);
        assert!(stopped(&lab, 1), "{command}");
        lab.until(20_000, ["ALONE green", "STOP red"]);
    }
}

#[test]
fn an_administrators_restarts_never_count_and_end_the_counting() {
    let mut lab = lab(2, INTERVAL);
    for _ in 0..4 {
        restart_secondary(&mut lab);
        lab.command(1, Command::Stopstart);
        lab.run(50);
        lab.until(20_000, ["PRIM green", "SECOND green"]);
    }
    assert!(!stopped(&lab, 1));
}

#[test]
fn the_interval_ends_the_counting_and_zero_turns_it_off() {
    let mut slow = lab(1, Duration::from_secs(60));
    for _ in 0..3 {
        restart_secondary(&mut slow);
        slow.run(61_000);
    }
    assert!(!stopped(&slow, 1));
    let mut off = lab(0, Duration::ZERO);
    for _ in 0..3 {
        restart_secondary(&mut off);
    }
    assert!(!stopped(&off, 1));
}

#[test]
fn a_handler_counts_by_itself() {
    let mut lab = lab(2, INTERVAL);
    let mut ask = |command| {
        lab.nodes[0].answers.clear();
        lab.command_by(0, command, Caller::detector("handler"));
        lab.run(10);
        lab.nodes[0].answers.last().cloned().expect("every command is answered")
    };
    assert_eq!(ask(Command::Checkloop), Ok(()));
    assert_eq!(ask(Command::Incloop), Ok(()));
    assert!(ask(Command::Incloop).expect_err("the limit is reached").contains("maxloop (2) is reached"));
    assert!(ask(Command::Checkloop).is_err());
    assert_eq!(ask(Command::Resetloop), Ok(()));
    assert_eq!(ask(Command::Checkloop), Ok(()));
}

#[test]
fn the_resource_shows_when_the_counting_began() {
    let mut lab = lab(2, INTERVAL);
    lab.command_by(0, Command::Incloop, Caller::detector("handler"));
    lab.run(10);
    let status = lab.nodes[0].heart.as_ref().expect("it runs").status();
    let resource = status.resources.iter().find(|resource| resource.name == "heart.stopstartloop");
    let value = resource.expect("it was assigned").value.to_string();
    let seconds: i64 = value.parse().expect("seconds since 1970");
    assert!((1_000_000_000..1_000_100_000).contains(&seconds), "{seconds}");
}

/// Replication that dies again and again on a node, until the module leaves its state there.
fn kill_until_it_gives_up(lab: &mut Lab, node: usize) {
    let given_up = |lab: &Lab| lab.nodes[node].log.iter().filter(|line| line.contains("dies again and again")).count();
    let before = given_up(lab);
    for _ in 0..10 {
        lab.kill_rfs(node);
        lab.run(200);
        if given_up(lab) > before {
            return;
        }
    }
    panic!("it never gave up:\n{}", lab.logs());
}

#[test]
fn our_own_restarts_count_too() {
    let mut lab = lab(1, INTERVAL);
    kill_until_it_gives_up(&mut lab, 1);
    lab.until(60_000, ["PRIM green", "SECOND green"]);
    assert!(!stopped(&lab, 1));
    kill_until_it_gives_up(&mut lab, 1);
    lab.until(60_000, ["ALONE green", "STOP red"]);
    assert!(stopped(&lab, 1));
}

/// The stop of a primary whose replication is dead begins with the mounts: its application waits in them.
#[test]
fn a_primary_without_replication_stops_and_the_other_takes_over() {
    let mut lab = lab(0, INTERVAL);
    kill_until_it_gives_up(&mut lab, 0);
    lab.until(60_000, ["STOP red", "ALONE green"]);
    assert!(stopped(&lab, 0));
    let scripts = &lab.nodes[0].scripts;
    assert!(scripts.iter().any(|line| line.starts_with("stop_prim PRIM STOP stop")), "{scripts:?}");
    assert!(!lab.nodes[0].vip && lab.nodes[1].vip);
}

fn rebooting_lab(max: u32, interval: Duration) -> Lab {
    let limits = LoopLimits { max, interval, zero_us: 1_000_000_000_000_000, reboot: true };
    Lab::with(|config| config.loops = limits).pair_up()
}

fn begins_reboot(lab: &Lab, node: usize) -> bool {
    lab.nodes[node].log.iter().any(|line| line.contains("to reboot this machine"))
}

/// The secondary's machine goes down for a detector's stopstart, comes back, and the module is started at boot.
fn reboot_secondary(lab: &mut Lab) {
    lab.nodes[1].rebooted = false;
    detector(lab, 1);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.run(2_000);
    assert!(lab.nodes[1].rebooted && lab.nodes[1].heart.is_none(), "{}", lab.logs());
    lab.command_by(1, Command::Start, Caller::boot());
    lab.run(50);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
}

#[test]
fn a_detectors_stopstart_reboots_until_maxloop_stops_the_module() {
    let mut lab = rebooting_lab(2, INTERVAL);
    reboot_secondary(&mut lab);
    reboot_secondary(&mut lab);
    assert_eq!(lab.nodes[1].loops.map(|loops| loops.count), Some(2));
    lab.nodes[1].rebooted = false;
    detector(&mut lab, 1);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.run(2_000);
    assert!(stopped(&lab, 1) && !lab.nodes[1].rebooted, "{}", lab.logs());
    // A person's start begins anew, also on the disk.
    lab.command(1, Command::Start);
    lab.run(50);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    assert_eq!(lab.nodes[1].loops, None);
    reboot_secondary(&mut lab);
}

#[test]
fn only_a_stopstart_by_a_detector_reboots() {
    let mut lab = rebooting_lab(3, INTERVAL);
    lab.command(1, Command::Stopstart);
    lab.run(50);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.command_by(0, Command::Restart, Caller::detector("errd"));
    lab.run(2_000);
    assert!(!begins_reboot(&lab, 0) && !begins_reboot(&lab, 1), "{}", lab.logs());
}

/// A reboot that is not counted could be followed by another one for ever.
#[test]
fn what_the_disk_does_not_take_is_a_stopstart() {
    for mute in [false, true] {
        let mut lab = rebooting_lab(2, INTERVAL);
        (lab.nodes[1].full, lab.nodes[1].mute) = (true, mute);
        let before = restarts(&lab);
        detector(&mut lab, 1);
        lab.run(if mute { 9_000 } else { 50 });
        assert_eq!(restarts(&lab), if mute { before } else { before + 1 }, "{}", lab.logs());
        lab.run(2_000);
        assert_eq!(restarts(&lab), before + 1, "{}", lab.logs());
        lab.until(20_000, ["PRIM green", "SECOND green"]);
        assert!(!begins_reboot(&lab, 1));
    }
}

#[test]
fn a_person_goes_before_a_reboot() {
    let mut lab = rebooting_lab(2, INTERVAL);
    lab.nodes[1].mute = true;
    detector(&mut lab, 1);
    lab.run(100);
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.run(15_000);
    assert!(!lab.nodes[1].rebooted && lab.nodes[1].heart.is_none(), "{}", lab.logs());
}

/// Nothing of it goes by the wall clock: the counter on the disk ages by the time in which the module ran.
#[test]
fn a_counter_on_the_disk_ages_while_the_module_runs() {
    let mut lab = rebooting_lab(1, Duration::from_secs(60));
    reboot_secondary(&mut lab);
    lab.run(30_000);
    assert!(lab.nodes[1].loops.is_some());
    lab.run(31_000);
    assert_eq!(lab.nodes[1].loops, None);
    reboot_secondary(&mut lab);
    assert!(!stopped(&lab, 1));
}
