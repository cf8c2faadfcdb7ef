use crate::lab::Lab;
use anyhow::{Context, bail, ensure};
use std::time::{Duration, Instant};

pub const MODULE: &str = "postgresql";
pub const PGDATA: &str = "/var/lib/holdfast-pg/data";
/// A node whose disk hangs may not even be able to start a command.
const ANSWER_S: u64 = 10;

/// How the module of a pair is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub heartbeat_timeout_ms: u64,
    /// `async="none"` instead of the default `second`.
    pub async_none: bool,
    /// The virtual address is IPv6.
    pub ipv6: bool,
    /// `sendtimeout`, `locktimeout` and `checktime` of `<rfs>` instead of their defaults, in seconds.
    pub patience_s: Option<u64>,
    /// What `<check>` holds, with `reaction="fast"`. Empty: nothing, and no interface checker.
    pub check: &'static str,
}

impl Settings {
    pub const USUAL: Settings =
        Settings { heartbeat_timeout_ms: 1000, async_none: false, ipv6: false, patience_s: None, check: "" };

    /// The address that clients use: the package's own, or one of the lab's IPv6 network.
    pub fn vip(&self) -> &'static str {
        if self.ipv6 { "fd90:1::10" } else { "10.90.1.10" }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::USUAL
    }
}

/// Two nodes with a replicated PostgreSQL, and a client.
pub struct Pair {
    pub lab: Lab,
    pub settings: Settings,
}

impl Pair {
    /// A lab with the module PRIM on node1, SECOND on node2.
    pub fn start(name: &str, settings: Settings) -> anyhow::Result<Pair> {
        let pair = Pair { lab: Lab::up(name, &[])?, settings };
        for node in ["node1", "node2"] {
            pair.install(node)?;
        }
        pair.holdfast("node1", &["prim", "-m", MODULE])?;
        pair.wait_state("node1", "ALONE")?;
        pair.holdfast("node2", &["second", "-m", MODULE])?;
        pair.wait_in_step()?;
        Ok(pair)
    }

    fn install(&self, node: &str) -> anyhow::Result<()> {
        let async_mode = if self.settings.async_none { "none" } else { "second" };
        let timeout_ms = self.settings.heartbeat_timeout_ms;
        let networks = if self.settings.ipv6 { "10.90.1.0/24 fd90:1::/64" } else { "10.90.1.0/24" };
        let macros = [
            ("VIP", self.settings.vip().to_owned()),
            ("CLIENT_NETWORK", networks.to_owned()),
            ("HEARTBEAT_TIMEOUT", format!("{timeout_ms}ms")),
            ("HEARTBEAT_PULSE", format!("{}ms", timeout_ms / 5)),
            ("ASYNC", async_mode.to_owned()),
        ];
        let mut edits: String = macros
            .iter()
            .map(|(name, value)| format!(" -e 's|name=\"{name}\" value=\"[^\"]*\"|name=\"{name}\" value=\"{value}\"|'"))
            .collect();
        if let Some(seconds) = self.settings.patience_s {
            let limits = format!("sendtimeout=\"{seconds}s\" locktimeout=\"{seconds}s\" checktime=\"{seconds}s\"");
            edits += &format!(" -e 's/<rfs /<rfs {limits} /'");
        }
        edits += &match self.settings.check {
            // What these scenarios unplug isn't meant to make a node wait.
            "" => " -e 's/<interface /<interface check=\"off\" /'".to_owned(),
            check => format!(
                " -e 's|<service |<service reaction=\"fast\" |' -e 's|</service>|<check>{check}</check></service>|'"
            ),
        };
        let script = format!(
            "set -e; holdfast module install -m {MODULE} \"$SAFE/Application_Modules/postgresql.safe\"
             sed -i {edits} \"$SAFE/modules/{MODULE}/conf/userconfig.xml\"
             holdfast config -m {MODULE}"
        );
        self.lab.exec(node, &["sh", "-c", &script]).map(drop)
    }

    pub fn holdfast(&self, node: &str, args: &[&str]) -> anyhow::Result<String> {
        let command: Vec<&str> = ["holdfast"].iter().chain(args).copied().collect();
        self.lab.exec(node, &command)
    }

    /// State and colour of the module on `node`, as that node says; none if it doesn't answer.
    pub fn state(&self, node: &str) -> Option<(String, String)> {
        let text = self.lab.exec_within(ANSWER_S, node, &["holdfast", "state", "-m", MODULE, "-o", "json"]).ok()?;
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        let modules = value.as_array().or_else(|| value.get("modules")?.as_array())?;
        let own = modules.iter().find(|m| m["node"] == node)?;
        Some((own["state"].as_str()?.to_owned(), own["colour"].as_str()?.to_owned()))
    }

    pub fn is(&self, node: &str, state: &str, colour: &str) -> bool {
        self.state(node).is_some_and(|now| now.0 == state && now.1 == colour)
    }

    /// Waits for a stable (green, or red STOP) state.
    pub fn wait_state(&self, node: &str, state: &str) -> anyhow::Result<()> {
        let colour = if state == "STOP" { "red" } else { "green" };
        self.wait(&format!("{node} {state} ({colour})"), Duration::from_secs(90), || self.is(node, state, colour))
    }

    /// Waits until one node is PRIM and the other SECOND, both green.
    pub fn wait_in_step(&self) -> anyhow::Result<()> {
        self.wait("PRIM and SECOND (green)", Duration::from_secs(120), || self.primary_in_step().is_some())
    }

    fn primary_in_step(&self) -> Option<&'static str> {
        let prim = |node| self.is(node, "PRIM", "green");
        let second = |node| self.is(node, "SECOND", "green");
        match (prim("node1"), prim("node2")) {
            (true, false) if second("node2") => Some("node1"),
            (false, true) if second("node1") => Some("node2"),
            _ => None,
        }
    }

    /// Waits until both nodes hear each other on every network again.
    pub fn wait_lanes(&self) -> anyhow::Result<()> {
        let hears = |node: &str| {
            let text = self.lab.exec_within(ANSWER_S, node, &["holdfast", "state", "-m", MODULE, "-v", "-o", "json"]);
            let value: serde_json::Value = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
            let own = value["modules"].as_array().and_then(|all| all.iter().find(|m| m["node"] == node));
            let resources = own.and_then(|own| own["resources"].as_array()).cloned().unwrap_or_default();
            let is_lane =
                |r: &&serde_json::Value| r["name"].as_str().is_some_and(|name| name.starts_with("heartbeat."));
            let lanes: Vec<_> = resources.iter().filter(is_lane).collect();
            lanes.len() == 2 && lanes.iter().all(|lane| lane["value"] == "up")
        };
        self.wait("heartbeats on every network", Duration::from_secs(60), || hears("node1") && hears("node2"))
    }

    /// The primary's and the secondary's names, of a pair in step.
    pub fn roles(&self) -> anyhow::Result<(&'static str, &'static str)> {
        match self.primary_in_step() {
            Some("node1") => Ok(("node1", "node2")),
            Some(_) => Ok(("node2", "node1")),
            None => bail!("the pair is not in step: {:?} {:?}", self.state("node1"), self.state("node2")),
        }
    }

    pub fn wait(&self, what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        while !done() {
            ensure!(
                began.elapsed() < limit,
                "{what} was not reached within {} s: node1 {:?}, node2 {:?}",
                limit.as_secs(),
                self.state("node1"),
                self.state("node2")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Both nodes' module logs and the ends of their scripts' output, for a failed run.
    pub fn logs(&self) -> String {
        let told = |what: &str, node: &str, said: anyhow::Result<String>| match said {
            Ok(text) => format!("--- {what} of {node}\n{text}"),
            Err(error) => format!("--- no {what} of {node}: {error:#}\n"),
        };
        let userlog = format!("/var/holdfast/modules/{MODULE}/userlog.ulog");
        ["node1", "node2"]
            .map(|node| {
                let log = ["holdfast", "log", "-m", MODULE, "-s", "60", "-A"];
                told("log", node, self.lab.exec_within(ANSWER_S, node, &log))
                    + &told("user log", node, self.lab.exec_within(ANSWER_S, node, &["tail", "-n", "25", &userlog]))
            })
            .concat()
    }

    /// Starts the module on a node that came back, unless boot did.
    pub fn start_again(&self, node: &str) -> anyhow::Result<()> {
        self.wait("the daemon", Duration::from_secs(60), || self.state(node).is_some())?;
        if self.is(node, "STOP", "red") {
            self.holdfast(node, &["start", "-m", MODULE])?;
        }
        Ok(())
    }

    /// PostgreSQL's own checks (checksums are on) on the primary's copy, and after a swap on the other's.
    pub fn check_both_copies(&self) -> anyhow::Result<()> {
        self.amcheck().context("pg_amcheck on the first copy")?;
        let (primary, secondary) = self.roles()?;
        self.holdfast(primary, &["swap", "-m", MODULE])?;
        self.wait_state(secondary, "PRIM")?;
        self.wait_in_step()?;
        self.amcheck().context("pg_amcheck on the second copy, after a swap")
    }

    fn amcheck(&self) -> anyhow::Result<()> {
        let vip = self.settings.vip();
        let script = format!(
            "set -e; export PGHOST={vip} PGUSER=postgres PGDATABASE=postgres
             [ \"$(psql -Atc 'SHOW data_checksums')\" = on ]
             psql -qAtc 'CREATE EXTENSION IF NOT EXISTS amcheck'
             amcheck=$(ls /usr/lib/postgresql/*/bin/pg_amcheck | tail -n 1)
             \"$amcheck\" --heapallindexed postgres"
        );
        self.lab.exec("client", &["sh", "-c", &script]).map(drop)
    }
}
