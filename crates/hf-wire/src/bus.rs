//! The bus on one node: commands to the daemon, and daemon, heart and rfs among each other.
//!
//! Who connects to whom: commands connect to the daemon's `admin.sock`; the daemon and rfs connect to the heart's
//! `heart.sock`, because the heart is what must survive the daemon's death.

use hf_types::{
    Assignment, Caller, Colour, Command, CommandLine, Epoch, ErrdOrder, GrantReason, Incarnation, LogLine, ModuleName,
    ModuleState, NodeName, Record, Resource, ResourceName, ResourceValue, RfsFault, Script, SyncPolicy, Ticket,
};
use serde::{Deserialize, Serialize};

pub use crate::bus_admin::{CleanWhat, ConfigStamp, ModuleEntry, ModuleInfo, Port};
pub use crate::bus_cluster::{ClusterKeySource, ClusterModule, ClusterOrder};
pub use crate::check::{Changed, CheckReport, RfsOrder};

/// Version of the bus; 1: the first.
pub const VERSION: u16 = 1;
/// The oldest version that this one still speaks.
pub const OLDEST: u16 = 1;
/// Longest frame accepted, in bytes.
pub const FRAME_MAX: usize = 16 << 20;

/// First frame of every connection, both ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version: u16,
    pub oldest: u16,
    pub role: Role,
    pub pid: u32,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Command,
    Daemon,
    Heart,
    Rfs,
}

/// A command line's request to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// `cluster config [file]`: `xml` is the file's text, none to keep it and make a new key.
    ClusterConfig {
        file: String,
        xml: Option<String>,
        #[serde(default)]
        key: ClusterKeySource,
        /// `lock`, `unlock`, or neither.
        #[serde(default)]
        lock: Option<bool>,
    },
    ClusterConfinfo,
    /// The other verbs of `cluster`.
    Cluster(ClusterOrder),
    /// `module install [-m AM] package`: an absolute path on this machine; a `.safe` file or a directory.
    ModuleInstall {
        module: Option<ModuleName>,
        package: String,
        /// `-r`: in the place of a module that is there.
        #[serde(default)]
        reinstall: bool,
        /// `-M`: the id that it is to have.
        #[serde(default)]
        id: Option<u32>,
    },
    /// `module uninstall`.
    /// A key of the module's own, or none, from its next configuration on.
    ModuleKey {
        module: ModuleName,
        /// `genkey`; else `delkey`.
        generate: bool,
    },
    ModuleUninstall {
        module: ModuleName,
    },
    /// `module list`, `module listid`.
    Modules,
    /// `module getports -m AM`.
    Ports {
        module: ModuleName,
    },
    /// `confinfo -m AM`, `module getinfo -m AM`.
    ModuleInfo {
        module: ModuleName,
    },
    Config {
        module: ModuleName,
        /// `--dry-run`: only what it would do.
        #[serde(default)]
        dry_run: bool,
    },
    Confcheck {
        module: ModuleName,
    },
    Deconfig {
        module: ModuleName,
    },
    /// `state -v`, `level`: what the module's script of this name says, as [`Reply::Said`]; nothing if it has none.
    ModuleScript {
        module: ModuleName,
        script: Script,
    },
    /// start, stop, prim, second, swap, forcestop, stopstart. Answered when the module took it (`wait` false), or when
    /// the state it leads to is reached or refused.
    Control {
        module: ModuleName,
        command: Command,
        by: Caller,
    },
    /// `set -r RES -v VALUE`.
    Set {
        module: ModuleName,
        assignment: Assignment,
    },
    /// `errd ...`.
    Errd {
        module: ModuleName,
        order: ErrdOrder,
        by: Caller,
    },
    /// `rfssync`: chooses how the next synchronisation is done, or asks (answered by [`Reply::Rfssync`]).
    Rfssync {
        module: ModuleName,
        set: Option<SyncPolicy>,
        by: Caller,
    },
    /// State of one module, or of all; on this node and, as far as known, on the others.
    State {
        module: Option<ModuleName>,
    },
    /// The last `last` lines at the levels of `levels` (letters of [`hf_types::Level`]).
    Log {
        module: ModuleName,
        last: u32,
        levels: Vec<hf_types::Level>,
    },
    /// The lines behind row `after` of the log, or (without it) the last `last` ones; for who follows or saves a log.
    LogFollow {
        module: ModuleName,
        after: Option<i64>,
        last: u32,
        levels: Vec<hf_types::Level>,
    },
    /// `printi`, `printe`: a line for the module's log, in the name of `by`.
    Print {
        module: ModuleName,
        level: hf_types::Level,
        by: String,
        text: String,
    },
    /// `rfsverify`, `rfsdiff`: passed on to the module's rfs, whose replies come one by one.
    Rfs {
        module: ModuleName,
        order: RfsOrder,
    },
    /// `cmdlog`: the last `last` lines of the commands log.
    Commands {
        last: u32,
    },
    /// The last `last` values that a module's resources, or one of them, took.
    ResourceHistory {
        module: ModuleName,
        name: Option<ResourceName>,
        last: u32,
    },
    Dump {
        module: ModuleName,
    },
    Clean {
        module: ModuleName,
        what: CleanWhat,
    },
    /// `shutdown`: every module is stopped in good order; answered when all are.
    Shutdown,
    /// `boot [-m AM] [on|off|status]`; `set` none: only how it is.
    Boot {
        module: Option<ModuleName>,
        set: Option<bool>,
    },
    /// Answered when the module is green, or refused when it comes to STOP.
    Waitstart {
        module: ModuleName,
    },
    /// Answered when the module reaches this state, stable (red STOP, or green).
    Waitstate {
        module: ModuleName,
        state: ModuleState,
    },
}

/// The daemon's answers; several may come before [`Reply::Done`] or [`Reply::Error`] ends the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// What a script of the module printed.
    Said {
        text: String,
    },
    /// A sentence for the person who waits.
    Progress {
        text: String,
    },
    /// The cluster has no key: nothing protects what the states rest on. The sentence says so.
    Insecure {
        text: String,
    },
    /// Diagnostics of a configuration: rendered for a terminal, and as data.
    Diagnostics {
        text: String,
        json: serde_json::Value,
    },
    State {
        modules: Vec<ModuleStatus>,
        /// The node that answers: it may have no such module itself.
        #[serde(default)]
        me: Option<NodeName>,
    },
    Log {
        lines: Vec<LogLine>,
    },
    /// `next`: the row behind which the log goes on.
    LogPage {
        lines: Vec<LogLine>,
        next: i64,
    },
    Commands {
        lines: Vec<CommandLine>,
    },
    ResourceHistory {
        values: Vec<Resource>,
    },
    Modules {
        modules: Vec<ModuleEntry>,
    },
    Ports {
        ports: Vec<Port>,
    },
    ModuleInfo(ModuleInfo),
    /// Where something was saved on the daemon's machine.
    Saved {
        path: String,
    },
    /// `rfsverify`; paths are whole ones.
    Check(CheckReport),
    /// `rfsdiff`.
    Changed(Changed),
    /// What [`Request::Rfssync`] asked for.
    Rfssync(SyncPolicy),
    Confinfo {
        nodes: Vec<NodeConfinfo>,
    },
    ClusterState {
        modules: Vec<ClusterModule>,
    },
    Boot {
        modules: Vec<BootStatus>,
    },
    Installed {
        module: ModuleName,
        id: u32,
    },
    Done,
    /// `hint` is the way out; `exit_code` is the command's.
    Error {
        message: String,
        hint: Option<String>,
        exit_code: i32,
    },
}

/// Whether a module starts with the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootStatus {
    pub module: ModuleName,
    /// `on`, `off`, or `auto`: if it ran before.
    pub boot: String,
    /// `userconfig.xml` if its attribute `boot` says so, else `command`.
    pub by: String,
}

/// A module as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleStatus {
    pub node: NodeName,
    pub module: ModuleName,
    pub id: u32,
    pub state: ModuleState,
    pub colour: Colour,
    /// With `-v`; only for the node that answers.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// The reason of the present state, a sentence.
    #[serde(default)]
    pub why: Option<String>,
    /// Progress of a reintegration that runs.
    #[serde(default)]
    pub sync: Option<SyncProgress>,
}

/// One line of `cluster confinfo` (reference 004, 9.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfinfo {
    pub node: NodeName,
    /// Hex digest of the applied cluster configuration; empty when the node is not heard.
    pub signature: String,
    /// When it was applied, microseconds since 1970 UTC.
    pub applied_us: i64,
    pub locked: bool,
    /// Whether the node is heard (the own node always is).
    pub heard: bool,
}

/// How far a reintegration is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncProgress {
    pub dir: String,
    pub files_done: u64,
    pub files_total: u64,
    /// Bytes compared so far and in all.
    pub bytes_done: u64,
    pub bytes_total: u64,
    /// Bytes that differed and travelled.
    pub bytes_sent: u64,
    pub elapsed_ms: u64,
    /// What was not read, because it is known to be equal.
    #[serde(default)]
    pub files_known: u64,
    #[serde(default)]
    pub bytes_known: u64,
    /// The step of the ladder that was taken, and why, in a sentence.
    #[serde(default)]
    pub step: String,
}

/// Daemon to heart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to_heart", rename_all = "snake_case")]
pub enum DaemonToHeart {
    Control {
        ticket: Ticket,
        command: Command,
        by: Caller,
    },
    /// `set`: answered by [`HeartToDaemon::Answer`].
    Set {
        ticket: Ticket,
        assignment: Assignment,
    },
    /// `errd ...`: answered by [`HeartToDaemon::Answer`].
    Errd {
        ticket: Ticket,
        order: ErrdOrder,
        by: Caller,
    },
    /// `rfssync`, which the daemon has written down: answered by [`HeartToDaemon::Answer`].
    Rfssync {
        ticket: Ticket,
        policy: SyncPolicy,
    },
    /// What the daemon of the other node says of this module there, or that it is not heard.
    Peer(PeerModule),
    /// What this node's daemon knows of another node itself; said at the beginning and when it changes.
    Node {
        name: NodeName,
        node: OtherNode,
    },
    /// cluster.xml, its key or its names' addresses changed on the disk, or, with a ticket, the module's configuration: the heart goes by
    /// them from now on, as far as it can while it runs. With a ticket it answers.
    Reread {
        ticket: Option<Ticket>,
    },
}

/// Another node, as this node's daemon hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherNode {
    /// Its daemon is heard.
    pub heard: bool,
    /// It goes by the same cluster configuration and key.
    pub same_configuration: bool,
    /// The module is configured there.
    pub has_module: bool,
}

/// What a node's daemon says of one module there, carried by the membership protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerModule {
    /// False: the node's daemon is not heard.
    pub heard: bool,
    pub state: ModuleState,
    /// Set after the death of a heart once nothing of the module can acknowledge there any more, with the grant that
    /// ended by it: the other node needn't wait for its time-out.
    pub fenced: Option<Fenced>,
}

/// "Heart dead, fenced."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// Incarnation of the heart that died.
    pub heart: Incarnation,
    /// No acknowledgement was or will be given there under this or an earlier grant, after now.
    pub epoch: Epoch,
}

/// Heart to daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from_heart", rename_all = "snake_case")]
pub enum HeartToDaemon {
    /// First, and at every change.
    Status {
        incarnation: Incarnation,
        epoch: Epoch,
        status: ModuleStatus,
    },
    /// New lines are in a ring.
    Bell,
    Answer {
        ticket: Ticket,
        result: Result<(), String>,
    },
    /// The heart is about to exit with everything stopped; the module is to be started again if `restart`.
    Stopped {
        restart: Option<Command>,
        /// Why it stopped though nobody asked for that, with the way back: a sentence.
        #[serde(default)]
        why: Option<String>,
        /// The machine is to be rebooted (`automatic_reboot`).
        #[serde(default)]
        reboot: bool,
    },
}

/// Heart to rfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to_rfs", rename_all = "snake_case")]
pub enum HeartToRfs {
    /// What this node is to be. Repeated after rfs or the heart's link came back; idempotent. `Secondary` to a primary in
    /// step, after [`RfsToHeart::Drained`], is the swap: the role is handed over the link, and both stay in step.
    Become(RfsRole),
    /// What was asked of the next synchronisation; said before `Become`, and repeated with it, until one has ended.
    Wish(hf_types::SyncWish),
    /// Permission to acknowledge without the other copy. Durable before the first acknowledgement.
    Grant { epoch: Epoch, generation: hf_types::GenerationId, why: GrantReason },
    /// Not now: keep on not acknowledging.
    Deny { epoch: Epoch },
    /// Stop acknowledging under this grant and any earlier one, for good.
    Fence { epoch: Epoch },
    /// Stop acknowledging, write durably "outdated since ...", then say so ([`RfsToHeart::Outdated`]). Without effect on
    /// what the record says of the data if this copy has gone on to another generation meanwhile.
    WriteOutdated { since: hf_types::GenerationId },
    /// Write back and drain everything, then say [`RfsToHeart::Drained`]; before swap and stop.
    Drain,
    /// Answer to [`RfsToHeart::StoodStill`]: every permission from before it is over unless it is in force already.
    Awake { id: u64 },
    /// The configuration on the disk changed: go by it, as far as that is possible without a start.
    Reread,
    /// Leave the mount in good order; `orderly` goes into the record.
    Stop { orderly: bool },
}

/// The role that the heart gives to rfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum RfsRole {
    /// Neither mounts nor listens.
    Idle,
    /// Mount read/write, acknowledge only under a grant or in step with the other copy.
    Primary { epoch: Epoch },
    /// Mount read-only, follow the primary.
    Secondary,
}

/// Rfs to heart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from_rfs", rename_all = "snake_case")]
pub enum RfsToHeart {
    /// First, and at every change: the records of all replicated directories (as they are durably), and what rfs is.
    Status {
        incarnation: Incarnation,
        role: RfsRole,
        records: Vec<Record>,
        link_up: bool,
        /// Primary: acknowledgements wait for the other copy. Secondary: this copy has all that was acknowledged, and
        /// may take over; it stays true when the link breaks, until [`HeartToRfs::WriteOutdated`].
        in_step: bool,
        /// Primary: acknowledging alone under this grant (also while the other copy is being synchronised).
        #[serde(default)]
        alone: Option<Epoch>,
        /// This kernel's boot id, for [`hf_types::UpToDate::WhileBooted`].
        #[serde(default)]
        boot_id: String,
    },
    /// The other copy doesn't answer: may I acknowledge alone? Acknowledging has stopped.
    AskAlone {
        epoch: Epoch,
        why: RfsFault,
    },
    /// The record of this copy says durably that it is outdated since this generation.
    Outdated {
        since: hf_types::GenerationId,
    },
    /// This rfs stood still: permissions that wait on the bus rest on what was true before. None is used until `Awake`.
    StoodStill {
        id: u64,
    },
    /// The other copy said over the link that its record says so durably: one more way for (a) of P4.
    PeerOutdated {
        since: hf_types::GenerationId,
    },
    Drained,
    Stopped {
        error: Option<String>,
    },
    /// Secondary: reintegration began, goes on, ended (`in_step` follows in a Status), failed.
    Sync(SyncEvent),
    Fault(RfsFault),
    /// Resources of class `rfs` that this process measures (reference 004, 13.6.4.7), first and whenever one changes: those
    /// that are named take their value, the others keep theirs. They are `unknown` once rfs is gone.
    Resources {
        values: Vec<(ResourceName, ResourceValue)>,
    },
}

/// Course of a reintegration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "sync", rename_all = "snake_case")]
pub enum SyncEvent {
    Began { dir: String },
    Progress(SyncProgress),
    Ended(SyncProgress),
    Failed { why: String },
}
