use crate::clock::{MS, Time, nanos};
use crate::rng::Rng;
use hf_config::{Checker, Errd, PingCheck, Proc, ProcAction, SplitbrainCheck, Target, TcpCheck, When};
use hf_node::daemon::{DaemonConfig, InstalledModule};
use hf_node::heart::{HeartConfig, Lane, LoopLimits, Vip};
use hf_node::rfs::RfsConfig;
use hf_rules::{Origin, RuleSet};
use hf_types::{LanName, Mode, ModuleName, NodeName, Script};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The cluster of a run: everything that the configuration files would say, drawn from the seed.
#[derive(Clone, Debug)]
pub struct Setup {
    pub names: [NodeName; 2],
    pub lans: Vec<LanName>,
    pub module: ModuleName,
    pub dirs: usize,
    pub async_second: bool,
    pub pulse: Duration,
    pub timeout: Duration,
    pub send_timeout: Duration,
    pub failover: bool,
    pub defaultprim: Option<usize>,
    pub lastprim: bool,
    /// Period of the client's operations.
    pub client_every: Time,
    /// The module has checkers: where faults make resources go down.
    pub checked: bool,
    /// Errd watches processes: where faults end some.
    pub watched: bool,
    /// A light module, on each node for itself: no replication, no heartbeats, no virtual address.
    pub light: bool,
    /// It is a farm module: a light one, as far as its hearts decide.
    pub farm: bool,
    /// There is a witness (`<splitbrain>`), which this node reaches always and the other one only while the network hides neither.
    pub witness: Option<usize>,
}

/// Resources that faults set, each with a rule. The first two have a checker.
pub(crate) const CHECKED: [&str; 4] = ["tcp.app", "ping.net", "custom.hop", "custom.again"];

/// Every action that can't end a run in STOP.
const RULES: &str = "
    app: if (tcp.app == down) then restart();
    net: if (ping.net == down) then wait();
    hop: if (custom.hop == down && remote.ping.net != down) then swap();
    again [handle_time=200ms]: if (custom.again == down) then stopstart();";

/// Programs that errd watches: the first begins anew with start_prim, the second with a stopstart.
pub(crate) const WATCHED: [&str; 2] = ["server", "helper"];

/// The scripts that a watched program belongs to.
pub(crate) fn class_of(name: &str) -> &'static str {
    if name == WATCHED[0] { "prim" } else { "both" }
}

fn errd() -> Errd {
    let proc = |name: &str, action: ProcAction| Proc {
        name: name.to_owned(),
        service: false,
        name_regex: None,
        arg_regex: None,
        at_least: Some(1),
        at_most: None,
        action,
        class: class_of(name).to_owned(),
        start_after_polls: 0,
        restart_services: Vec::new(),
    };
    Errd { poll_ms: 1000, procs: vec![proc(WATCHED[0], ProcAction::Restart), proc(WATCHED[1], ProcAction::Stopstart)] }
}

fn rules() -> RuleSet {
    let mut set = RuleSet::new(500);
    hf_rules::parse(RULES).rules.into_iter().for_each(|rule| set.add(Origin::Own, rule));
    set
}

/// One of the application, one that holds the module in WAIT.
fn checkers() -> Vec<Checker> {
    let here = || Target::Name("here".to_owned());
    let (interval_ms, timeout_ms) = (1000, 1000);
    vec![
        Checker::Tcp(TcpCheck {
            ident: "app".to_owned(),
            when: When::Prim,
            action: None,
            target: here(),
            port: 80,
            interval_ms,
            timeout_ms,
        }),
        Checker::Ping(PingCheck { ident: "net".to_owned(), action: None, target: here(), interval_ms, timeout_ms }),
    ]
}

fn parsed<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a constant name is valid")
}

impl Setup {
    /// Draws a cluster.
    pub fn draw(rng: &mut Rng) -> Setup {
        let timeout = *rng.pick(&[1000, 2000, 5000]);
        let lans = rng.range(1, 2) as usize;
        Setup {
            names: [parsed("node1"), parsed("node2")],
            lans: [parsed("default"), parsed("net2")][..lans].to_vec(),
            module: parsed("mirror"),
            dirs: rng.range(1, 2) as usize,
            async_second: rng.chance(500),
            pulse: Duration::from_millis(timeout / *rng.pick(&[4, 7, 10])),
            timeout: Duration::from_millis(timeout),
            send_timeout: Duration::from_millis(*rng.pick(&[2000, 10_000])),
            failover: !rng.chance(50),
            defaultprim: *rng.pick(&[None, None, Some(0), Some(1)]),
            lastprim: rng.chance(200),
            client_every: rng.range(20, 150) * MS,
            checked: false,
            watched: false,
            light: false,
            farm: false,
            witness: None,
        }
    }

    /// The longest of the time-outs by which a fault is noticed.
    pub fn patience(&self) -> Time {
        nanos(self.timeout.max(self.send_timeout))
    }

    /// The virtual address of the module.
    pub fn address(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100))
    }

    pub fn daemon(&self, node: usize) -> DaemonConfig {
        DaemonConfig {
            me: self.names[node].clone(),
            nodes: self.names.to_vec(),
            lans: self.lans.clone(),
            pulse: Duration::from_millis(500),
            mlost_count: 4,
            slost_count: 4,
            signature: "0123".to_owned(),
            applied_us: 1,
            locked: false,
            modules: vec![InstalledModule {
                module: self.module.clone(),
                id: 1,
                mode: self.mode(),
                nice_stop_timeout: Duration::from_secs(5),
                force_stop_timeout: Duration::from_secs(3),
                replicates: !self.light,
                signature: String::new(),
                applied_s: 1,
                boot_delay: Duration::ZERO,
                boot: "off".to_owned(),
                checking: true,
            }],
        }
    }

    pub fn heart(&self, node: usize) -> HeartConfig {
        HeartConfig {
            module: self.module.clone(),
            mode: self.mode(),
            me: self.names[node].clone(),
            peer: (!self.light).then(|| self.names[1 - node].clone()),
            me_first: node == 0,
            lanes: self.lans.iter().filter(|_| !self.light).map(|lan| self.lane(lan)).collect(),
            replicates: !self.light,
            encrypted: true,
            failover: self.failover,
            defaultprim: self.defaultprim.map(|n| self.names[n].clone()),
            lastprim: self.lastprim && self.defaultprim.is_none(),
            vips: if self.light { Vec::new() } else { vec![self.vip()] },
            scripts: Script::OF_STATES.into(),
            nice_stop_timeout: Duration::from_secs(5),
            force_stop_timeout: Duration::from_secs(3),
            loops: LoopLimits::OFF,
            syncdelta_min: 0,
            scheduled: false,
            sync_policy: hf_types::SyncPolicy::Default,
            rules: self.rules(),
            told: vec!["ping.net".to_owned()],
            checkers: self.checkers(),
            checking: true,
            errd: self.watched.then(errd),
            errd_off: false,
        }
    }

    fn mode(&self) -> Mode {
        match (self.light, self.farm) {
            (false, _) => Mode::Mirror,
            (true, false) => Mode::Light,
            (true, true) => Mode::Farm,
        }
    }

    fn vip(&self) -> Vip {
        Vip {
            address: self.address(),
            arp_interval: Duration::from_secs(10),
            arp_elapse: Duration::from_secs(30),
            arp_reroute: false,
            check: true,
            connections: false,
        }
    }

    fn rules(&self) -> RuleSet {
        let mut set = rules();
        if self.witness.is_some() {
            let text = "splitbrain_failure: if (splitbrain.uptodate == down) then wait();";
            hf_rules::parse(text).rules.into_iter().for_each(|rule| set.add(Origin::Default, rule));
        }
        set
    }

    fn checkers(&self) -> Vec<Checker> {
        let mut all = if self.checked { checkers() } else { Vec::new() };
        let witnesses = vec![Target::Name("witness".to_owned())];
        let witness = SplitbrainCheck { ident: "witness".to_owned(), witnesses };
        all.extend(self.witness.map(|_| Checker::Splitbrain(witness)));
        all
    }

    fn lane(&self, lan: &LanName) -> Lane {
        Lane { lan: lan.clone(), ident: lan.as_str().to_owned(), pulse: self.pulse, timeout: self.timeout }
    }

    pub fn rfs(&self) -> RfsConfig {
        RfsConfig {
            dirs: (0..self.dirs).map(|n| format!("/a/dir{n}")).collect(),
            async_second: self.async_second,
            send_timeout: self.send_timeout,
            lock_timeout: self.send_timeout * 3,
            notes_synced: false,
            zero_s: 0,
        }
    }
}
