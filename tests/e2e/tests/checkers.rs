//! Checkers as chapter 4.4 of the reference tests them: what is found, what the log says, what follows, and the way back.

use anyhow::{Context, ensure};
use e2e::{MODULE, Module, Pair, Settings, Small};
use std::time::{Duration, Instant};

const APP: &str = "app";
const PATIENCE: Duration = Duration::from_secs(60);

const CHECKERS: &str = r#"
    <tcp ident="local" when="prim"><to addr="127.0.0.1" port="7001"/></tcp>
    <tcp ident="external" when="pre"><to addr="10.90.1.100" port="7000"/></tcp>
    <http ident="web" when="prim"><to url="http://127.0.0.1:7002/health" bodyregex="shop is (fine|well)"/></http>
    <disk ident="room" when="pre" dir="/srv/room" free="10M" action="wait"/>
    <ping ident="router"><to addr="10.90.1.100"/></ping>
    <ping ident="router6"><to addr="fd90:1::64"/></ping>
    <ip ident="own"><to addr="10.90.1.20"/></ip>
    <custom ident="net" when="pre" exec="checker" arg="/run/app.net rule"/>
    <custom ident="work" when="prim" exec="checker" arg="/run/app.work rule"/>
    <custom ident="self" when="prim" exec="checker" arg="/run/app.self command"/>"#;

const RULES: &str = "
    tcpid_failure: if (tcp.external == down) then wait();
    customid_failure: if (custom.net == down) then wait();
    customwork_failure: if (custom.work == down) then restart();";

/// The checker of reference 004, 15.12, in the shell; with `command` it acts itself (4.4.8.2).
const CHECKER: &str = r#"#!/bin/sh
last=
while :; do
  if test -e "$3"; then now=down; else now=up; fi
  if [ "$now" != "$last" ]; then
    case "$4 $now" in
    "command down") rm -f "$3"; "$SAFE/safekit" restart -m "$1" -i customscript ;;
    *) "$SAFE/safekit" set -m "$1" -r "$2" -v "$now" -i customscript ;;
    esac
    last=$now
  fi
  sleep 0.2
done
"#;

/// Something that takes connections.
const LISTENER: &str = r#"use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 9, ReuseAddr => 1) or die; while (my $c = $s->accept) { close $c }"#;

/// A web service, which answers with the status in /run/http.status.
const WEB: &str = r#"use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 9, ReuseAddr => 1) or die; while (my $c = $s->accept) { while (<$c>) { last if /^\r?$/ } open F, "/run/http.status"; my $status = <F> + 0; close F; print $c "HTTP/1.1 $status x\r\n\r\nthe shop is fine"; close $c }"#;

fn serve(program: &str, port: u16) -> String {
    format!("setsid perl -e '{program}' {port} >/dev/null 2>&1 & echo $! > /run/listener.{port}")
}

fn listen(port: u16) -> String {
    serve(LISTENER, port)
}

fn hang_up(port: u16) -> String {
    format!("kill $(cat /run/listener.{port}) 2>/dev/null; rm -f /run/listener.{port}; true")
}

#[test]
fn every_test_of_the_reference() {
    chapter_4_4().unwrap_or_else(|error| panic!("{error:?}"));
}

fn chapter_4_4() -> anyhow::Result<()> {
    let service = "reaction=\"fast\"";
    let module = Module { check: CHECKERS, rules: RULES, ..Module::new(APP, "10.90.1.20", service) };
    let small = Small::up("e2e-checkers", &["node1", "node2"], &[], &[module])?;
    small.sh("client", &listen(7000))?;
    for node in ["node1", "node2"] {
        let bin = format!("$SAFE/modules/{APP}/bin");
        let script = format!(
            "mkdir -p /srv/room
             mount -t tmpfs -o size=50m none /srv/room
             cat > {bin}/checker <<'END'\n{CHECKER}\nEND
             chmod 755 {bin}/checker
             cat >> {bin}/start_prim <<'END'\n{}\necho 200 > /run/http.status\n{}\nEND
             cat >> {bin}/stop_prim <<'END'\n{}\n{}\nEND
             holdfast config -m {APP}",
            listen(7001),
            serve(WEB, 7002),
            hang_up(7001),
            hang_up(7002)
        );
        small.sh(node, &script)?;
    }
    small.first_start(APP, "node1", "node2")?;
    let mut pair = Roles { small: &small, primary: "node1", secondary: "node2" };
    let began = Instant::now();
    let mut step = |what: &'static str, test: fn(&mut Roles) -> anyhow::Result<()>| {
        pair.small.holdfast(pair.primary, &["resetloop", "-m", APP])?;
        test(&mut pair).context(what)?;
        println!("{what}: done after {:?}", began.elapsed());
        Ok::<_, anyhow::Error>(())
    };
    step("4.4.2, tcp of the application", local_tcp)?;
    step("http of the application", local_http)?;
    step("a disk that fills up", disk)?;
    step("4.4.3, tcp of another machine", external_tcp)?;
    step("4.4.4, a cable", cable)?;
    step("4.4.5, ping", ping)?;
    step("4.4.7, custom with wait", custom_wait)?;
    step("4.4.8, custom with restart", custom_restart)?;
    step("checker off and on", off_and_on)?;
    step("another configuration", another_configuration)?;
    step("Stopping loop", stopping_loop)
}

/// Who is what.
struct Roles<'s> {
    small: &'s Small,
    primary: &'static str,
    secondary: &'static str,
}

impl Roles<'_> {
    fn wait(&self) -> anyhow::Result<()> {
        self.small.wait(APP, &[(self.primary, "PRIM", "green"), (self.secondary, "SECOND", "green")])
    }

    /// `break_it` makes the primary wait, with these lines in its log; the other node takes over; `mend` brings it back.
    fn waits(&mut self, break_it: &str, mend: &str, down: &[&str], up: &[&str]) -> anyhow::Result<()> {
        let (small, node) = (self.small, self.primary);
        let mark = small.mark(APP, node)?;
        small.sh("client", break_it)?;
        small.said(APP, node, mark, down)?;
        self.is_replaced_and_comes_back(mark, || small.sh("client", mend).map(drop), up)
    }

    fn is_replaced_and_comes_back(
        &mut self,
        mark: usize,
        mend: impl Fn() -> anyhow::Result<()>,
        up: &[&str],
    ) -> anyhow::Result<()> {
        let (small, node) = (self.small, self.primary);
        small.wait(APP, &[(node, "WAIT", "red"), (self.secondary, "ALONE", "green")])?;
        mend()?;
        std::mem::swap(&mut self.primary, &mut self.secondary);
        self.wait()?;
        small.said(APP, node, mark, up)
    }
}

const WAKEUP: &str = "Transition WAKEUP from failover rule Implicit_WAKEUP";

/// What the client doesn't take from a node any more.
fn refuse(node: &str, what: &str) -> String {
    let number = node.trim_start_matches("node");
    format!(
        "nft add table inet t && nft 'add chain inet t in {{ type filter hook input priority 0 ; }}' \
         && nft add rule inet t in ip saddr 10.90.1.{number} {what}"
    )
}

const TAKE_ALL: &str = "nft delete table inet t";

fn local_tcp(pair: &mut Roles) -> anyhow::Result<()> {
    let (small, node) = (pair.small, pair.primary);
    let mark = small.mark(APP, node)?;
    small.sh(node, &hang_up(7001))?;
    small.said(
        APP,
        node,
        mark,
        &[
            "Resource tcp.local set to down by tcpcheck",
            "Action restart from failover rule tcp_failure",
            "Transition RESTART from failover rule tcp_failure",
            "Local state PRIM magenta",
            "Script stop_prim",
            "Script start_prim",
            "Local state PRIM green",
            "Resource tcp.local set to up by tcpcheck",
        ],
    )?;
    small.said(APP, node, mark, &["Checker tcp.local: 127.0.0.1:7001 refuses connections"])?;
    pair.wait()
}

fn local_http(pair: &mut Roles) -> anyhow::Result<()> {
    let (small, node) = (pair.small, pair.primary);
    let mark = small.mark(APP, node)?;
    small.sh(node, "echo 503 > /run/http.status")?;
    small.said(
        APP,
        node,
        mark,
        &[
            "Resource http.web set to down by httpcheck",
            "Action restart from failover rule http_failure",
            "Script start_prim",
            "Resource http.web set to up by httpcheck",
        ],
    )?;
    let why = "Checker http.web: 127.0.0.1:7002 answers with status 503, and 200-299 is expected";
    small.said(APP, node, mark, &[why])?;
    pair.wait()
}

/// The other node takes over, and this one comes back when there is room.
fn disk(pair: &mut Roles) -> anyhow::Result<()> {
    let (small, node) = (pair.small, pair.primary);
    let mark = small.mark(APP, node)?;
    small.sh(node, "head -c 45M /dev/zero > /srv/room/big")?;
    let down = ["Resource disk.room set to down by diskcheck", "Action wait from failover rule d_room"];
    small.said(APP, node, mark, &down)?;
    let log = small.log(APP, node)?.join("\n");
    let why = log.contains("Checker disk.room: /srv/room has 5120 KiB free of 50 MiB, and 10485760 bytes are wanted");
    ensure!(why, "{log}");
    let mend = || small.sh(node, "rm -f /srv/room/big").map(drop);
    pair.is_replaced_and_comes_back(mark, mend, &["Resource disk.room set to up by diskcheck", WAKEUP])
}

fn external_tcp(pair: &mut Roles) -> anyhow::Result<()> {
    pair.waits(
        &refuse(pair.primary, "tcp dport 7000 reject with tcp reset"),
        TAKE_ALL,
        &["Resource tcp.external set to down by tcpcheck", "Action wait from failover rule tcpid_failure"],
        &["Resource tcp.external set to up by tcpcheck", WAKEUP],
    )
}

fn ping(pair: &mut Roles) -> anyhow::Result<()> {
    let state = pair.small.holdfast(pair.primary, &["state", "-m", APP, "-v"])?;
    ensure!(state.contains("ping.router6"), "{state}");
    pair.waits(
        &refuse(pair.primary, "icmp type echo-request drop"),
        TAKE_ALL,
        &["Resource ping.router set to down by pingcheck", "Action wait from failover rule ping_failure"],
        &["Resource ping.router set to up by pingcheck", WAKEUP],
    )
}

fn cable(pair: &mut Roles) -> anyhow::Result<()> {
    let (small, node) = (pair.small, pair.primary);
    let mark = small.mark(APP, node)?;
    small.lab.run("unplug", &[node, "default"])?;
    // The addresses behind the cable fail as well, a moment later.
    small.said(
        APP,
        node,
        mark,
        &[
            "Resource intf.10.90.1.0 set to down by intfcheck",
            "Action wait from failover rule interface_failure",
            "Transition WAIT_TR from failover rule interface_failure",
        ],
    )?;
    small.said(APP, node, mark, &["Checker intf.10.90.1.0: eth0 has no carrier: is its cable plugged in?"])?;
    let plug = || small.lab.run("plug", &[node, "default"]).map(drop);
    pair.is_replaced_and_comes_back(mark, plug, &["Resource intf.10.90.1.0 set to up by intfcheck"])?;
    small.said(APP, node, mark, &[WAKEUP])
}

fn custom_wait(pair: &mut Roles) -> anyhow::Result<()> {
    let (small, node) = (pair.small, pair.primary);
    let mark = small.mark(APP, node)?;
    small.sh(node, "touch /run/app.net")?;
    small.said(
        APP,
        node,
        mark,
        &[
            "Resource custom.net set to down by customscript",
            "Action wait from failover rule customid_failure",
            "Transition WAIT_TR from failover rule customid_failure",
        ],
    )?;
    let mend = || small.sh(node, "rm /run/app.net").map(drop);
    pair.is_replaced_and_comes_back(mark, mend, &["Resource custom.net set to up by customscript", WAKEUP])
}

fn custom_restart(pair: &mut Roles) -> anyhow::Result<()> {
    let (small, node) = (pair.small, pair.primary);
    let mark = small.mark(APP, node)?;
    small.sh(node, "touch /run/app.work")?;
    small.said(
        APP,
        node,
        mark,
        &[
            "Resource custom.work set to down by customscript",
            "Action restart from failover rule customwork_failure",
            "Transition RESTART from failover rule customwork_failure",
            "Local state PRIM magenta",
        ],
    )?;
    small.sh(node, "rm /run/app.work")?;
    pair.wait()?;
    let mark = small.mark(APP, node)?;
    small.sh(node, "touch /run/app.self")?;
    small.said(APP, node, mark, &["Action restart called by customscript", "Local state PRIM magenta"])?;
    pair.wait()
}

fn off_and_on(pair: &mut Roles) -> anyhow::Result<()> {
    let (small, node) = (pair.small, pair.primary);
    let programs = || small.sh(node, "pgrep -fc 'bin/checker ap[p] custom' || true");
    ensure!(programs()?.trim() == "3", "three programs: {:?}", programs()?);
    let mark = small.mark(APP, node)?;
    small.holdfast(node, &["checker", "off", "-m", APP])?;
    let gone = || programs().is_ok_and(|count| count.trim() == "0");
    wait_until("the programs are ended", gone)?;
    small.sh(node, &hang_up(7001))?;
    small.sh(node, "touch /run/app.net")?;
    let shown = small.holdfast(node, &["state", "-m", APP, "-v"])?;
    ensure!(shown.lines().any(|line| line.contains("usersetting.checker") && line.contains("off")), "{shown}");
    small.sh(node, "rm /run/app.net")?;
    small.holdfast(node, &["restart", "-m", APP])?;
    pair.wait()?;
    small.silent(APP, node, mark, &["set to down by", "from failover rule"])?;
    small.holdfast(node, &["checker", "on", "-m", APP])?;
    small.said(APP, node, mark, &["Resource tcp.local set to up by tcpcheck"])?;
    // Kept over a stop, and chosen while it is stopped.
    small.holdfast(pair.secondary, &["stop", "-m", APP])?;
    small.wait(APP, &[(pair.secondary, "STOP", "red")])?;
    small.holdfast(pair.secondary, &["checker", "off", "-m", APP])?;
    small.holdfast(pair.secondary, &["start", "-m", APP])?;
    pair.wait()?;
    let shown = small.holdfast(pair.secondary, &["state", "-m", APP, "-v"])?;
    ensure!(shown.lines().any(|line| line.contains("usersetting.checker") && line.contains("off")), "{shown}");
    small.holdfast(pair.secondary, &["checker", "on", "-m", APP]).map(drop)
}

/// Reference 004, 13.10.2: `<check>` may change while the module runs, in ALONE and WAIT.
fn another_configuration(pair: &mut Roles) -> anyhow::Result<()> {
    let (small, node) = (pair.small, pair.primary);
    small.holdfast(pair.secondary, &["stop", "-m", APP])?;
    small.wait(APP, &[(node, "ALONE", "green"), (pair.secondary, "STOP", "red")])?;
    let file = format!("$SAFE/modules/{APP}/conf/userconfig.xml");
    let starts = || small.sh(node, &format!("wc -l < /data/{APP}/starts"));
    let (before, mark) = (starts()?, small.mark(APP, node)?);
    for wanted in [node, pair.secondary] {
        small.sh(wanted, &format!("sed -i 's|<check>|<check><tcp ident=\"new\" when=\"prim\" action=\"noaction\"><to addr=\"127.0.0.1\" port=\"7009\"/></tcp>|' {file}"))?;
        let told = small.sh(wanted, &format!("holdfast config -m {APP} 2>&1"))?;
        ensure!(wanted != node || told.contains("<check tcp.new> is new"), "{told}");
    }
    small.sh(node, &listen(7009))?;
    small.said(APP, node, mark, &["Resource tcp.new set to up by tcpcheck"])?;
    small.sh(node, &hang_up(7009))?;
    small.said(APP, node, mark, &["Resource tcp.new set to down by tcpcheck"])?;
    small.holdfast(pair.secondary, &["start", "-m", APP])?;
    pair.wait()?;
    small.silent(APP, node, mark, &["from failover rule"])?;
    ensure!(starts()? == before, "the application was started again");
    Ok(())
}

/// The fourth restart within `loop_interval` is a stop (4.4.2).
fn stopping_loop(pair: &mut Roles) -> anyhow::Result<()> {
    let (small, node) = (pair.small, pair.primary);
    for restart in 1..=4 {
        let mark = small.mark(APP, node)?;
        small.sh(node, &hang_up(7001))?;
        if restart == 4 {
            small.said(APP, node, mark, &["Resource tcp.local set to down by tcpcheck", "Stopping loop"])?;
            break;
        }
        small.said(
            APP,
            node,
            mark,
            &["Action restart from failover rule tcp_failure", "Resource tcp.local set to up"],
        )?;
        pair.wait()?;
    }
    small.wait(APP, &[(node, "STOP", "red"), (pair.secondary, "ALONE", "green")])?;
    let programs = small.sh(node, "pgrep -fc 'bin/checker ap[p] custom' || true")?;
    ensure!(programs.trim() == "0", "checkers of a stopped module run: {programs}");
    Ok(())
}

fn wait_until(what: &str, done: impl Fn() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while !done() {
        ensure!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[test]
fn a_dead_postgresql_is_started_again() {
    const CHECK: &str = r#"<tcp ident="pg" when="prim"><to addr="127.0.0.1" port="5432"/></tcp>"#;
    let pair =
        Pair::start("e2e-checkers-pg", Settings { check: CHECK, ..Settings::default() }).expect("a pair in step");
    let (primary, _) = pair.roles().expect("a pair in step");
    let sql = format!("PGHOST={} PGUSER=postgres psql -qAtd postgres -c 'SELECT 1'", pair.settings.vip());
    let answers = || pair.lab.exec("client", &["sh", "-c", &sql]).is_ok();
    assert!(answers());
    let log = || pair.holdfast(primary, &["log", "-m", MODULE, "-A", "-s", "2000"]).unwrap_or_default();
    let up = || log().contains("Resource tcp.pg set to up by tcpcheck");
    wait_until("the checker's first look", up).expect("up");
    let began = Instant::now();
    let kill = "kill -9 $(head -1 /var/lib/holdfast-pg/data/postmaster.pid)";
    pair.lab.exec(primary, &["sh", "-c", kill]).expect("killed");
    let acted = || log().contains("Action restart from failover rule tcp_failure");
    wait_until("a restart", acted).expect("a restart");
    println!("from the death of PostgreSQL to its restart: {:?}", began.elapsed());
    wait_until("an answer", answers).expect("it answers again");
    println!("to its first answer: {:?}", began.elapsed());
    pair.wait_in_step().expect("nobody changed its role");
    assert_eq!(pair.roles().expect("in step").0, primary);
}
