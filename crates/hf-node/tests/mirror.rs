//! A mirror module end to end in pure code: two hearts and two rfs actors, with the log texts of reference 004, 4.2 and 5.

mod pair;

use hf_replica::engine::Gate;
use hf_types::Command;
use pair::Lab;

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
