//! A mirror module end to end in pure code: two hearts and two rfs actors, with the log texts of reference 004, 4.2 and 5.

mod pair;

use hf_node::heart::HeartInput;
use hf_replica::engine::Gate;
use hf_types::{Command, GenerationId, Record, Standing};
use pair::{Lab, MS};

#[test]
fn first_start_with_prim_and_second() {
    let lab = Lab::paired();
    lab.has_in_order(
        0,
        &[
            "Action prim called by SYSTEM/root",
            "Local state WAIT magenta",
            "Script prestart",
            "Local state ALONE magenta",
            "Virtual IP <10.0.0.100 of mirror> set",
            "Script start_prim",
            "Local state ALONE green",
            "Remote state SECOND green",
            "Local state PRIM green",
        ],
    );
    lab.has_in_order(
        1,
        &[
            "Action second called by SYSTEM/root",
            "Local state SECOND magenta",
            "Updating directory tree from /replicated",
            "Copied 2 KB, 3 files compared, 20 ms, 100 KB/sec",
            "Reintegration ended (synchronize)",
            "Local state SECOND green",
            "Remote state PRIM green",
        ],
    );
    assert_eq!(
        lab.nodes[0].scripts,
        [
            "prestart STOP WAIT start",
            "transition STOP WAIT start",
            "transition WAIT ALONE start",
            "start_prim WAIT ALONE start",
            "transition ALONE PRIM start",
        ]
    );
    assert!(matches!(lab.nodes[0].engine.gate, Some(Gate::InStep { .. })));
    assert_eq!(lab.nodes[1].engine.gate, Some(Gate::ReadOnly));
    assert_eq!(lab.nodes[0].disk[0].generation, lab.nodes[1].disk[0].generation);
}

#[test]
fn both_started_at_first_wait_for_an_administrator() {
    let mut lab = Lab::new();
    lab.command(0, Command::Start);
    lab.command(1, Command::Start);
    lab.until(20_000, ["WAIT red", "WAIT red"]);
    for node in 0..2 {
        lab.has_in_order(node, &[
            "Data may be not uptodate for replicated directories (wait for the start of the remote server): this copy was never synchronised",
            "Action wait from failover rule notuptodate_server",
            "If you are sure that this server has valid data, run safekit prim to force start as primary",
            "Local state WAIT red",
        ]);
    }
}

#[test]
fn stop_of_the_primary_and_its_return() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.command(0, Command::Stop);
    lab.until(5_000, ["STOP red", "ALONE green"]);
    assert_eq!(
        lab.nodes[0].log,
        [
            "Action stop called by SYSTEM/root",
            "Local state PRIM magenta",
            "Script stop_prim",
            "Script stop_prim force",
            "Virtual IP <10.0.0.100 of mirror> unset",
            "Remote state ALONE magenta",
            "Script poststop",
            "End of stop",
            "Local state STOP red",
        ]
    );
    lab.has_in_order(
        1,
        &[
            "Remote state PRIM magenta",
            "Reason of failover: remote stop",
            "Local state ALONE magenta",
            "Permission 2 to acknowledge: the other copy confirmed that it is outdated",
            "Virtual IP <10.0.0.100 of mirror> set",
            "Script start_prim",
            "Local state ALONE green",
        ],
    );
    assert_eq!(
        lab.nodes[0].scripts,
        [
            "stop_prim PRIM STOP stop",
            "stop_prim force PRIM STOP stop",
            "poststop PRIM STOP stop",
            "transition PRIM STOP stop",
        ]
    );
    assert_eq!(lab.nodes[1].disk[0].standing, Standing::AloneConfirmed);
    assert!(lab.nodes[0].disk[0].orderly, "{:?}", lab.nodes[0].disk);

    lab.run(10_000);
    lab.clear_logs();
    lab.command(0, Command::Start);
    lab.until(5_000, ["SECOND green", "PRIM green"]);
    lab.run(100);
    lab.has_in_order(0, &["Action start called by SYSTEM/root", "Local state SECOND green", "Remote state PRIM green"]);
    lab.has_in_order(1, &["Remote state SECOND green", "Local state PRIM green"]);
    assert!(lab.nodes[1].scripts.iter().all(|script| script.starts_with("transition")), "{:?}", lab.nodes[1].scripts);
}

#[test]
fn stop_of_the_secondary() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.command(1, Command::Stop);
    lab.until(3_000, ["ALONE green", "STOP red"]);
    lab.has_in_order(0, &["Reason of failover: remote stop", "Local state ALONE green"]);
    assert_eq!(lab.nodes[0].disk[0].standing, Standing::AloneConfirmed);
    assert!(matches!(lab.nodes[0].engine.gate, Some(Gate::Alone { .. })));
    lab.command(0, Command::Stop);
    lab.until(5_000, ["STOP red", "STOP red"]);
    // Reference 004, 5.5: the node without the newest data waits, the other one starts.
    lab.clear_logs();
    lab.command(1, Command::Start);
    lab.until(20_000, ["STOP red", "WAIT red"]);
    lab.has_in_order(1, &[
        "Action start called by SYSTEM/root",
        "Local state WAIT magenta",
        "Data may be not uptodate for replicated directories (wait for the start of the remote server): the other copy went on without this one",
        "Action wait from failover rule notuptodate_server",
        "If you are sure that this server has valid data, run safekit prim to force start as primary",
        "Local state WAIT red",
    ]);
    lab.command(0, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.has_in_order(1, &["Transition WAKEUP from failover rule Implicit_WAKEUP", "Local state SECOND green"]);
}

#[test]
fn power_off_of_the_primary() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.power_off(0);
    lab.until(6_000, ["STOP red", "ALONE green"]);
    lab.has_in_order(
        1,
        &[
            "Resource heartbeat.default set to down by heart",
            "Resource heartbeat.flow set to down by heart",
            "Remote state UNKNOWN grey",
            "Reason of failover: no heartbeat",
            "Script start_prim",
            "Local state ALONE green",
        ],
    );
    assert_eq!(lab.nodes[1].disk[0].standing, Standing::AloneUnconfirmed);
    lab.clear_logs();
    lab.command(0, Command::Start);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    lab.has_in_order(0, &["Action start called by SYSTEM/root", "Local state SECOND green"]);
}

#[test]
fn power_off_of_the_secondary() {
    let mut lab = Lab::paired();
    lab.power_off(1);
    lab.until(6_000, ["ALONE green", "STOP red"]);
    assert_eq!(lab.nodes[0].disk[0].standing, Standing::AloneUnconfirmed);
    lab.command(1, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
}

#[test]
fn swap_from_either_side() {
    for asked in 0..2 {
        let mut lab = Lab::paired();
        lab.clear_logs();
        let generation = lab.nodes[0].disk[0].generation;
        lab.command(asked, Command::Swap);
        lab.until(5_000, ["SECOND green", "PRIM green"]);
        lab.has_in_order(asked, &["Action swap called by SYSTEM/root", "Transition SWAP from SYSTEM", "Begin of Swap"]);
        let other = &lab.nodes[1 - asked].log;
        assert_eq!(
            other.iter().filter(|line| line.contains("Swap") || line.contains("SWAP")).count(),
            1,
            "{}",
            lab.logs()
        );
        lab.has_in_order(0, &["Begin of Swap", "Script stop_prim", "Local state SECOND green"]);
        lab.has_in_order(
            1,
            &["Begin of Swap", "Local state PRIM magenta", "Script start_prim", "Local state PRIM green"],
        );
        assert_eq!(lab.nodes[1].disk[0].generation, generation, "neither copy stopped being up to date");
        assert!(!lab.logs().contains("Reintegration"), "{}", lab.logs());
        assert!(matches!(lab.nodes[1].engine.gate, Some(Gate::InStep { .. })));
        assert_eq!(lab.nodes[0].answers.len() + lab.nodes[1].answers.len(), 1);
        // And back.
        lab.run(500);
        lab.command(0, Command::Swap);
        lab.until(5_000, ["PRIM green", "SECOND green"]);
    }
}

#[test]
fn default_primary_swaps_back() {
    let mut lab = Lab::with(|config| config.defaultprim = Some("node1".parse().unwrap())).pair_up();
    lab.power_off(0);
    lab.until(6_000, ["STOP red", "ALONE green"]);
    lab.clear_logs();
    lab.command(0, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.has_in_order(
        0,
        &["Local state SECOND green", "Transition SWAP from defaultprim", "Begin of Swap", "Local state PRIM green"],
    );
}

#[test]
fn split_brain_sacrifices_the_former_secondary() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.cut();
    lab.until(8_000, ["ALONE green", "ALONE green"]);
    for node in 0..2 {
        lab.has_in_order(
            node,
            &[
                "Resource heartbeat.default set to down by heart",
                "Resource heartbeat.flow set to down by heart",
                "Remote state UNKNOWN grey",
                "Local state ALONE green",
            ],
        );
    }
    lab.run(3_000);
    lab.clear_logs();
    // The address is on both sides now: the check for two addresses looks again after the sacrifice.
    lab.heal();
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.has_in_order(0, &["Remote state ALONE green", "Split brain recovery: staying alone"]);
    lab.has_in_order(1, &["Remote state ALONE green", "Split brain recovery: exiting alone", "Script stop_prim"]);
}

#[test]
fn a_frozen_primary_yields() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    // Frozen: nothing of it runs while the other one takes over.
    lab.freeze(0, 60_000);
    assert_eq!(lab.places()[1], "ALONE green", "{}", lab.logs());
    lab.clear_logs();
    lab.thaw(0, 60_000);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    lab.has_in_order(0, &["The other copy descends from this one: yielding to it", "Local state SECOND green"]);
    assert!(!lab.logs().contains("1: Local state ALONE"), "{}", lab.logs());
}

/// Each stands still while the other one runs, so that they never meet: the primary right after its heart gave the permission, the
/// secondary until then. What the secondary finds in its socket says enough.
#[test]
fn frozen_in_turn() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.freeze(1, 1_000);
    lab.until_logged(20_000, 0, "Permission");
    lab.freeze(0, 0);
    assert_eq!(lab.nodes[0].disk[0].standing, Standing::Connected, "its record says nothing of the permission yet");
    lab.thaw(1, 6_000);
    lab.run(30_000);
    assert!(!lab.logs().contains("2: Local state ALONE"), "{}", lab.logs());
    lab.thaw(0, 30_000);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
}

/// Whatever step of a swap a node stands still in: beside the one that took over it sets no address.
#[test]
fn frozen_in_a_swap() {
    for ms in 0..12 {
        let mut lab = Lab::new().pair_up();
        lab.clear_logs();
        lab.command(0, Command::Swap);
        while !lab.logs().contains("unset") {
            lab.run(1);
        }
        lab.run(ms);
        if lab.places()[0] != "PRIM magenta" {
            continue;
        }
        lab.freeze(0, 70_000);
        lab.clear_logs();
        lab.thaw(0, 70_000);
        lab.until(30_000, ["SECOND green", "PRIM green"]);
        assert!(!lab.logs().contains("1: Virtual IP <10.0.0.100 of mirror> set"), "after {ms} ms\n{}", lab.logs());
    }
}

/// The hearts don't hear each other, the daemons do: `prim` beside a primary is refused all the same.
#[test]
fn prim_believes_the_other_daemon() {
    let mut lab = Lab::new().pair_up();
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.beats = false;
    lab.run(10_000);
    lab.clear_logs();
    lab.command(1, Command::Prim);
    lab.run(20_000);
    lab.has_in_order(1, &["Action prim refused: the other node is already primary (ALONE)", "Local state STOP red"]);
}

#[test]
fn failover_off() {
    let mut lab = Lab::with(|config| config.failover = false).pair_up();
    lab.clear_logs();
    lab.power_off(0);
    lab.until(20_000, ["STOP red", "WAIT red"]);
    lab.has_in_order(
        1,
        &[
            "Failover-off configured",
            "Action stopstart called by failover-off",
            "Transition STOPSTART from failover-off",
            "Local state WAIT red",
        ],
    );
    lab.command(0, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    // Also after a stop in good order the same node is primary again.
    lab.command(0, Command::Stop);
    lab.until(20_000, ["STOP red", "WAIT red"]);
    lab.command(0, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
}

#[test]
fn prim_on_a_half_copy_is_refused() {
    let mut lab = Lab::new();
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.command(1, Command::Second);
    lab.until(20_000, ["ALONE green", "SECOND magenta"]);
    lab.run(12);
    assert!(!lab.nodes[1].disk[0].consistent, "in the middle of the copy");
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.command(0, Command::Stop);
    lab.until(20_000, ["STOP red", "STOP red"]);
    lab.clear_logs();
    lab.command(1, Command::Prim);
    lab.run(20_000);
    assert_eq!(lab.places(), ["STOP red", "STOP red"]);
    lab.has_in_order(
        1,
        &[
            "Action prim called by SYSTEM/root",
            "Data may be inconsistent for replicated directories (stopped during reintegration)",
            "If you are sure that this server has valid data, run safekit primforce to force start as primary",
            "Requested prim start aborted",
            "End of stop",
            "Local state STOP red",
        ],
    );
    lab.command(1, Command::Primforce);
    lab.until(20_000, ["STOP red", "ALONE green"]);
}

#[test]
fn second_without_a_primary_and_prim_beside_one_are_refused() {
    let mut lab = Lab::paired();
    lab.command(1, Command::Stop);
    lab.until(5_000, ["ALONE green", "STOP red"]);
    lab.command(1, Command::Prim);
    lab.run(5_000);
    assert_eq!(lab.places(), ["ALONE green", "STOP red"]);
    lab.has_in_order(
        1,
        &["Action prim refused: the other node is already primary (ALONE)", "Requested prim start aborted"],
    );
    lab.command(0, Command::Stop);
    lab.until(5_000, ["STOP red", "STOP red"]);
    lab.command(1, Command::Second);
    lab.run(10_000);
    assert_eq!(lab.places(), ["STOP red", "STOP red"]);
    lab.has_in_order(1, &["Action second refused: the other node is not primary (STOP)"]);
}

#[test]
fn both_lose_power_and_start_again() {
    let mut lab = Lab::paired();
    lab.power_off(0);
    lab.power_off(1);
    lab.command(1, Command::Start);
    lab.until(20_000, ["STOP red", "WAIT red"]);
    lab.command(0, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    assert_eq!(lab.nodes[0].disk[0].history.len(), 3, "in step, alone, in step: a generation each");
}

#[test]
fn both_are_stopped_at_once_and_started_again() {
    let mut lab = Lab::paired();
    lab.command(0, Command::Stop);
    lab.command(1, Command::Stop);
    lab.until(20_000, ["STOP red", "STOP red"]);
    lab.run(2000);
    lab.command(0, Command::Start);
    lab.command(1, Command::Start);
    lab.until(30_000, ["PRIM green", "SECOND green"]);
}

#[test]
fn rfs_dies_on_either_side() {
    for node in 0..2 {
        let mut lab = Lab::paired();
        lab.clear_logs();
        lab.kill_rfs(node);
        lab.run(100);
        lab.until(20_000, ["PRIM green", "SECOND green"]);
        lab.run(3_000);
        assert_eq!(lab.places(), ["PRIM green", "SECOND green"], "{}", lab.logs());
        lab.has_in_order(0, &["The replication link is back: both copies go on in step"]);
        assert!(!lab.logs().contains("Reintegration"), "nothing has to be compared\n{}", lab.logs());
        assert!(
            lab.nodes.iter().all(|node| node.scripts.iter().all(|script| script.starts_with("transition"))),
            "the application noticed\n{}",
            lab.logs()
        );
    }
}

#[test]
fn the_primarys_heart_dies() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.kill_heart(0);
    lab.until(1_000, ["STOP red", "ALONE green"]);
    lab.has_in_order(1, &["Reason of failover: remote heart dead, module fenced there", "Local state ALONE green"]);
    lab.command(0, Command::Start);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
}

#[test]
fn a_stall_of_the_secondary_is_no_failover() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.stall(1, 60_000);
    lab.stall(0, 60_000);
    lab.run(10_000);
    assert_eq!(lab.places(), ["PRIM green", "SECOND green"], "{}", lab.logs());
    lab.has_in_order(1, &["This process stood still for 60000 ms: listening before deciding anything"]);
}

#[test]
fn stopstart_hands_over() {
    let mut lab = Lab::paired();
    lab.command(0, Command::Stopstart);
    lab.run(1);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
}

#[test]
fn forced_stop() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.command(0, Command::Forcestop);
    lab.until(20_000, ["STOP red", "ALONE green"]);
    lab.has_in_order(
        0,
        &["Action forcestop called by SYSTEM/root", "Script stop_prim force", "End of stop", "Local state STOP red"],
    );
}

#[test]
fn a_failing_start_prim_is_logged_and_the_module_goes_on() {
    let mut lab = Lab::new();
    lab.prim_fails = true;
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.has_in_order(0, &["Script start_prim", "Script start_prim ended with exit code 1", "Local state ALONE green"]);
}

#[test]
fn stop_while_start_prim_runs() {
    let mut lab = Lab::new();
    lab.start_prim_ms = 5_000;
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE magenta", "STOP red"]);
    lab.run(500);
    lab.command(0, Command::Stop);
    lab.until(20_000, ["STOP red", "STOP red"]);
    lab.has_in_order(0, &["Script start_prim", "Action stop called by SYSTEM/root", "Script stop_prim", "End of stop"]);
    lab.command(0, Command::Start);
    lab.until(20_000, ["ALONE green", "STOP red"]);
}

#[test]
fn a_module_without_data() {
    let mut lab = Lab::with(|config| config.replicates = false);
    lab.command(0, Command::Start);
    lab.command(1, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.command(0, Command::Swap);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.power_off(0);
    lab.command(1, Command::Start);
    lab.until(20_000, ["STOP red", "ALONE green"]);
}

#[test]
fn only_the_link_breaks() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.break_link();
    lab.run(100);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.run(3_000);
    assert_eq!(lab.places(), ["PRIM green", "SECOND green"]);
    lab.has_in_order(0, &["The replication link is back: both copies go on in step"]);
    assert!(!lab.logs().contains("Reintegration"), "{}", lab.logs());
}

#[test]
fn a_link_that_stays_broken_takes_the_secondary_out() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.nodes[1].engine.stream = 0;
    lab.break_link();
    lab.run(900);
    assert_eq!(lab.nodes[0].engine.gate, Some(Gate::Closed), "nothing is acknowledged meanwhile");
    lab.run(300);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.has_in_order(
        0,
        &[
            "Permission 2 to acknowledge: the other copy confirmed that it is outdated",
            "Local state ALONE green",
            "Local state PRIM green",
        ],
    );
}

/// The secondary doesn't wait for the time-out, nor for scripts that may hang on that disk; the promise isn't durable, and the record says so.
#[test]
fn a_primary_whose_disk_fails_hands_over_by_its_word() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    let began = lab.now;
    lab.fail_disk(0);
    lab.until(20_000, ["STOP red", "ALONE green"]);
    assert!(lab.now - began < 2000 * MS, "{} ms", (lab.now - began) / MS);
    lab.has_in_order(
        0,
        &["This node promised that it acknowledges nothing any more", "Script stop_prim force", "End of stop"],
    );
    lab.has_in_order(1, &["Reason of failover: remote copy not up to date", "Local state ALONE green"]);
    assert_eq!(lab.nodes[1].disk[0].standing, Standing::AloneUnconfirmed);
    assert_eq!(lab.nodes[0].disk[0].standing, Standing::Connected, "nothing was written there");
    let why = lab.nodes[0].ended.clone().unwrap_or_default();
    assert!(why.contains("local disk error: Input/output error"), "{why}");
    assert!(why.contains("'holdfast start -m mirror'"), "the way back: {why}");
    assert_eq!(lab.nodes[0].resources["rfs.disk"], "down");
    lab.command(0, Command::Start);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    lab.run(1_000);
    assert_eq!(lab.nodes[0].resources["rfs.disk"], "up");
    lab.command(0, Command::Stop);
    lab.until(20_000, ["STOP red", "ALONE green"]);
    lab.run(2_000);
    assert_eq!(lab.nodes[0].ended, None, "an administrator stopped it");
}

#[test]
fn an_application_that_is_alone_gets_the_error_itself() {
    let mut lab = Lab::paired();
    lab.power_off(1);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.fail_disk(0);
    lab.run(5_000);
    assert_eq!(lab.places()[0], "ALONE green");
}

/// `<tocheck>`, or a file system that isn't there: nothing was started, so nothing is left half started.
#[test]
fn a_primary_whose_directory_cannot_be_mounted_stops_and_says_why() {
    let mut lab = Lab::new();
    lab.nodes[0].no_mount = Some("mark (tocheck) is missing".to_owned());
    lab.command(0, Command::Prim);
    lab.until_logged(20_000, 0, "End of stop");
    lab.until(20_000, ["STOP red", "STOP red"]);
    assert!(!lab.nodes[0].scripts.iter().any(|script| script.starts_with("start_prim")), "{:?}", lab.nodes[0].scripts);
    lab.run(5_000);
    let why = lab.nodes[0].ended.clone().unwrap_or_default();
    assert!(why.contains("mark (tocheck) is missing") && why.contains("'holdfast start -m mirror'"), "{why}");
    lab.nodes[0].no_mount = None;
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE green", "STOP red"]);
}

/// Both nodes have the same Holdfast, or they say that they haven't.
#[test]
fn heartbeats_of_another_version_are_named_and_not_taken_for_silence_without_a_word() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    for _ in 0..5 {
        // Field 1, the version, is 2.
        lab.hear(1, HeartInput::Heartbeat { lane: 0, body: vec![8, 2] });
    }
    lab.run(1);
    let said = lab.nodes[1].log.iter().filter(|line| line.contains("can't be read")).collect::<Vec<_>>();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("version 2") && said[0].contains("install the same version of Holdfast"), "{said:?}");
    lab.run(1_000);
    lab.hear(1, HeartInput::Heartbeat { lane: 0, body: vec![8, 2] });
    lab.run(1);
    let said = lab.nodes[1].log.iter().filter(|line| line.contains("can't be read")).count();
    assert_eq!(said, 2, "told again after one that was understood");
    assert_eq!(lab.places(), ["PRIM green", "SECOND green"], "the others still count");
}

/// Reference 004, 5.6.
#[test]
fn beside_a_primary_with_a_failed_disk_the_other_node_waits() {
    let mut lab = Lab::paired();
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.run(2_000);
    lab.clear_logs();
    lab.fail_disk(0);
    lab.until_logged(5_000, 0, "Resource rfs.degraded set to up by nfsadmin");
    lab.command(1, Command::Start);
    lab.until(20_000, ["ALONE green", "WAIT red"]);
    lab.run(30_000);
    assert_eq!(lab.places(), ["ALONE green", "WAIT red"], "the application is not touched");
    lab.has_in_order(1, &["Action wait from failover rule degraded_server", "Local state WAIT red"]);
    assert!(lab.logs().contains("'holdfast stop -m mirror' and 'holdfast start -m mirror' on node1"), "{}", lab.logs());
    let values = |lab: &Lab| {
        [&lab.nodes[0].resources["rfs.degraded"], &lab.nodes[1].resources["rfs.uptodate"]].map(Clone::clone)
    };
    assert_eq!(values(&lab), ["up", "down"]);

    lab.command(0, Command::Stop);
    lab.until(20_000, ["STOP red", "WAIT red"]);
    lab.run(2_000);
    lab.command(0, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    assert_eq!(values(&lab), ["down", "up"]);
}

/// The disk fails while the other copy is being made: what would come of it is no copy.
#[test]
fn a_synchronisation_from_a_failed_disk_is_given_up() {
    let mut lab = Lab::paired();
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.run(2_000);
    lab.command(1, Command::Start);
    lab.until(20_000, ["ALONE green", "SECOND magenta"]);
    lab.fail_disk(0);
    lab.until(20_000, ["ALONE green", "WAIT red"]);
    lab.has_in_order(1, &["Local state SECOND magenta", "Action wait from failover rule degraded_server"]);
}

#[test]
fn the_losers_copy_is_kept_before_it_is_overwritten_and_only_once() {
    let mut lab = Lab::paired();
    lab.cut();
    lab.until(20_000, ["ALONE green", "ALONE green"]);
    let lost = lab.nodes[1].disk[0].generation;
    lab.heal();
    lab.until(40_000, ["PRIM green", "SECOND green"]);
    assert_eq!(lab.nodes[1].kept, [lost]);
    assert!(lab.nodes[0].kept.is_empty());
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.command(1, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    assert_eq!(lab.nodes[1].kept, [lost], "what descends from the other copy is not kept");
}

#[test]
fn without_room_nothing_is_overwritten() {
    let mut lab = Lab::paired();
    lab.cut();
    lab.until(20_000, ["ALONE green", "ALONE green"]);
    let lost = lab.nodes[1].disk[0].clone();
    lab.nodes[1].no_room = Some("there is no room".to_owned());
    lab.heal();
    lab.run(60_000);
    assert_eq!(lab.places(), ["ALONE green", "SECOND magenta"], "{}", lab.logs());
    assert_eq!(lab.nodes[1].disk[0].generation, lost.generation);
    assert!(lab.nodes[1].disk[0].consistent);
    assert!(lab.nodes[1].kept.len() > 2, "tried again now and then: {:?}", lab.nodes[1].kept);
    lab.nodes[1].no_room = None;
    lab.until(40_000, ["PRIM green", "SECOND green"]);
}

/// A disk of an earlier day and a failed write have left the directories of one copy in different lines: it has no data of the module as a
/// whole, but it can let the other copy go on.
#[test]
fn a_copy_whose_directories_are_of_different_lines_lets_the_other_one_start() {
    let mut lab = Lab::paired();
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.power_off(0);
    let [whole, torn] = [0, 1].map(|node| lab.nodes[node].disk[0].clone());
    let whole = Record { standing: Standing::AloneUnconfirmed, ..whole };
    let other_line =
        Record { generation: GenerationId(77), history: vec![GenerationId(76)], consistent: false, ..torn.clone() };
    lab.nodes[0].disk = vec![whole.clone(), whole];
    lab.nodes[1].disk = vec![torn, other_line];
    for node in 0..2 {
        lab.command(node, Command::Start);
    }
    lab.until(20_000, ["PRIM green", "SECOND green"]);
}
