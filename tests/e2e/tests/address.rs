//! The virtual address in the lab: taken away, met by others, gone with its interface, left behind by dead processes.

use e2e::{MODULE, Pair, Settings};
use std::time::{Duration, Instant};

fn has(pair: &Pair, node: &str) -> bool {
    let shown = pair.lab.exec(node, &["ip", "addr", "show", "dev", "eth0", "to", pair.settings.vip()]);
    shown.expect("the addresses of eth0").contains(pair.settings.vip())
}

fn log(pair: &Pair, node: &str) -> String {
    pair.holdfast(node, &["log", "-m", MODULE, "-s", "60", "-A"]).expect("the log")
}

/// How long it took until `done`.
fn wait(pair: &Pair, node: &str, what: &str, limit: Duration, done: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}\n{}", log(pair, node));
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("{what}: after {:?}", began.elapsed());
    began.elapsed()
}

fn exec(pair: &Pair, node: &str, command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    pair.lab.exec(node, &words).expect(command);
}

/// What is done at once, or within the lifetime of an address; a machine under load may need longer.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn an_address_meets_others() {
    for ipv6 in [false, true] {
        let pair = Pair::start("e2e-vip", Settings { ipv6, ..Settings::default() }).expect("a pair in step");
        let vip = pair.settings.vip();
        let entry = if ipv6 { format!("{vip}/128") } else { format!("{vip}/32") };
        let (primary, secondary) = pair.roles().expect("a pair in step");
        assert!(has(&pair, primary) && !has(&pair, secondary));

        exec(&pair, primary, &format!("ip addr del {entry} dev eth0"));
        wait(&pair, primary, "set again after its removal", SOON, || has(&pair, primary));
        wait(&pair, primary, "told", SOON, || log(&pair, primary).contains("somebody removed it"));

        if ipv6 {
            std::thread::sleep(Duration::from_secs(6));
            exec(&pair, primary, "ip link set eth0 down");
            wait(&pair, primary, "gone with its interface", SOON, || !has(&pair, primary));
            exec(&pair, primary, "ip link set eth0 up");
            // The node's own address went too; whoever configures the machine's network sets it again.
            let number = primary.trim_start_matches("node");
            exec(&pair, primary, &format!("ip addr add fd90:1::{number}/64 dev eth0 nodad"));
            wait(&pair, primary, "set again with its interface", SOON, || has(&pair, primary));
            // The client asks whether the address is free before it uses it, and hears that it isn't.
            exec(&pair, "client", &format!("ip addr add {entry} dev eth0"));
            let claimed = || log(&pair, primary).contains("is claimed by the machine with the Ethernet address 02:90:");
            wait(&pair, primary, "a claim", SOON, claimed);
            assert!(has(&pair, primary), "a claim takes nothing away");
            exec(&pair, "client", &format!("ip addr del {entry} dev eth0"));
        }

        // A stranger takes it while the module is stopped.
        for node in [secondary, primary] {
            pair.holdfast(node, &["stop", "-m", MODULE]).expect("a stop");
            pair.wait_state(node, "STOP").expect("stopped");
        }
        assert!(!has(&pair, primary) && !has(&pair, secondary), "it goes with the module");
        let nodad = if ipv6 { " nodad" } else { "" };
        exec(&pair, "client", &format!("ip addr add {entry} dev eth0{nodad}"));
        pair.holdfast(primary, &["prim", "-m", MODULE]).expect("a start");
        pair.wait_state(primary, "ALONE").expect("it runs without its address");
        let met = || log(&pair, primary).contains("has it: two machines with one address");
        wait(&pair, primary, "told who has it", SOON, met);
        assert!(!has(&pair, primary), "two machines with one address");
        exec(&pair, "client", &format!("ip addr del {entry} dev eth0"));
        wait(&pair, primary, "set once it was free", SOON, || has(&pair, primary));

        // Daemon and heart are dead: the kernel takes it away.
        pair.lab.run("freeze", &[primary, "--process-only"]).expect("a freeze");
        wait(&pair, primary, "gone when nobody renews it", SOON, || !answers(&pair));
        pair.lab.run("thaw", &[primary]).expect("a thaw");
    }
}

/// A frozen node runs no command: whether its kernel still answers for the address is asked by the client.
fn answers(pair: &Pair) -> bool {
    pair.lab.exec("client", &["ping", "-c1", "-W1", pair.settings.vip()]).is_ok()
}
