//! What reference 004 lets an administrator try on a mirror module (4.2.1 to 4.2.10, 5, 9.2, 9.4), with every message that it names.

use e2e::{Module, Small, wait_until};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

const APP: &str = "app";
const BOTH: [&str; 2] = ["node1", "node2"];

/// 4.2.1 to 4.2.3: start on both, stop of the primary, its return.
#[test]
fn start_and_stop() {
    let app = Module { named: true, ..Module::new(APP, "10.90.1.20", "maxloop=\"2\" loop_interval=\"1h\"") };
    let small = Small::up("mir-start", &BOTH, &[], &[app]).expect("a lab");
    small.first_start(APP, "node1", "node2").expect("a pair");
    small.only_holder("10.90.1.20", &BOTH, "node1").expect("13.5.5.2: what the name stands for");
    small.holdfast("node2", &["stop", "-m", APP]).expect("stop");
    small.holdfast("node2", &["waitstop", "-m", APP]).expect("waitstop");
    small.holdfast("node1", &["stop", "-m", APP]).expect("stop");
    small.holdfast("node1", &["waitstop", "-m", APP]).expect("waitstop");
    a_name_moves(&small);
    let marks = BOTH.map(|node| small.mark(APP, node).expect("a log"));
    for node in BOTH {
        small.holdfast(node, &["start", "-m", APP]).expect("start");
    }
    for node in BOTH {
        small.holdfast(node, &["waitstart", "-m", APP]).expect("waitstart");
    }
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("both");
    for (node, mark) in BOTH.into_iter().zip(marks) {
        small.said(APP, node, mark, &["Action start called by root"]).expect("started");
    }
    // Whether the copy is in step before start_prim runs or after it is a matter of milliseconds: either order is right.
    for said in [["Script start_prim", "Local state PRIM green"], ["Remote state SECOND green", "Local state PRIM "]] {
        small.said(APP, "node1", marks[0], &said).expect("4.2.1");
    }
    small.said(APP, "node2", marks[1], &["Local state SECOND green", "Remote state PRIM green"]).expect("4.2.1");
    small.said(APP, "node1", marks[0], &["Virtual IP <10.90.1.29 of app> set"]).expect("4.2.6");
    small.only_holder("10.90.1.29", &BOTH, "node1").expect("what the name stands for now");
    let goes_on = "sed 's/^10.90.1.29 app-vip/10.90.1.28 app-vip/' /etc/hosts > /run/hosts && cat /run/hosts > /etc/hosts; holdfast cluster resolve 2>&1";
    let told = small.sh("node1", goes_on).expect("resolved");
    assert!(told.contains("goes on with 10.90.1.29 while it runs"), "{told}");

    let marks = BOTH.map(|node| small.mark(APP, node).expect("a log"));
    small.holdfast("node1", &["stop", "-m", APP]).expect("stop");
    small.wait(APP, &[("node1", "STOP", "red"), ("node2", "ALONE", "green")]).expect("4.2.2");
    let stopped = ["Action stop called by root", "Script stop_prim", "End of stop", "Local state STOP red"];
    small.said(APP, "node1", marks[0], &stopped).expect("4.2.2");
    let alone = ["Reason of failover: remote stop", "Script start_prim", "Local state ALONE green"];
    small.said(APP, "node2", marks[1], &alone).expect("4.2.2");
    assert_eq!(BOTH.map(|node| small.runs(APP, node).expect("a look")), [false, true]);
    // 4.2.7: what is written while the other one is stopped follows when it returns.
    small.sh("node2", "head -c 300000 /dev/urandom > /data/app/file2.txt && sync /data/app/file2.txt").expect("4.2.7");
    small
        .sh("node1", "test -d /data/app/ && ! test -e /data/app/file2.txt")
        .expect("4.2.7: nothing comes to a stopped node");
    let mark = small.mark(APP, "node1").expect("a log");

    let error = small.holdfast("node1", &["waitstart", "-m", APP]).expect_err("nothing starts").to_string();
    assert!(!error.is_empty());
    small.holdfast("node1", &["start", "-m", APP]).expect("start");
    small.wait(APP, &[("node1", "SECOND", "green"), ("node2", "PRIM", "green")]).expect("4.2.3");
    small
        .said(APP, "node1", marks[0], &["End of stop", "Action start called by root", "Local state SECOND green"])
        .expect("4.2.3");
    let reintegrated = [
        "Local state SECOND magenta",
        "Updating directory tree from /data/app",
        "Copied ",
        "Reintegration ended (synchronize)",
        "Local state SECOND green",
    ];
    small.said(APP, "node1", mark, &reintegrated).expect("4.2.7");
    small.copies_are_equal(APP, ["node2", "node1"]).expect("4.2.7");
    small.sh("node1", "test -s /data/app/file2.txt").expect("4.2.7: it is there");
    assert!(small.runs(APP, "node2").expect("a look"), "the application was not touched");
    neighbours_are_confirmed(&small);
    restarts_by_detectors_are_limited(&small);
}

/// 13.5.5.2: a name is looked up by `config` and on demand, for modules that don't run; both nodes show whether they found the same.
fn a_name_moves(small: &Small) {
    for node in BOTH {
        // The heart of a stopped module leaves a moment later.
        let gone = || small.sh(node, "test ! -e $SAFEVAR/run/app/heart.sock").is_ok();
        wait_until("no heart", PATIENCE, gone).expect("the module is stopped");
    }
    let moved = |node: &str, from: &str, to: &str| {
        let change =
            format!("sed 's/^{from} app-vip/{to} app-vip/' /etc/hosts > /run/hosts && cat /run/hosts > /etc/hosts");
        small.sh(node, &change).expect("the hosts file");
        small.sh(node, "holdfast cluster resolve 2>&1").expect("resolved")
    };
    let same = |wanted: bool| {
        wait_until("the signatures of both nodes", PATIENCE, || {
            small.module_signatures("node1").is_ok_and(|all| all.len() == 2 && (all[0] == all[1]) == wanted)
        })
    };
    same(true).expect("both found the same");
    let told = moved("node1", "10.90.1.20", "10.90.1.29");
    assert!(told.contains("app-vip of app: 10.90.1.29 (before: 10.90.1.20)"), "{told}");
    same(false).expect("one found another");
    moved("node2", "10.90.1.20", "10.90.1.29");
    same(true).expect("both found the other one");
    let config = "$SAFE/modules/app/conf/userconfig.xml";
    let unknown = format!(
        "cp {config} /run/before; sed -i 's/app-vip/nobody.invalid/' {config}; holdfast config -m app 2>&1; code=$?; cp /run/before {config}; \
         test $code -ne 0"
    );
    let refused = small.sh("node1", &unknown).expect("a name that nobody knows is refused");
    assert!(refused.contains("nobody.invalid") && refused.contains("has no address"), "{refused}");
}

/// `permanent_arp`: as long as heartbeats come, the kernel takes the other node's entry for good and asks nobody.
fn neighbours_are_confirmed(small: &Small) {
    let shown = small.sh(
        "node1",
        "echo 1000 > /proc/sys/net/ipv4/neigh/eth0/base_reachable_time_ms
         for n in $(seq 100); do ip neigh show 10.90.1.2 dev eth0 | grep -q REACHABLE && break; sleep 0.1; done
         for n in $(seq 40); do ip neigh show 10.90.1.2 dev eth0; sleep 0.1; done",
    );
    let shown = shown.expect("the neighbours");
    // Left alone, an entry is good for at most 1.5 s, then for 5 s it isn't; one that was left alone before may take these 5 s. A machine under load may be late with a heartbeat.
    assert!(shown.matches("REACHABLE").count() >= 30, "{shown}");
}

/// 7.11: what a detector restarts, it restarts `maxloop` times; the next time the module stays stopped.
fn restarts_by_detectors_are_limited(small: &Small) {
    let stopstart = || small.holdfast("node1", &["stopstart", "-i", "errd", "-m", APP]);
    for _ in 0..2 {
        let mark = small.mark(APP, "node1").expect("a log");
        stopstart().expect("stopstart");
        let again = ["Action stopstart called by errd", "Local state WAIT", "Local state SECOND green"];
        small.said(APP, "node1", mark, &again).expect("7.11");
        small.wait(APP, &[("node1", "SECOND", "green"), ("node2", "PRIM", "green")]).expect("restarted");
    }
    let mark = small.mark(APP, "node1").expect("a log");
    stopstart().ok(); // whether it is taken or refused is not what is looked at
    small.wait(APP, &[("node1", "STOP", "red"), ("node2", "ALONE", "green")]).expect("7.11");
    small.said(APP, "node1", mark, &["Action stopstart called by errd", "Stopping loop"]).expect("7.11");
}

/// 4.2.4 to 4.2.7: restart, swap, the address moves, the files follow; `stopwait`.
#[test]
fn restart_swap_and_stopwait() {
    let small = Small::pair("mir-swap", "").expect("a pair");
    let starts =
        || small.sh("node1", "wc -l < /data/app/starts").expect("the file").trim().parse::<u32>().expect("a number");
    let before = starts();
    let marks = BOTH.map(|node| small.mark(APP, node).expect("a log"));
    small.holdfast("node1", &["restart", "-m", APP]).expect("restart");
    let restarted = [
        "Action restart called by root",
        "Local state PRIM magenta",
        "Script stop_prim",
        "Script start_prim",
        "Local state PRIM green",
    ];
    small.said(APP, "node1", marks[0], &restarted).expect("4.2.4");
    small.silent(APP, "node2", marks[1], &["Local state"]).expect("4.2.4");
    assert_eq!(starts(), before + 1);
    small.only_holder("10.90.1.20", &BOTH, "node1").expect("4.2.4");

    let cards = BOTH.map(|node| small.sh(node, "cat /sys/class/net/eth0/address").expect("a card").trim().to_owned());
    assert_eq!(small.client_has("10.90.1.20").expect("4.2.6"), cards[0], "4.2.6: the address is at node1");
    let marks = BOTH.map(|node| small.mark(APP, node).expect("a log"));
    small.holdfast("node2", &["swap", "-m", APP]).expect("swap");
    small.wait(APP, &[("node1", "SECOND", "green"), ("node2", "PRIM", "green")]).expect("4.2.5");
    small.said(APP, "node2", marks[1], &["Virtual IP <10.90.1.20 of app> set"]).expect("4.2.6");
    let moved = || small.client_has("10.90.1.20").is_ok_and(|card| card == cards[1]);
    wait_until("4.2.6: the client's table has node2 at the address", PATIENCE, moved).expect("4.2.6");
    for (address, card) in ["10.90.1.1", "10.90.1.2"].iter().zip(&cards) {
        assert_eq!(&small.client_has(address).expect("4.2.6"), card, "4.2.6: the nodes' own addresses stay");
    }
    let begun = ["Action swap called by root", "Transition SWAP from SYSTEM", "Begin of Swap", "Script start_prim"];
    small.said(APP, "node2", marks[1], &begun).expect("4.2.5");
    small.said(APP, "node1", marks[0], &["Begin of Swap", "Script stop_prim"]).expect("4.2.5");
    small.silent(APP, "node1", marks[0], &["Action swap", "Transition SWAP"]).expect("4.2.5");
    small.lab.exec("client", &["ping", "-c", "1", "-w", "60", "10.90.1.20"]).expect("4.2.6: the address answers");
    small.only_holder("10.90.1.20", &BOTH, "node2").expect("4.2.6");
    // 4.2.7: both ways, what is written on the primary is on the secondary, where nothing can be written.
    small.sh("node2", "echo held > /data/app/file && sync /data/app/file").expect("a write");
    // What was synced there has arrived here; it may have to be carried out yet.
    let read = || small.sh("node1", "cat /data/app/file").is_ok_and(|text| text.trim() == "held");
    wait_until("4.2.7: the same file on the secondary", PATIENCE, read).expect("a read");
    for refused in ["echo no > /data/app/file", "rm /data/app/file"] {
        small.sh("node1", refused).expect_err("4.2.7: the secondary's directory is read-only");
    }
    small.holdfast("node2", &["swap", "nosync", "-m", APP]).expect("swap nosync");
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("swapped back");
    small.silent(APP, "node2", marks[1], &["Reintegration ended"]).expect("nothing was synchronised");

    let marks = BOTH.map(|node| small.mark(APP, node).expect("a log"));
    small.holdfast("node1", &["stopwait", "-m", APP]).expect("stopwait");
    small.wait(APP, &[("node1", "WAIT", "red"), ("node2", "ALONE", "green")]).expect("held");
    let held = [
        "Action stopwait called by root",
        "Transition WAIT_TR from SYSTEM",
        "Script stop_prim",
        "Local state WAIT red",
    ];
    small.said(APP, "node1", marks[0], &held).expect("stopwait");
    small.silent(APP, "node1", marks[0], &["Script prestart", "Script poststop"]).expect("stopwait");
    small.holdfast("node1", &["restart", "-m", APP]).expect_err("nothing runs there");
    small.holdfast("node1", &["start", "-m", APP]).expect("start");
    small.wait(APP, &[("node1", "SECOND", "green"), ("node2", "PRIM", "green")]).expect("woken");
    small.said(APP, "node1", marks[0], &["Transition WAKEUP from SYSTEM", "Local state SECOND green"]).expect("woken");
}

/// 4.2.8, 4.2.9: an orderly shutdown of the machine, and the power; start at boot.
#[test]
fn shutdown_and_power_off() {
    let small = Small::pair("mir-boot", "automatic_reboot=\"on\" maxloop=\"1\"").expect("a pair");
    assert!(small.holdfast("node1", &["boot", "status"]).expect("boot status").contains("off"));
    small.holdfast("node1", &["boot", "-m", APP, "on"]).expect("boot on");
    let status = small.holdfast("node1", &["boot", "-m", APP, "status", "-o", "json"]).expect("boot status");
    assert!(status.contains("\"on\"") && status.contains("command"), "{status}");
    let resources = small.holdfast("node1", &["state", "-m", APP, "-v"]).expect("state");
    assert!(resources.contains("usersetting.boot"), "{resources}");

    let marks = BOTH.map(|node| small.mark(APP, node).expect("a log"));
    // Nothing is stopped where nothing can restart the machine.
    let refused = format!("{:#}", small.holdfast("node1", &["reboot"]).expect_err("no systemd here"));
    assert!(refused.contains("systemd does not run this machine"), "{refused}");
    small.silent(APP, "node1", marks[0], &["Action shutdown"]).expect("nothing was stopped");
    small.lab.run("reboot", &["node1"]).expect("a reboot");
    small.wait(APP, &[("node1", "SECOND", "green"), ("node2", "PRIM", "green")]).expect("4.2.8");
    small.said(APP, "node2", marks[1], &["Reason of failover: remote stop", "Script start_prim"]).expect("4.2.8");
    let down =
        ["Action shutdown called by SYSTEM", "Script stop_prim", "End of stop", "Action start called at boot time"];
    small.said(APP, "node1", marks[0], &down).expect("4.2.8");
    small.silent(APP, "node1", marks[0], &["Previous halt unexpected"]).expect("4.2.8");

    small.holdfast("node1", &["swap", "-m", APP]).expect("swap");
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("swapped");
    let marks = BOTH.map(|node| small.mark(APP, node).expect("a log"));
    small.lab.run("power-off", &["node1"]).expect("a power cut");
    small.wait(APP, &[("node2", "ALONE", "green")]).expect("4.2.9");
    let lost = [
        "Resource heartbeat.default set to down by heart",
        "Remote state UNKNOWN grey",
        "Reason of failover: no heartbeat",
        "Script start_prim",
    ];
    small.said(APP, "node2", marks[1], &lost).expect("4.2.9");
    small.said(APP, "node2", marks[1], &["Resource heartbeat.flow set to down by heart"]).expect("4.2.9");
    small.lab.run("power-on", &["node1"]).expect("power");
    small.wait(APP, &[("node1", "SECOND", "green"), ("node2", "PRIM", "green")]).expect("4.2.9");
    small.said(APP, "node1", 0, &["Previous halt unexpected", "Action start called at boot time"]).expect("4.2.9");
    let log = small.log(APP, "node1").expect("the log");
    assert_eq!(log.iter().filter(|line| line.contains("Previous halt unexpected")).count(), 1, "{log:#?}");
    a_detector_reboots_the_machine(&small);
}

/// 13.2.3, `automatic_reboot`: what a detector would stopstart is rebooted, as often as maxloop says, counted over the boot.
fn a_detector_reboots_the_machine(small: &Small) {
    let stopstart = || small.holdfast("node1", &["stopstart", "-i", "errd", "-m", APP]);
    let mark = small.mark(APP, "node1").expect("a log");
    stopstart().expect("stopstart");
    let down = || small.sh("node1", "test -e /run/halted").is_ok();
    wait_until("node1 goes down by itself", PATIENCE, down).expect("13.2.3");
    small.lab.run("reboot", &["node1"]).expect("a boot");
    small.wait(APP, &[("node1", "SECOND", "green"), ("node2", "PRIM", "green")]).expect("13.2.3");
    let rebooted = [
        "Action stopstart called by errd",
        "to reboot this machine instead of a stopstart",
        "End of stop",
        "Action start called at boot time",
    ];
    small.said(APP, "node1", mark, &rebooted).expect("13.2.3");
    small.silent(APP, "node1", mark, &["Previous halt unexpected"]).expect("in good order");

    let mark = small.mark(APP, "node1").expect("a log");
    stopstart().ok(); // whether it is taken or refused is not what is looked at
    small.wait(APP, &[("node1", "STOP", "red"), ("node2", "ALONE", "green")]).expect("13.2.3");
    small.said(APP, "node1", mark, &["Action stopstart called by errd", "Stopping loop"]).expect("13.2.3");
    small.silent(APP, "node1", mark, &["to reboot this machine"]).expect("it is not rebooted for ever");
}

/// 9.2: `shutdown` stops every module, what starts last first; `boot="auto"`, `boot="on"` with a delay.
#[test]
fn shutdown_of_all_modules() {
    let early = Module::new("early", "10.90.1.21", "boot=\"auto\"");
    let late = Module::new("late", "10.90.1.22", "boot=\"on\" boot_delay=\"2\"");
    let small = Small::up("mir-all", &BOTH, &[], &[early, late]).expect("a lab");
    for module in ["early", "late"] {
        small.first_start(module, "node1", "node2").expect("a start");
    }
    small.holdfast("node1", &["boot", "-m", "late", "off"]).expect_err("the configuration decides");
    small.holdfast("node1", &["shutdown"]).expect("shutdown");
    for module in ["early", "late"] {
        assert_eq!(small.state(module, "node1"), Some(("STOP".to_owned(), "red".to_owned())));
        small
            .said(module, "node1", 0, &["Action shutdown called by SYSTEM", "Script stop_prim", "End of stop"])
            .expect("in order");
    }
    let at = |module: &str, text: &str| {
        let log = small.log(module, "node1").expect("a log");
        log.iter()
            .rfind(|line| line.contains(text))
            .expect(text)
            .chars()
            .filter(|c| "0123456789-: .".contains(*c))
            .take(26)
            .collect::<String>()
    };
    assert!(at("late", "End of stop") <= at("early", "Action shutdown"), "what starts last stops first");
    small.lab.run("reboot", &["node1"]).expect("a reboot");
    for module in ["early", "late"] {
        small.wait(module, &[("node1", "SECOND", "green"), ("node2", "PRIM", "green")]).expect("started at boot");
        small.said(module, "node1", 0, &["Action start called at boot time"]).expect("boot");
    }
    // Stopped by an administrator: `auto` leaves it so.
    small.holdfast("node1", &["stop", "-m", "early"]).expect("stop");
    small.wait("early", &[("node1", "STOP", "red")]).expect("stopped");
    small.lab.run("reboot", &["node1"]).expect("a reboot");
    small.wait("late", &[("node1", "SECOND", "green")]).expect("started at boot");
    assert_eq!(small.state("early", "node1"), Some(("STOP".to_owned(), "red".to_owned())));
}

/// 4.2.10: the former secondary is sacrificed.
#[test]
fn split_brain() {
    let small = Small::pair("mir-split", "").expect("a pair");
    let marks = BOTH.map(|node| small.mark(APP, node).expect("a log"));
    small.lab.run("partition", &["node1", "node2"]).expect("a partition");
    small.wait(APP, &[("node1", "ALONE", "green"), ("node2", "ALONE", "green")]).expect("both alone");
    for (node, mark) in BOTH.into_iter().zip(marks) {
        for lane in ["default", "flow"] {
            small.said(APP, node, mark, &[&format!("Resource heartbeat.{lane} set to down by heart")]).expect("4.2.10");
        }
        small.said(APP, node, mark, &["Remote state UNKNOWN grey", "Local state ALONE green"]).expect("4.2.10");
    }
    small.lab.run("heal", &[]).expect("healed");
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("as before");
    small
        .said(APP, "node1", marks[0], &["Remote state ALONE green", "Split brain recovery: staying alone"])
        .expect("4.2.10");
    let exiting = [
        "Remote state ALONE green",
        "Split brain recovery: exiting alone",
        "Script stop_prim",
        "Local state SECOND green",
    ];
    small.said(APP, "node2", marks[1], &exiting).expect("4.2.10");
    degraded(&small);
}

/// 5.6: the disk of a primary that is alone fails; the other node waits until it was repaired and the module stopped and started there.
fn degraded(small: &Small) {
    stop(small, "node2");
    small.wait(APP, &[("node1", "ALONE", "green")]).expect("alone");
    let resource = |node: &str, wanted: &str| {
        wait_until(&format!("{wanted} on {node}"), PATIENCE, || {
            let shown = small.holdfast(node, &["state", "-m", APP, "-v"]).unwrap_or_default();
            let (name, value) = wanted.split_once(' ').unwrap_or((wanted, ""));
            shown.lines().any(|line| line.contains(name) && line.split_whitespace().any(|word| word == value))
        })
    };
    small.lab.run("disk", &["node1", "eio"]).expect("a failing disk");
    small
        .sh("node1", "dd if=/dev/zero of=/data/app/lost bs=4k count=1 conv=fsync")
        .expect_err("the application is told");
    resource("node1", "rfs.degraded up").expect("5.6");
    let mark = small.mark(APP, "node2").expect("a log");
    small.holdfast("node2", &["start", "-m", APP]).expect("start");
    small.wait(APP, &[("node2", "WAIT", "red")]).expect("5.6");
    small
        .said(APP, "node2", mark, &["Action wait from failover rule degraded_server", "Local state WAIT red"])
        .expect("5.6");
    resource("node2", "rfs.uptodate down").expect("5.6");
    assert_eq!(small.state(APP, "node1"), Some(("ALONE".to_owned(), "green".to_owned())), "5.6: it goes on");
    // A file system that met such errors wants to be mounted anew.
    small.lab.run("power-off", &["node1"]).expect("a power cut");
    small.lab.run("power-on", &["node1"]).expect("power");
    small.start_when_up(APP, "node1").expect("start");
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("5.6");
}

/// 5.3, 5.5, 5.9: the first start, the newer copy, `prim` on an older one.
#[test]
fn who_may_start() {
    let app = Module { rfs: "reiallowedbw=\"100\"", ..Module::new(APP, "10.90.1.20", "") };
    let small = Small::up("mir-who", &BOTH, &[], &[app]).expect("a lab");
    for node in BOTH {
        small.holdfast(node, &["start", "-m", APP]).expect("start");
    }
    small.wait(APP, &[("node1", "WAIT", "red"), ("node2", "WAIT", "red")]).expect("5.3");
    let waits = [
        "Data may be not uptodate for replicated directories (wait for the start of the remote server)",
        "Action wait from failover rule notuptodate_server",
        "If you are sure that this server has valid data, run safekit prim to force start as primary",
    ];
    for node in BOTH {
        small.said(APP, node, 0, &waits).expect("5.3");
        small.holdfast(node, &["stop", "-m", APP]).expect("stop");
        small.holdfast(node, &["waitstop", "-m", APP]).expect("stopped");
    }
    small.holdfast("node2", &["second", "fullsync", "-m", APP]).expect("taken");
    small.wait(APP, &[("node2", "STOP", "red")]).expect("no primary");
    small
        .said(APP, "node2", 0, &["Action second fullsync called by root", "Action second fullsync refused"])
        .expect("9.4");
    small.holdfast("node1", &["prim", "fullsync", "-m", APP]).expect("prim");
    small.wait(APP, &[("node1", "ALONE", "green")]).expect("5.3");
    small.holdfast("node2", &["second", "fullsync", "-m", APP]).expect("second");
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("5.3");
    small.said(APP, "node1", 0, &["Action prim fullsync called by root"]).expect("5.3");
    // 5.5: the newer copy is on node1.
    for node in ["node2", "node1"] {
        small.holdfast(node, &["stop", "-m", APP]).expect("stop");
        small.holdfast(node, &["waitstop", "-m", APP]).expect("stopped");
    }
    let mark = small.mark(APP, "node2").expect("a log");
    small.holdfast("node2", &["start", "-m", APP]).expect("start");
    small.wait(APP, &[("node2", "WAIT", "red")]).expect("5.5");
    small.said(APP, "node2", mark, &waits).expect("5.5");
    small.holdfast("node1", &["start", "-m", APP]).expect("start");
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("5.5");
    the_newer_copy_is_sacrificed(&small, &waits);
    small.holdfast("node2", &["stop", "-m", APP]).expect("stop");
    small.wait(APP, &[("node2", "STOP", "red")]).expect("stopped");
    small.holdfast("node2", &["prim", "-m", APP]).expect("taken");
    small.wait(APP, &[("node2", "STOP", "red")]).expect("9.4");
    small.said(APP, "node2", mark, &["Action prim called by root", "Requested prim start aborted"]).expect("9.4");
    small.holdfast("node2", &["secondforce", "-d", "2016-03-01", "-m", APP]).expect("secondforce");
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("13.6.4.8");
    only_by_force(&small);
}

/// 5.5: stop, then `prim` on the old copy.
fn the_newer_copy_is_sacrificed(small: &Small, waits: &[&str]) {
    stop(small, "node2");
    small.sh("node1", "echo newer > /data/app/newer && sync /data/app/newer").expect("a write");
    stop(small, "node1");
    let mark = small.mark(APP, "node2").expect("a log");
    small.holdfast("node2", &["start", "-m", APP]).expect("start");
    small.wait(APP, &[("node2", "WAIT", "red")]).expect("5.5");
    small.said(APP, "node2", mark, waits).expect("5.5");
    stop(small, "node2");
    small.holdfast("node2", &["prim", "-m", APP]).expect("prim");
    small.wait(APP, &[("node2", "ALONE", "green")]).expect("5.5");
    small.holdfast("node1", &["start", "-m", APP]).expect("start");
    small.wait(APP, &[("node2", "PRIM", "green"), ("node1", "SECOND", "green")]).expect("5.5");
    small.sh("node1", "test ! -e /data/app/newer").expect("5.5: it was sacrificed");
    small.holdfast("node1", &["swap", "-m", APP]).expect("swap");
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("as before");
}

/// `stop`, and its end.
fn stop(small: &Small, node: &str) {
    small.holdfast(node, &["stop", "-m", APP]).expect("stop");
    small.holdfast(node, &["waitstop", "-m", APP]).expect("waitstop");
    small.wait(APP, &[(node, "STOP", "red")]).expect("stopped");
}

/// 5.9: a copy whose synchronisation was stopped halfway is nobody's primary but by `primforce`.
fn only_by_force(small: &Small) {
    stop(small, "node2");
    // At 100 KB/s it takes minutes.
    small.sh("node1", "head -c 20000000 /dev/urandom > /data/app/large && sync /data/app/large").expect("a large file");
    let mark = small.mark(APP, "node2").expect("a log");
    small.holdfast("node2", &["start", "-m", APP]).expect("start");
    small.said(APP, "node2", mark, &["Updating directory tree from /data/app"]).expect("5.9");
    assert_eq!(small.state(APP, "node2"), Some(("SECOND".to_owned(), "magenta".to_owned())), "5.9");
    stop(small, "node2");
    stop(small, "node1");
    let mark = small.mark(APP, "node2").expect("a log");
    small.holdfast("node2", &["prim", "-m", APP]).expect("taken");
    let refused = [
        "Action prim called by root",
        "Data may be inconsistent for replicated directories (stopped during reintegration)",
        "If you are sure that this server has valid data, run safekit primforce to force start as primary",
        "Local state STOP red",
    ];
    small.said(APP, "node2", mark, &refused).expect("5.9");
    small.wait(APP, &[("node2", "STOP", "red")]).expect("5.9");
    small.holdfast("node2", &["primforce", "-m", APP]).expect("primforce");
    small.wait(APP, &[("node2", "ALONE", "green")]).expect("5.9");
    small.said(APP, "node2", mark, &["Action primforce called by"]).expect("5.9");
    small.sh("node2", "rm -f /data/app/large; echo forced > /data/app/forced; sync").expect("what is there goes on");
    small.holdfast("node1", &["start", "-m", APP]).expect("start");
    small.wait(APP, &[("node2", "PRIM", "green"), ("node1", "SECOND", "green")]).expect("5.9");
    small.copies_are_equal(APP, ["node2", "node1"]).expect("5.9: everything was compared");
}

/// 4.4.7, 4.4.8: a checker's script sets a resource, and a rule acts: on the primary a restart, on the secondary a wait.
fn failover_by_rules(small: &Small) {
    let set = |node: &str, resource: &str, value: &str| {
        small.holdfast(node, &["set", "-r", resource, "-v", value, "-i", "customscript", "-m", APP]).expect("set");
    };
    let marks = ["node1", "node2"].map(|node| small.mark(APP, node).expect("a log"));
    set("node1", "custom.app", "down");
    let restarted = [
        "Resource custom.app set to down by customscript",
        "Action restart from failover rule app_failure",
        "Transition RESTART from failover rule app_failure",
        "Script start_prim",
    ];
    small.said(APP, "node1", marks[0], &restarted).expect("4.4.8");
    set("node1", "custom.app", "up");
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("4.4.8");
    set("node2", "custom.net", "down");
    small.wait(APP, &[("node1", "ALONE", "green"), ("node2", "WAIT", "red")]).expect("4.4.7");
    let rules = small.holdfast("node2", &["state", "-m", APP, "-v"]).expect("state");
    assert!(rules.contains("rule.net_failure") && rules.contains("custom.net == down"), "{rules}");
    set("node2", "custom.net", "up");
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("4.4.7");
    let waited = [
        "Resource custom.net set to down by customscript",
        "Action wait from failover rule net_failure",
        "Transition WAIT_TR from failover rule net_failure",
        "Local state WAIT red",
        "Transition WAKEUP from failover rule Implicit_WAKEUP",
        "Local state SECOND green",
    ];
    small.said(APP, "node2", marks[1], &waited).expect("4.4.7");
}

/// 5.7: `failover off`, said on one node; and failovers by rules, in the same lab.
#[test]
fn failover_by_hand_and_by_rules() {
    let rules =
        "app_failure: if (custom.app == down) then restart(); net_failure: if (custom.net == down) then wait();";
    let app = Module { rules, ..Module::new(APP, "10.90.1.20", "reaction=\"fast\" maxloop=\"1000\"") };
    let small = Small::up("mir-fail", &BOTH, &[], &[app]).expect("a lab");
    small.first_start(APP, "node1", "node2").expect("a pair");
    failover_by_rules(&small);
    let mark = small.mark(APP, "node2").expect("a log");
    small.holdfast("node1", &["failover", "off", "-m", APP]).expect("failover off");
    small.said(APP, "node2", mark, &["Resource usersetting.failover set to off"]).expect("told to the other node");
    small.holdfast("node1", &["stop", "-m", APP]).expect("stop");
    small.wait(APP, &[("node1", "STOP", "red"), ("node2", "WAIT", "red")]).expect("5.7");
    let off = [
        "Failover-off configured",
        "Action stopstart called by failover-off",
        "Transition STOPSTART from failover-off",
        "Local state WAIT red",
    ];
    small.said(APP, "node2", mark, &off).expect("5.7");
    small.holdfast("node1", &["start", "-m", APP]).expect("start");
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("5.7");
    small.holdfast("node2", &["failover", "on", "-m", APP]).expect("failover on");
    small.said(APP, "node1", 0, &["Resource usersetting.failover set to on"]).expect("told to the other node");
    // 5.7: an administrator decides for the other node.
    let mark = small.mark(APP, "node2").expect("a log");
    small.holdfast("node1", &["failover", "off", "-m", APP]).expect("failover off");
    small.said(APP, "node2", mark, &["Resource usersetting.failover set to off"]).expect("told to the other node");
    small.holdfast("node1", &["stop", "-m", APP]).expect("stop");
    small.wait(APP, &[("node1", "STOP", "red"), ("node2", "WAIT", "red")]).expect("5.7");
    stop(&small, "node2");
    small.holdfast("node2", &["prim", "-m", APP]).expect("prim");
    small.wait(APP, &[("node2", "ALONE", "green")]).expect("5.7: stop, then prim");
    small.holdfast("node1", &["start", "-m", APP]).expect("start");
    small.wait(APP, &[("node2", "PRIM", "green"), ("node1", "SECOND", "green")]).expect("5.7");
    // What was said held until each node was stopped: now the configuration holds.
    small.lab.run("power-off", &["node2"]).expect("a power cut");
    small.wait(APP, &[("node1", "ALONE", "green")]).expect("automatic again");
}

/// 1.5.1, 5.8: two mirrors back each other up, each with its own preferred node.
#[test]
fn crossed_default_primaries() {
    let one = Module::new("one", "10.90.1.21", "defaultprim=\"node1\"");
    let two = Module::new("two", "10.90.1.22", "defaultprim=\"node2\"");
    let small = Small::up("mir-cross", &BOTH, &[], &[one, two]).expect("a lab");
    small.first_start("one", "node1", "node2").expect("one");
    small.first_start("two", "node2", "node1").expect("two");
    small.lab.run("power-off", &["node2"]).expect("a power cut");
    small.wait("one", &[("node1", "ALONE", "green")]).expect("one");
    small.wait("two", &[("node1", "ALONE", "green")]).expect("two");
    let mark = small.mark("two", "node2").unwrap_or(0);
    small.lab.run("power-on", &["node2"]).expect("power");
    for module in ["one", "two"] {
        small.start_when_up(module, "node2").expect("start");
    }
    small.wait("one", &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("5.8");
    small.wait("two", &[("node2", "PRIM", "green"), ("node1", "SECOND", "green")]).expect("5.8");
    small.said("two", "node2", mark, &["Transition SWAP from defaultprim", "Begin of Swap"]).expect("5.8");
    small.only_holder("10.90.1.21", &BOTH, "node1").expect("5.8");
    small.only_holder("10.90.1.22", &BOTH, "node2").expect("5.8");
    // By hand, and it stays.
    small.holdfast("node2", &["swap", "-m", "two"]).expect("swap");
    small.wait("two", &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("swapped");
    std::thread::sleep(Duration::from_secs(3));
    small.wait("two", &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("it stays");
}

/// 1.5.2: N-to-1, two mirrors with node3 as their only backup.
#[test]
fn two_to_one() {
    let module = |name, vip, nodes, lans| Module { nodes, lans, ..Module::new(name, vip, "defaultprim=\"lastprim\"") };
    let one = module("one", "10.90.1.21", ["node1", "node3"], ["one", "one"]);
    let two = module("two", "10.90.1.22", ["node2", "node3"], ["two", "two"]);
    let nodes = ["node1", "node2", "node3"];
    let small = Small::up("mir-nto1", &nodes, &[("one", "node2"), ("two", "node1")], &[one, two]).expect("a lab");
    small.first_start("one", "node1", "node3").expect("one");
    small.first_start("two", "node2", "node3").expect("two");
    small.lab.run("power-off", &["node1", "node2"]).expect("a power cut");
    for module in ["one", "two"] {
        small.wait(module, &[("node3", "ALONE", "green")]).expect("the backup runs both");
    }
    small.only_holder("10.90.1.21", &["node3"], "node3").expect("the backup has the address");
    small.lab.run("power-on", &["node1"]).expect("power");
    small.start_when_up("one", "node1").expect("start");
    small.wait("one", &[("node1", "PRIM", "green"), ("node3", "SECOND", "green")]).expect("lastprim swaps back");
    small.said("one", "node1", 0, &["Transition SWAP from defaultprim"]).expect("5.8");
    small.wait("two", &[("node3", "ALONE", "green")]).expect("the other one is not touched");
}
