//! A record that says "the other copy is outdated", where this heart has heard that it isn't.

mod pair;

use hf_types::Command;
use pair::Lab;

/// Node 1 was ALONE, then both were in step, then node 1 was stopped and its disk put back to the moment when it was ALONE: its record says that
/// node 2 is outdated. Then node 1 is started again, and node 2 is gone: as soon as it was `heard`, or before.
fn put_back(heard: bool) -> Lab {
    let mut lab = Lab::new();
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    let earlier = lab.nodes[0].disk.clone();
    lab.command(1, Command::Second);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.command(0, Command::Stop);
    lab.until(20_000, ["STOP red", "ALONE green"]);
    lab.nodes[0].disk = earlier;
    lab.clear_logs();
    lab.command(0, Command::Start);
    if heard {
        lab.until_logged(20_000, 0, "Remote state ALONE green");
    }
    lab.power_off(1);
    lab.cut();
    lab
}

#[test]
fn what_was_heard_of_the_other_copy_outweighs_the_record() {
    let mut lab = put_back(true);
    lab.run(60_000);
    let log = lab.logs();
    assert_eq!(lab.places()[0], "WAIT red", "{log}");
    assert!(!log.contains("Permission"), "{log}");
}

/// Who heard nothing has nothing but the record.
#[test]
fn a_disk_put_back_while_nobody_is_heard_is_believed() {
    let mut lab = put_back(false);
    lab.until(60_000, ["ALONE green", "STOP red"]);
}

/// `prim` is an administrator's word, whatever was heard.
#[test]
fn prim_ends_the_wait() {
    let mut lab = put_back(true);
    lab.run(60_000);
    lab.command(0, Command::Stop);
    lab.until(20_000, ["STOP red", "STOP red"]);
    lab.command(0, Command::Prim);
    lab.until(60_000, ["ALONE green", "STOP red"]);
}
