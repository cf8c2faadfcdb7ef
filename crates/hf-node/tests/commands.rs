//! What an administrator can ask of a mirror that runs (reference 004, 4.2.4, 4.2.5, 5.4, 5.7, 5.8, 5.9, 9.4), in pure code.

mod pair;

use hf_types::{Command, SyncWish};
use pair::Lab;

#[test]
fn restart_keeps_the_state_and_the_other_node_sees_nothing() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.command(0, Command::Restart);
    lab.run(1);
    lab.until(5_000, ["PRIM green", "SECOND green"]);
    lab.has_in_order(
        0,
        &[
            "Action restart called by SYSTEM/root",
            "Local state PRIM magenta",
            "Script stop_prim",
            "Script start_prim",
            "Local state PRIM green",
        ],
    );
    assert!(!lab.logs().contains("2: Local state"), "{}", lab.logs());
    assert!(!lab.logs().contains("Virtual IP"), "the address stays\n{}", lab.logs());
    lab.command(1, Command::Stop);
    lab.until(5_000, ["ALONE green", "STOP red"]);
    lab.clear_logs();
    lab.command(0, Command::Restart);
    lab.run(1);
    lab.until(5_000, ["ALONE green", "STOP red"]);
    lab.has_in_order(0, &["Local state ALONE magenta", "Script start_prim", "Local state ALONE green"]);
}

#[test]
fn restart_while_something_is_under_way_is_refused() {
    let mut lab = Lab::paired();
    lab.command(0, Command::Swap);
    lab.run(1);
    lab.command(0, Command::Restart);
    lab.until(5_000, ["SECOND green", "PRIM green"]);
    assert_eq!(lab.nodes[0].answers.last(), Some(&Err("another command is being carried out".to_owned())));
    lab.command(0, Command::Stopwait);
    lab.until(5_000, ["WAIT red", "ALONE green"]);
    lab.command(0, Command::Restart);
    lab.run(10);
    assert!(lab.nodes[0].answers.last().is_some_and(Result::is_err));
}

#[test]
fn stopwait_holds_until_start() {
    let mut lab = Lab::paired();
    lab.nodes[0].scripts.clear();
    lab.clear_logs();
    lab.command(0, Command::Stopwait);
    lab.until(5_000, ["WAIT red", "ALONE green"]);
    lab.has_in_order(
        0,
        &[
            "Action stopwait called by SYSTEM/root",
            "Transition WAIT_TR from SYSTEM",
            "Script stop_prim",
            "Local state WAIT red",
        ],
    );
    lab.has_in_order(1, &["Reason of failover: remote stop", "Local state ALONE green"]);
    let called = lab.nodes[0].scripts.join("\n");
    assert!(called.contains("stop_prim PRIM WAIT stopwait"), "{called}");
    assert!(!called.contains("prestart") && !called.contains("poststop"), "{called}");
    lab.run(60_000);
    assert_eq!(lab.places(), ["WAIT red", "ALONE green"], "it stays");
    lab.command(0, Command::Start);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    lab.has_in_order(0, &["Transition WAKEUP from SYSTEM", "Local state SECOND green"]);
    // And a second time, on the secondary; a stop ends it as well.
    lab.command(0, Command::Stopwait);
    lab.until(5_000, ["WAIT red", "ALONE green"]);
    lab.command(0, Command::Stop);
    lab.until(5_000, ["STOP red", "ALONE green"]);
}

#[test]
fn a_swap_without_synchronisation_is_a_swap() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.command(1, Command::SwapNosync);
    lab.until(5_000, ["SECOND green", "PRIM green"]);
    lab.has_in_order(1, &["Action swap nosync called by SYSTEM/root", "Transition SWAP from SYSTEM", "Begin of Swap"]);
    assert!(!lab.logs().contains("Reintegration"), "{}", lab.logs());
}

/// The wish reaches the synchronisation that follows, from whichever side, and no other one.
#[test]
fn what_is_asked_of_a_synchronisation_holds_for_one() {
    let dated = SyncWish { full: false, newer_than_s: Some(1_456_790_400) };
    let cases = [
        (Command::Prim, Command::Second, SyncWish::default()),
        (Command::PrimFullsync, Command::Second, SyncWish::FULL),
        (Command::Primforce, Command::Start, SyncWish::FULL),
        (Command::Prim, Command::SecondFullsync, SyncWish::FULL),
        (Command::Prim, Command::Secondforce(1_456_790_400), dated),
        (Command::PrimFullsync, Command::Secondforce(1_456_790_400), SyncWish::FULL),
    ];
    for (first, second, expected) in cases {
        let mut lab = Lab::new();
        lab.command(0, first);
        lab.until(10_000, ["ALONE green", "STOP red"]);
        // A successor of rfs knows it as well.
        lab.kill_rfs(0);
        lab.run(2_000);
        lab.command(1, second);
        lab.until(20_000, ["PRIM green", "SECOND green"]);
        lab.has_in_order(0, &[&format!("Action {first} called by SYSTEM/root")]);
        lab.has_in_order(1, &[&format!("Action {second} called by SYSTEM/root")]);
        lab.command(1, Command::Stop);
        lab.until(10_000, ["ALONE green", "STOP red"]);
        lab.command(1, Command::Start);
        lab.until(20_000, ["PRIM green", "SECOND green"]);
        assert_eq!(lab.nodes[0].wishes, [expected, SyncWish::default()], "{first}, {second}");
    }
}

#[test]
fn second_fullsync_beside_no_primary_is_refused() {
    let mut lab = Lab::new();
    lab.command(1, Command::SecondFullsync);
    lab.run(20_000);
    lab.has_in_order(
        1,
        &["Action second fullsync refused: the other node is not primary (STOP)", "Local state STOP red"],
    );
}

#[test]
fn failover_said_on_one_node_holds_on_both() {
    let mut lab = Lab::paired();
    lab.clear_logs();
    lab.command(0, Command::FailoverOff);
    lab.run(1_000);
    for node in 0..2 {
        lab.has_in_order(node, &["Resource usersetting.failover set to off by heart"]);
    }
    lab.power_off(0);
    lab.until(20_000, ["STOP red", "WAIT red"]);
    lab.has_in_order(1, &["Failover-off configured", "Transition STOPSTART from failover-off"]);
    // The one that was away learns it, too, and that it was taken back.
    lab.command(0, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.clear_logs();
    lab.command(1, Command::FailoverOn);
    lab.run(1_000);
    lab.has_in_order(0, &["Resource usersetting.failover set to on by heart"]);
    lab.power_off(0);
    lab.until(20_000, ["STOP red", "ALONE green"]);
}

/// Said on both sides of a cut: the safer one holds, on both, and neither takes it back.
#[test]
fn failover_said_on_both_sides_of_a_cut() {
    let mut lab = Lab::paired();
    lab.beats = false;
    lab.command(0, Command::FailoverOff);
    lab.command(1, Command::FailoverOn);
    lab.run(300);
    lab.beats = true;
    lab.run(2_000);
    let failover = |node: usize| {
        let status = lab.nodes[node].heart.as_ref().unwrap().status();
        status
            .resources
            .into_iter()
            .find(|resource| resource.name == "usersetting.failover")
            .map(|r| r.value.to_string())
    };
    assert_eq!([failover(0), failover(1)], [Some("off".to_owned()), Some("off".to_owned())]);
}

/// `defaultprim` acts after a reintegration; what an administrator swaps stays swapped.
#[test]
fn a_swap_away_from_the_default_primary_lasts() {
    let mut lab = Lab::with(|config| config.defaultprim = Some("node1".parse().unwrap())).pair_up();
    lab.command(0, Command::Swap);
    lab.until(5_000, ["SECOND green", "PRIM green"]);
    lab.run(30_000);
    assert_eq!(lab.places(), ["SECOND green", "PRIM green"]);
}

#[test]
fn the_last_primary_swaps_back() {
    let mut lab = Lab::with(|config| config.lastprim = true).pair_up();
    lab.command(0, Command::Stop);
    lab.until(5_000, ["STOP red", "ALONE green"]);
    lab.clear_logs();
    lab.command(0, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.has_in_order(0, &["Local state SECOND green", "Transition SWAP from defaultprim", "Begin of Swap"]);
    // The other one was secondary before its stop: it stays so.
    lab.command(1, Command::Stop);
    lab.until(5_000, ["ALONE green", "STOP red"]);
    lab.command(1, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.run(10_000);
    assert_eq!(lab.places(), ["PRIM green", "SECOND green"]);
}
