use super::{KeptLoops, LaneSight, LoopLimits};
use hf_config::Checker;
use hf_rules::RuleSet;
use hf_types::{
    Assignment, Caller, Command, ErrdOrder, Event, Hang, History, Incarnation, LanName, Mode, ModuleName, NodeName,
    ProcCount, Resource, ResourceValue, RunId, Script, ScriptOutcome, SyncPolicy, Ticket,
};
use hf_wire::bus::{DaemonToHeart, HeartToDaemon, HeartToRfs, RfsToHeart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// What the heart needs of cluster.xml and userconfig.xml.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeartConfig {
    pub module: ModuleName,
    pub mode: Mode,
    pub me: NodeName,
    /// The other node of a mirror; none: nobody is heard, and there are no lanes.
    pub peer: Option<NodeName>,
    /// Both nodes in the order of cluster.xml, for tie-breaks that both sides see alike.
    pub me_first: bool,
    pub lanes: Vec<Lane>,
    /// `<rfs>` is there.
    pub replicates: bool,
    /// What is replicated is encrypted on the network.
    pub encrypted: bool,
    /// `failover="on"`.
    pub failover: bool,
    /// The node of `defaultprim`, if it names one; none for `alone` and `lastprim`.
    pub defaultprim: Option<NodeName>,
    /// `defaultprim="lastprim"`.
    pub lastprim: bool,
    pub vips: Vec<Vip>,
    /// The scripts that the module has; none if there is no `<user>`. A script that isn't there is passed over without a word.
    pub scripts: BTreeSet<Script>,
    pub nice_stop_timeout: Duration,
    pub force_stop_timeout: Duration,
    /// `maxloop` and `loop_interval`.
    pub loops: LoopLimits,
    /// `syncdelta` in minutes, 0 when off.
    pub syncdelta_min: u64,
    /// `syncat`: a secondary synchronises at [`HeartInput::Scheduled`] only.
    pub scheduled: bool,
    /// The failover rules that are looked at.
    pub rules: RuleSet,
    /// Resources that the other node's rules may ask for, in an order that both nodes make alike.
    pub told: Vec<String>,
    /// The checkers. Each with `when="pre"` has looked once before the module leaves WAIT.
    pub checkers: Vec<Checker>,
    /// `checker on`: they run.
    pub checking: bool,
    /// `<errd>`.
    pub errd: Option<hf_config::Errd>,
    /// What `rfssync` chose before the heart began.
    pub sync_policy: SyncPolicy,
    /// `errd off` was said, and no `errd on` since.
    pub errd_off: bool,
}

/// One heartbeat (reference 004, 13.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    pub lan: LanName,
    /// Label of the resource `heartbeat.<ident>`.
    pub ident: String,
    pub pulse: Duration,
    pub timeout: Duration,
}

/// One virtual address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip {
    pub address: IpAddr,
    /// Time between two gratuitous ARPs, and for how long they are sent.
    pub arp_interval: Duration,
    pub arp_elapse: Duration,
    /// `arpreroute="on"`: the repetition is wanted (the announcement at once always is).
    pub arp_reroute: bool,
    /// `check="on"`: the resource `ip.<address>` says whether the address is there and ours alone.
    pub check: bool,
    /// `connections="on"`: counted into the resource `connections.<address>`.
    pub connections: bool,
}

/// What the heart is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum HeartInput {
    /// First of all. `first` is the command that the daemon spawned the heart for.
    Started {
        incarnation: Incarnation,
        first: Command,
        by: Caller,
        /// What [`HeartEffect::KeepLoops`] left.
        loops: Option<KeptLoops>,
    },
    /// Answers [`HeartEffect::KeepLoops`]: it is on the disk, or why not.
    LoopsKept {
        kept: Option<KeptLoops>,
        error: Option<String>,
    },
    /// A datagram whose seal was good, of a peer that answered our challenge; `body` is a heartbeat frame of hf-wire.
    Heartbeat {
        lane: usize,
        body: Vec<u8>,
    },
    Daemon(DaemonToHeart),
    /// A command that reached the heart's own socket.
    Control {
        ticket: Ticket,
        command: Command,
        by: Caller,
    },
    /// `set` that reached the heart's own socket.
    Set {
        ticket: Ticket,
        assignment: Assignment,
    },
    /// An `errd` command that reached the heart's own socket.
    Errd {
        ticket: Ticket,
        order: ErrdOrder,
        by: Caller,
    },
    /// Answers `LookAtProcesses`; again, with the same number, each time one of them has ended.
    Processes {
        look: u64,
        counts: Vec<ProcCount>,
    },
    /// Answers `RunHandler`.
    HandlerEnded {
        run: RunId,
        outcome: ScriptOutcome,
    },
    Rfs(RfsToHeart),
    /// The process is gone, in good order or not: said also after `Stopped`, because another one may begin only then (the heart
    /// waits 2 s for it). Never about an earlier process than the one that was spawned last.
    RfsGone,
    ScriptEnded {
        run: RunId,
        script: Script,
        outcome: ScriptOutcome,
    },
    /// A script takes long, or is about to be ended because it took too long.
    ScriptHangs {
        run: RunId,
        script: Script,
        hang: Hang,
    },
    /// A script runs, but nothing that it prints is kept.
    ScriptNotLogged {
        script: Script,
        why: String,
    },
    VipSet {
        address: IpAddr,
        error: Option<String>,
    },
    VipCleared {
        address: IpAddr,
        error: Option<String>,
    },
    /// It could not be renewed, because it isn't there any more: perhaps its lifetime ended.
    VipLost {
        address: IpAddr,
        why: String,
    },
    /// Somebody took the address away while its lifetime went on.
    VipRemoved {
        address: IpAddr,
    },
    /// Another machine says to have the address too; `by`: its Ethernet address and where it was heard.
    VipClaimed {
        address: IpAddr,
        by: String,
    },
    /// The link of the address' interface is back.
    VipLinkBack {
        address: IpAddr,
    },
    /// Answers `CountConnections`.
    VipConnections {
        address: IpAddr,
        count: usize,
    },
    /// A checker that was started as `run` has looked. `why` isn't empty where it isn't up.
    Checked {
        resource: String,
        run: u64,
        value: ResourceValue,
        why: String,
        /// What it saw, where another thing is another text: the run of another module's application. Empty if there is none.
        seen: String,
    },
    /// The program of a custom checker ended by itself, or could not be started.
    CheckerEnded {
        resource: String,
        run: u64,
        outcome: ScriptOutcome,
    },
    /// The configuration changed while the module runs; [`HeartConfig::needs_a_stop`] found nothing.
    Configured(Box<HeartConfig>),
    /// Answers `LookAtLanes`.
    LanesSeen(Vec<LaneSight>),
    /// The schedule of `syncat` has come.
    Scheduled,
    /// Fresh randomness, asked for by [`HeartEffect::Random`].
    Random {
        value: u64,
    },
    /// The deadline of `next_deadline` came.
    Timer,
    /// The loop stood still for this long (frozen, starved): said before any other input that waited meanwhile.
    Stalled {
        for_ms: u64,
    },
}

/// What the heart wants done, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum HeartEffect {
    /// Seal and send on the lane (or on every lane).
    SendHeartbeat {
        lane: Option<usize>,
        body: Vec<u8>,
    },
    ToDaemon(HeartToDaemon),
    /// Answer to a command of the heart's own socket.
    Answer {
        ticket: Ticket,
        result: Result<(), String>,
    },
    ToRfs(HeartToRfs),
    /// Start keeper and rfs (or only the one that is missing).
    SpawnRfs,
    /// End rfs at once; with `abort` the FUSE connection too, so that nothing that waits in it hangs.
    KillRfs {
        abort: bool,
    },
    /// Arguments after the script's name: `[force] current next action` (reference 004, 14.3).
    RunScript {
        run: RunId,
        script: Script,
        args: Vec<String>,
        timeout: Option<Duration>,
    },
    /// Count the processes of these `<proc>`s, and tell at once when one of those that were found ends; answered by `Processes`. What an
    /// earlier look found is let go of.
    LookAtProcesses {
        look: u64,
        names: Vec<String>,
    },
    /// The program of a `<proc>`; answered by `HandlerEnded`, ended by `KillScript`.
    RunHandler {
        run: RunId,
        handler: String,
    },
    /// `errd list`: each `<proc>`, and how it is. Written down with the numbers of the processes, then answered.
    ListProcesses {
        ticket: Ticket,
        lines: Vec<(String, String)>,
    },
    /// Keep over a stop that nothing is watched, or that it is, and answer.
    KeepErrdOff {
        ticket: Ticket,
        off: bool,
    },
    /// End a script that runs, with all that it started.
    KillScript {
        run: RunId,
    },
    /// The address may be wanted here in a moment: ask the LAN whether somebody has it, without disturbing who does. The answer
    /// is the shell's, which doesn't ask again if `SetVip` follows soon.
    AskVip {
        address: IpAddr,
    },
    /// Ask the LAN whether somebody has the address; if not, put it on its interface with a kernel lifetime and announce
    /// it at once. Answered by `VipSet`, unless `ClearVip` comes before that.
    SetVip {
        address: IpAddr,
        lifetime: Duration,
    },
    RenewVip {
        address: IpAddr,
        lifetime: Duration,
    },
    AnnounceVip {
        address: IpAddr,
    },
    /// Answered by `VipCleared`.
    ClearVip {
        address: IpAddr,
    },
    /// Answered by `VipConnections`.
    CountConnections {
        address: IpAddr,
    },
    /// Look at what the checker is for, until `StopChecker`; every look is answered by `Checked`, except that a custom checker sets its
    /// resource itself.
    StartChecker {
        run: u64,
        checker: Box<Checker>,
    },
    /// What was started for this resource ends, with all that it started.
    StopChecker {
        resource: String,
    },
    /// A synchronisation has succeeded: what `rfssync` chose is over.
    ForgetSyncPolicy,
    /// Keep what `checker on|off` said over a stop: it came to the heart's own socket, past the daemon.
    KeepChecking {
        on: bool,
    },
    Log(Event),
    /// `history`: whether it goes into the history of resources.
    SetResource {
        resource: Resource,
        history: History,
    },
    /// Write the loop counter down, durably; none: take it from the disk. Answered by `LoopsKept`.
    KeepLoops(Option<KeptLoops>),
    /// Say what came and went on each lane; answered by `LanesSeen`.
    LookAtLanes,
    /// Answered by `HeartInput::Random`.
    Random,
    /// End all processes of the module that its scripts left (its cgroup), at a forced stop.
    KillApplication,
    /// Everything is stopped: leave.
    Exit,
}
