//! A module's configuration as plain data, every default filled in. All times are in milliseconds.

use std::net::IpAddr;

use hf_types::Mode;
use serde::{Deserialize, Serialize};

use crate::check_model::{Check, CheckAction, Errd, Failover, Reaction};
use crate::farm_model::{Farm, LoadGroup, VirtualMac};
use crate::schedule::Schedule;

/// What `userconfig.xml` says about one module (reference 004, chapter 13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleConfig {
    /// The module's name.
    pub name: String,
    /// `<service>`.
    pub service: Service,
    /// `<heart>`; without heartbeats in a light or farm module.
    pub heart: Heart,
    /// `<farm>`, in farm modules.
    #[serde(default)]
    pub farm: Option<Farm>,
    /// `<rfs>`; none: nothing is replicated.
    pub rfs: Option<Rfs>,
    /// `<vip>`; none: no virtual address.
    pub vip: Option<Vip>,
    /// `<user>`; none: no scripts are called (reference 004, chapter 14).
    pub user: Option<User>,
    /// `<vhost>`: the virtual host names; empty without it.
    pub virtual_host_names: Vec<VirtualHostName>,
    /// `<ocf>`, in the order of the file.
    #[serde(default)]
    pub ocf: Vec<OcfAgent>,
    /// `<check>`, with a checker for each agent of `<ocf>`.
    #[serde(default)]
    pub check: Check,
    /// `<errd>`; none: no process is watched.
    #[serde(default)]
    pub errd: Option<Errd>,
    /// `<failover>`, with the rules that hold without it.
    #[serde(default)]
    pub failover: Failover,
}

impl ModuleConfig {
    /// The network that carries the replication: `<flow>`'s if that old tag is there, else that of the heartbeat with
    /// `ident="flow"`, else the first heartbeat's (reference 004, 13.6.3).
    pub fn effective_flow_lan(&self) -> &str {
        let flow = self.rfs.as_ref().and_then(|rfs| rfs.flow.as_deref());
        flow.unwrap_or_else(|| self.heart.flow_lan())
    }

    /// Every virtual address that one node has at a time, with its interface: those of a farm are on all of its nodes.
    pub fn moving_addresses(&self) -> impl Iterator<Item = (&VipInterface, &VirtualAddr)> {
        self.virtual_addresses().filter(|(interface, _)| interface.virtual_mac.is_none())
    }

    /// Every virtual address of the module with its interface.
    pub fn virtual_addresses(&self) -> impl Iterator<Item = (&VipInterface, &VirtualAddr)> {
        let interfaces = self.vip.iter().flat_map(|vip| &vip.interfaces);
        interfaces.flat_map(|interface| interface.addresses.iter().map(move |address| (interface, address)))
    }
}

/// Whether the module starts with the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// Always.
    On,
    /// Never.
    Off,
    /// If it was started before.
    Auto,
    /// As `boot -m AM on|off` says.
    #[default]
    Ignore,
}

/// Which node is the primary when both run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultPrim {
    /// The one that was there alone stays.
    Alone,
    /// The restarted one, if it was primary before its last stop.
    LastPrim,
    /// This node.
    Node(String),
}

/// `<service>` (reference 004, 13.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// `mode`.
    pub mode: Mode,
    /// `boot`, default ignore.
    pub boot: Boot,
    /// `boot_delay`, bare numbers in seconds, default 0.
    pub boot_delay_ms: u64,
    /// `failover`, default on.
    pub failover: bool,
    /// `defaultprim`, default alone.
    pub default_prim: DefaultPrim,
    /// `maxloop`, default 3.
    pub max_loop: u32,
    /// `loop_interval`, bare numbers in hours, default 24 h; 0: the counter is out of use.
    pub loop_interval_ms: u64,
    /// `automatic_reboot`, default off.
    pub automatic_reboot: bool,
    /// `reaction`, default normal.
    #[serde(default)]
    pub reaction: Reaction,
}

/// `<heart>` (reference 004, 13.3). At least one heartbeat; light and farm modules have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heart {
    /// `port`; none: 8888 + (id - 1).
    pub port: Option<u16>,
    /// `permanent_arp`, default on.
    pub permanent_arp: bool,
    /// The heartbeats in the order of the file.
    pub heartbeats: Vec<Heartbeat>,
}

impl Heart {
    /// The network of the heartbeat with `ident="flow"`, else of the first.
    pub fn flow_lan(&self) -> &str {
        let flow = self.heartbeats.iter().find(|heartbeat| heartbeat.ident == "flow");
        flow.or(self.heartbeats.first()).map_or("", |heartbeat| &heartbeat.lan)
    }
}

/// `<heartbeat>`, with what it takes over from `<heart>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// `name`: the network, as named in cluster.xml.
    pub lan: String,
    /// `ident`, default the network's name. The resource is `heartbeat.<ident>`.
    pub ident: String,
    /// `port`; none: 8888 + (id - 1).
    pub port: Option<u16>,
    /// `pulse`, bare numbers in milliseconds, default 700.
    pub pulse_ms: u64,
    /// `timeout`, bare numbers in milliseconds, default 30 s.
    pub timeout_ms: u64,
}

/// When the secondary answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AsyncMode {
    /// When it has the data.
    #[default]
    Second,
    /// When the data is on its disk.
    None,
}

/// `<rfs>` (reference 004, 13.6). At least one replicated directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rfs {
    /// `async`, default second.
    pub async_mode: AsyncMode,
    /// `mountoversuffix`, default `_For_SafeKit_Replication`.
    pub suffix: String,
    /// `mountover`, default on; off: the directory keeps its name, and there is no backing directory beside it.
    pub mount_over: bool,
    /// `acl`, default off.
    pub acl: bool,
    /// `nbremconn`, default 1: connections between the nodes.
    pub connections: u32,
    /// `nbrei`, default 3.
    pub reintegration_threads: u32,
    /// `sendtimeout`, bare numbers in seconds, default 30 s.
    pub send_timeout_ms: u64,
    /// `locktimeout`, bare numbers in seconds, default 100 s.
    pub lock_timeout_ms: u64,
    /// `reitimeout`, bare numbers in seconds, default 150 s.
    pub reintegration_timeout_ms: u64,
    /// `reiallowedbw` in KB/s (1000 bytes); none: no limit.
    pub reintegration_bandwidth_kb_s: Option<u64>,
    /// `syncdelta`, bare numbers in minutes; none where it is absent or at most a minute, which means the same.
    pub sync_delta_ms: Option<u64>,
    /// `packetsize` in bytes; none: no limit of its own.
    pub packet_bytes: Option<u32>,
    /// `reipacketsize` in bytes, default 8388608 or `packetsize` where that is smaller.
    pub reintegration_packet_bytes: u32,
    /// `ruzone_blocksize` in bytes, a multiple of `reipacketsize`, default the same as that.
    pub zone_bytes: u32,
    /// `namespacepolicy`: 0, 1, 3 or 4, default 4.
    pub namespace_policy: u8,
    /// `reicommit` in blocks of `reipacketsize`, default 0: no commit before the end of a file.
    pub reintegration_commit_blocks: u32,
    /// `encryption`, default on: what is replicated is encrypted on the network, where the cluster has a key.
    pub encryption: bool,
    /// `reidetail`, default off.
    pub reintegration_detail: bool,
    /// `checktime`, bare numbers in milliseconds, default 220 s.
    pub check_timeout_ms: u64,
    /// `checkintv`, bare numbers in seconds, default 120 s.
    pub check_interval_ms: u64,
    /// `scripts`, default off.
    pub scripts: bool,
    /// `syncat`: when the secondary synchronises; none: replication in real time.
    pub sync_at: Option<Schedule>,
    /// `<flow name>`: the old way to choose the replication's network. See [`ModuleConfig::effective_flow_lan`].
    pub flow: Option<String>,
    /// The replicated directories in the order of the file; none lies inside another.
    pub replicated: Vec<Replicated>,
}

impl Rfs {
    /// Where the data of a replicated directory is while the module is stopped.
    pub fn data_dir(&self, replicated: &Replicated) -> String {
        if self.mount_over { self.backing_dir(replicated) } else { replicated.dir.clone() }
    }

    /// The directory that holds the data of a replicated directory: `/a/dir` + suffix.
    pub fn backing_dir(&self, replicated: &Replicated) -> String {
        format!("{}{}", replicated.dir, self.suffix)
    }
}

/// `<replicated>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicated {
    /// `dir`: absolute, without `.`, `..`, doubled or trailing slashes.
    pub dir: String,
    /// `mode="read_only"`.
    pub read_only: bool,
    /// `<tocheck path>`: relative paths that have to be there before replication starts.
    pub to_check: Vec<String>,
    /// `<notreplicated>`: what is left out.
    pub not_replicated: Vec<NotReplicated>,
}

/// `<notreplicated>` (reference 004, 13.6.3). [`crate::Exclusions`] answers for a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotReplicated {
    /// `path`: this file or directory with all that is in it.
    Path(String),
    /// `regexpath`: every file or directory whose whole relative path matches, with all that is in it.
    Pattern(String),
    /// `regexpath="!..."`: everything else is left out.
    AllBut(String),
}

/// `<vip>` (reference 004, 13.5.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip {
    /// `tcpreset`, default on.
    pub tcp_reset: bool,
    /// The interfaces in the order of the file.
    pub interfaces: Vec<VipInterface>,
    /// `<loadbalancing_list>`: the groups in the order of the file; only farm modules have them.
    #[serde(default)]
    pub groups: Vec<LoadGroup>,
}

/// `<interface>` with its `<real_interface>` or, in a farm, its `<virtual_interface>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipInterface {
    /// `name`; none: the interface whose network has the virtual address.
    pub name: Option<String>,
    /// `check`, default on.
    pub check: bool,
    /// `arpreroute`, default off: gratuitous ARP is repeated. (One is sent at once in any case.)
    pub arp_reroute: bool,
    /// `arpinterval`, bare numbers in seconds, default 60 s.
    pub arp_interval_ms: u64,
    /// `arpelapse`, bare numbers in seconds, default 1200 s.
    pub arp_elapse_ms: u64,
    /// `<virtual_interface>`; none: `<real_interface>`.
    #[serde(default)]
    pub virtual_mac: Option<VirtualMac>,
    /// The virtual addresses, at least one.
    pub addresses: Vec<VirtualAddr>,
}

/// `<virtual_addr>`: `where="one_side_alias"` on a real interface, `where="alias"` on a virtual one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualAddr {
    /// `addr`, IPv4 or IPv6.
    pub addr: IpAddr,
    /// The name that `addr` is written as; it was looked up when the configuration was applied, and again on demand.
    pub name: Option<String>,
    /// `netmask` as a prefix length, IPv4 only; none: 32, for IPv6 128.
    pub prefix: Option<u8>,
    /// `check`, default on.
    pub check: bool,
    /// `connections`, default off: the resource `connections.<addr>` has the number of TCP connections.
    pub connections: bool,
}

/// Where the scripts' output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Logging {
    /// SAFEUSERVAR/userlog.ulog.
    #[default]
    Userlog,
    /// Nowhere.
    None,
}

/// `<user>` (reference 004, 13.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// `nicestoptimeout`, bare numbers in seconds, default 300 s.
    pub nice_stop_timeout_ms: u64,
    /// `forcestoptimeout`, bare numbers in seconds, default 300 s.
    pub force_stop_timeout_ms: u64,
    /// `logging`, default userlog.
    pub logging: Logging,
    /// `userlogsize` in KB (1024 bytes), default 2048.
    pub userlog_kb: u64,
    /// `<var>`: environment of the scripts, in the order of the file.
    pub variables: Vec<Variable>,
}

/// When a virtual host name holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostNameWhen {
    /// PRIM and ALONE.
    #[default]
    Prim,
    /// SECOND.
    Second,
    /// All three.
    Both,
}

/// `<virtualhostname>` (reference 004, 13.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualHostName {
    /// `name`: what the application sees.
    pub name: String,
    /// `envfile`: where scripts find what to put into their environment; relative to SAFEUSERBIN.
    pub envfile: String,
    /// `when`, default prim.
    pub when: HostNameWhen,
}

/// `<var>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// `name`.
    pub name: String,
    /// `value`.
    pub value: String,
}

/// `<ocf>`: an OCF resource agent that starts, stops and checks a part of the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OcfAgent {
    /// `ident`, default the agent's type: the resource is `custom.ocf_<ident>`.
    pub ident: String,
    /// `agent`: the directory below /usr/lib/ocf/resource.d, and the file in it.
    pub provider: String,
    pub kind: String,
    /// `when`, default prim, in a light module both.
    pub class: OcfClass,
    /// Bare numbers in seconds; 0: what the agent says of itself.
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub start_timeout_ms: u64,
    pub stop_timeout_ms: u64,
    /// `action` when its monitor fails, default restart.
    pub action: Option<CheckAction>,
    /// `<param>`, in the order of the file; no name twice.
    pub parameters: Vec<(String, String)>,
}

impl OcfAgent {
    /// `heartbeat:nginx`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.provider, self.kind)
    }

    /// The ident of its checker.
    pub fn checker(&self) -> String {
        format!("ocf_{}", self.ident)
    }
}

/// With which scripts an agent is started and stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OcfClass {
    /// `start_prim` and `stop_prim`.
    #[default]
    Prim,
    /// `start_second` and `stop_second`.
    Second,
    /// `start_both` and `stop_both`.
    Both,
}

impl OcfClass {
    pub const ALL: [OcfClass; 3] = [OcfClass::Prim, OcfClass::Second, OcfClass::Both];

    /// The word in userconfig.xml, and the end of the scripts' names.
    pub fn as_str(self) -> &'static str {
        match self {
            OcfClass::Prim => "prim",
            OcfClass::Second => "second",
            OcfClass::Both => "both",
        }
    }
}
