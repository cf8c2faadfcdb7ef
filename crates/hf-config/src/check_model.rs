//! What `<check>`, `<errd>` and `<failover>` say, as plain data with every default filled in. All times are in milliseconds.

mod disk;
mod http;

pub use disk::{DiskCheck, Room};
pub use http::{HttpBody, HttpCheck, HttpTls};

use std::net::IpAddr;

use hf_rules::RuleSet;
use serde::{Deserialize, Serialize};

/// When a checker runs: started after, and stopped before, the script of that name (reference 004, 13.11.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// From `prestart` to `poststop`, also in WAIT. The module doesn't leave WAIT before it was measured once.
    #[default]
    Pre,
    /// With `start_prim`: ALONE and PRIM.
    Prim,
    /// With `start_second`: SECOND.
    Second,
    /// With `start_both`: ALONE, PRIM and SECOND; UP.
    Both,
}

/// `action=` of a checker: what is done while its resource is down (newer versions of the reference). The rule is generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckAction {
    Restart,
    Stopstart,
    Stop,
    Wait,
    Swap,
    /// The resource is shown, and nothing is done; no default rule looks at it either.
    #[default]
    NoAction,
}

/// A machine to be asked, by its address or by a name that is looked up when it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    Address(IpAddr),
    Name(String),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Address(address) => write!(f, "{address}"),
            Target::Name(name) => f.write_str(name),
        }
    }
}

/// `<check>` (reference 004, 13.10): the checkers in the order of the file, those that `check="on"` of `<vip>` makes not
/// among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub tcp: Vec<TcpCheck>,
    pub ping: Vec<PingCheck>,
    pub intf: Vec<IntfCheck>,
    pub ip: Vec<IpCheck>,
    pub http: Vec<HttpCheck>,
    pub disk: Vec<DiskCheck>,
    pub custom: Vec<CustomCheck>,
    pub module: Vec<ModuleCheck>,
    pub splitbrain: Option<SplitbrainCheck>,
}

impl Check {
    /// Every checker, in the order of the tags.
    pub fn checkers(&self) -> Vec<Checker> {
        let mut all: Vec<Checker> = Vec::new();
        all.extend(self.tcp.iter().cloned().map(Checker::Tcp));
        all.extend(self.ping.iter().cloned().map(Checker::Ping));
        all.extend(self.intf.iter().cloned().map(Checker::Intf));
        all.extend(self.ip.iter().cloned().map(Checker::Ip));
        all.extend(self.http.iter().cloned().map(Checker::Http));
        all.extend(self.disk.iter().cloned().map(Checker::Disk));
        all.extend(self.custom.iter().cloned().map(Checker::Custom));
        all.extend(self.module.iter().cloned().map(Checker::Module));
        all.extend(self.splitbrain.iter().cloned().map(Checker::Splitbrain));
        all
    }

    /// The resource of every checker, with the time when it runs. The splitbrain checker's second resource,
    /// `splitbrain.uptodate`, is not among them.
    pub fn resources(&self) -> Vec<(String, When)> {
        self.checkers().iter().map(|checker| (checker.resource(), checker.when())).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Check::default()
    }
}

/// One checker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checker {
    Tcp(TcpCheck),
    Ping(PingCheck),
    Intf(IntfCheck),
    Ip(IpCheck),
    Http(HttpCheck),
    Disk(DiskCheck),
    Custom(CustomCheck),
    Module(ModuleCheck),
    Splitbrain(SplitbrainCheck),
}

impl Checker {
    /// The resource that it sets.
    pub fn resource(&self) -> String {
        match self {
            Checker::Tcp(check) => check.resource(),
            Checker::Ping(check) => check.resource(),
            Checker::Intf(check) => check.resource(),
            Checker::Ip(check) => check.resource(),
            Checker::Http(check) => check.resource(),
            Checker::Disk(check) => check.resource(),
            Checker::Custom(check) => check.resource(),
            Checker::Module(check) => check.resource(),
            Checker::Splitbrain(check) => check.resource(),
        }
    }

    /// When it runs.
    pub fn when(&self) -> When {
        match self {
            Checker::Tcp(check) => check.when,
            Checker::Http(check) => check.when,
            Checker::Disk(check) => check.when,
            Checker::Custom(check) => check.when,
            Checker::Ping(_) | Checker::Intf(_) | Checker::Module(_) | Checker::Splitbrain(_) => When::Pre,
            Checker::Ip(_) => When::Prim,
        }
    }

    /// Who sets the resource, as the log says it: "Resource tcp.id set to down by tcpcheck".
    pub fn setter(&self) -> &'static str {
        match self {
            Checker::Tcp(_) => "tcpcheck",
            Checker::Ping(_) => "pingcheck",
            Checker::Intf(_) => "intfcheck",
            Checker::Ip(_) => "ipcheck",
            Checker::Http(_) => "httpcheck",
            Checker::Disk(_) => "diskcheck",
            Checker::Custom(_) => "customcheck",
            Checker::Module(_) => "modulecheck",
            Checker::Splitbrain(_) => "splitbraincheck",
        }
    }
}

macro_rules! resource {
    ($($check:ident $class:literal),*) => { $(
        impl $check {
            /// The resource that it sets.
            pub fn resource(&self) -> String {
                format!(concat!($class, ".{}"), self.ident)
            }
        }
    )* };
}

resource!(TcpCheck "tcp", PingCheck "ping", IntfCheck "intf", IpCheck "ip", CustomCheck "custom");
resource!(ModuleCheck "module", SplitbrainCheck "splitbrain", HttpCheck "http", DiskCheck "disk");

/// `<tcp>` (reference 004, 13.11): a service that takes connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpCheck {
    /// `ident`: the resource is `tcp.<ident>`.
    pub ident: String,
    pub when: When,
    /// `action`; none: the rules decide, `tcp_failure` among them.
    pub action: Option<CheckAction>,
    /// `<to addr>`.
    pub target: Target,
    /// `<to port>`.
    pub port: u16,
    /// `<to interval>` between two trials, bare numbers in seconds, default 10 s (1 s with `reaction="fast"`).
    pub interval_ms: u64,
    /// `<to timeout>` of a connection, bare numbers in seconds, default 5 s (1 s with `reaction="fast"`).
    pub timeout_ms: u64,
}

/// `<ping>` (reference 004, 13.12), always `when="pre"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingCheck {
    /// `ident`: the resource is `ping.<ident>`.
    pub ident: String,
    /// `action`; none: the rules decide, `ping_failure` among them.
    pub action: Option<CheckAction>,
    /// `<to addr>`.
    pub target: Target,
    /// `<to interval>` between two requests, bare numbers in seconds, default 10 s (1 s with `reaction="fast"`).
    pub interval_ms: u64,
    /// `<to timeout>` of an answer, bare numbers in seconds, default 5 s (1 s with `reaction="fast"`).
    pub timeout_ms: u64,
}

/// `<intf>` (reference 004, 13.13), always `when="pre"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntfCheck {
    /// `ident`: the resource is `intf.<ident>`.
    pub ident: String,
    /// `<to local_addr>`: an address of the interface.
    pub local_addr: IpAddr,
    /// `intf`, as generated configurations have it; none: the interface that has the address.
    pub interface: Option<String>,
}

/// `<ip>` (reference 004, 13.14), always `when="prim"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpCheck {
    /// `ident`: the resource is `ip.<ident>`.
    pub ident: String,
    /// `<to addr>`: an address of this machine.
    pub target: Target,
    /// `<to interval>`, bare numbers in seconds, default 10 s (1 s with `reaction="fast"`).
    pub interval_ms: u64,
}

/// `<custom>` (reference 004, 13.15): a program of the administrator's own, which sets the resource itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomCheck {
    /// `ident`: the resource is `custom.<ident>`.
    pub ident: String,
    pub when: When,
    /// `action`; none: the rules decide.
    pub action: Option<CheckAction>,
    /// `exec`: a path, relative to SAFEUSERBIN if it doesn't begin with a slash.
    pub exec: String,
    /// `arg` in words: the program's third argument and those after it; the first two are the module and the resource
    /// (15.12).
    pub arguments: Vec<String>,
}

/// `<module>` (reference 004, 13.16) with one of its `<to>`, always `when="pre"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleCheck {
    /// `ident`, default `<name>_<addr>`: the resource is `module.<ident>`.
    pub ident: String,
    /// `name`: the module that is checked.
    pub name: String,
    /// `<to addr>`, default this machine (127.0.0.1).
    pub target: Target,
    /// `<to port>` of the web service there, default 9010.
    pub port: u16,
    /// `<to interval>`, bare numbers in seconds, default 10 s (1 s with `reaction="fast"`).
    pub interval_ms: u64,
    /// `<to timeout>` of an answer, bare numbers in seconds, default 5 s (1 s with `reaction="fast"`).
    pub timeout_ms: u64,
    /// `<to secure>`: HTTPS, default off.
    pub secure: bool,
}

/// `<splitbrain>` (reference 004, 13.17), always `when="pre"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitbrainCheck {
    /// `ident`: the resource is `splitbrain.<ident>`.
    pub ident: String,
    /// `arg`: the witnesses, at least one; one that answers is enough.
    pub witnesses: Vec<Target>,
}

/// `<errd>` (reference 004, 13.9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errd {
    /// `polltimer`, bare numbers in seconds, default 30 s (1 s with `reaction="fast"`).
    pub poll_ms: u64,
    /// In the order of the file; no name twice.
    pub procs: Vec<Proc>,
}

/// `<proc>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proc {
    /// `name`: the resource is `proc.<name>`. Without `name_regex` also the command's or the service's name.
    pub name: String,
    /// `service="yes"`: a systemd service.
    pub service: bool,
    /// `nameregex`: a POSIX extended regular expression for whole command names.
    pub name_regex: Option<String>,
    /// `argregex`: the same, to be found anywhere in the command line.
    pub arg_regex: Option<String>,
    /// `atleast`, default 1; none (`-1`): not looked at.
    pub at_least: Option<u32>,
    /// `atmax`, default none (`-1`): not looked at.
    pub at_most: Option<u32>,
    /// `action`, default stopstart.
    pub action: ProcAction,
    /// `class`: watched while this class is enabled.
    pub class: String,
    /// `start_after` in polls; default 0: watched at once.
    pub start_after_polls: u32,
    /// `restart_services`: only these services are started again, all if it is empty.
    pub restart_services: Vec<String>,
}

impl Proc {
    /// The resource that it sets.
    pub fn resource(&self) -> String {
        format!("proc.{}", self.name)
    }
}

/// Classes of processes that are enabled and disabled with the scripts of the same name.
pub const SCRIPT_CLASSES: [&str; 5] = ["pre", "prim", "both", "second", "sec"];

/// What is done when a watched process isn't there (or there are too many).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcAction {
    Restart,
    #[default]
    Stopstart,
    Stop,
    /// A line in the log.
    NoAction,
    /// A program: a path, relative to the module's `bin` if it doesn't begin with a slash.
    Handler(String),
}

/// `reaction` of `<service>`: how soon a failure leads to its action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reaction {
    /// The reference's times.
    #[default]
    Normal,
    /// Where the file says nothing else, checkers look each second and rules act after half a second.
    Fast,
}

/// `<failover>` (reference 004, 13.18), with what holds without it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// `extends`, default yes: the default rules hold beside the module's own.
    pub extends: bool,
    /// `period`, bare numbers in milliseconds, default 5 s (500 ms with `reaction="fast"`). Rules are looked at as soon as a resource
    /// changes; this is the unit of `handle_time` and no more.
    pub period_ms: u64,
    /// `handle_time`, bare numbers in milliseconds, default 15 s (500 ms with `reaction="fast"`).
    pub handle_time_ms: u64,
    /// The module's own rules, those of `action=`, and the default rules, in this order.
    pub rules: RuleSet,
}
