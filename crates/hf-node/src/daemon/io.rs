use hf_types::{
    Assignment, Caller, Command, ErrdOrder, Event, Incarnation, LanName, Mode, ModuleName, ModuleState, NodeName,
    RunId, Script, ScriptOutcome, SyncPolicy, Ticket,
};
use hf_wire::bus::{DaemonToHeart, HeartToDaemon, ModuleStatus, NodeConfinfo};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the daemon decides by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonConfig {
    pub me: NodeName,
    pub nodes: Vec<NodeName>,
    pub lans: Vec<LanName>,
    /// Period of the membership's datagrams, and how many may be missed (reference 004, 12.1.3).
    pub pulse: Duration,
    pub mlost_count: u32,
    pub slost_count: u32,
    /// Signature of the applied cluster configuration and when it was applied.
    pub signature: String,
    pub applied_us: i64,
    /// `cluster config ... lock`.
    pub locked: bool,
    pub modules: Vec<InstalledModule>,
}

/// A configured module on this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstalledModule {
    pub module: ModuleName,
    pub id: u32,
    pub mode: Mode,
    pub nice_stop_timeout: Duration,
    pub force_stop_timeout: Duration,
    pub replicates: bool,
    /// Digest of its applied configuration, and when it was applied (seconds since 1970 UTC).
    pub signature: String,
    pub applied_s: i64,
    /// How long after the boot it starts, if it does; what starts last stops first.
    pub boot_delay: Duration,
    /// `on`, `off` or `auto`: the resource `usersetting.boot`.
    pub boot: String,
    /// `checker on`.
    pub checking: bool,
}

/// How a heart ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeartExit {
    /// After `Stopped`.
    Orderly,
    /// Anything else.
    Died,
}

/// What the daemon is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DaemonInput {
    /// `adopted`: hearts found alive after a restart of the daemon.
    Started {
        incarnation: Incarnation,
        adopted: Vec<ModuleName>,
    },
    /// Cluster or modules changed on disk.
    Reconfigured(DaemonConfig),
    /// A membership frame whose seal was good.
    Membership {
        from: NodeName,
        lan: LanName,
        body: Vec<u8>,
    },
    Heart {
        module: ModuleName,
        message: HeartToDaemon,
    },
    HeartGone {
        module: ModuleName,
        exit: HeartExit,
    },
    /// A command for a module.
    Control {
        ticket: Ticket,
        module: ModuleName,
        command: Command,
        by: Caller,
    },
    /// `set` of a module's resource.
    Set {
        ticket: Ticket,
        module: ModuleName,
        assignment: Assignment,
    },
    /// `errd ...`.
    Errd {
        ticket: Ticket,
        module: ModuleName,
        order: ErrdOrder,
        by: Caller,
    },
    /// `rfssync`, written down.
    Rfssync {
        ticket: Ticket,
        module: ModuleName,
        policy: SyncPolicy,
    },
    /// `config` on a module that runs: its heart is to go by what is on the disk now.
    Reread {
        ticket: Ticket,
        module: ModuleName,
    },
    /// A command's connection that waits for a stable state.
    Waitstate {
        ticket: Ticket,
        module: ModuleName,
        state: ModuleState,
    },
    /// A command's connection that waits until a start has ended, well or not.
    Waitstart {
        ticket: Ticket,
        module: ModuleName,
    },
    /// Answers to effects of the fencing of a module whose heart died.
    VipsCleared {
        module: ModuleName,
    },
    RfsFenced {
        module: ModuleName,
    },
    ScriptEnded {
        module: ModuleName,
        run: RunId,
        script: Script,
        outcome: ScriptOutcome,
    },
    Killed {
        module: ModuleName,
    },
    /// Answers [`DaemonEffect::Reboot`] if the machine goes on.
    RebootFailed {
        module: ModuleName,
        why: String,
    },
    Timer,
    Stalled {
        for_ms: u64,
    },
    /// `shutdown`: stop every module in good order; answered when all are stopped.
    ShutdownModules {
        ticket: Ticket,
    },
    /// SIGTERM: stop every module in good order, then leave.
    Shutdown,
}

/// What the daemon wants done, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DaemonEffect {
    SendMembership {
        to: NodeName,
        lan: LanName,
        body: Vec<u8>,
    },
    SpawnHeart {
        module: ModuleName,
        first: Command,
        by: Caller,
    },
    ToHeart {
        module: ModuleName,
        message: DaemonToHeart,
    },
    Answer {
        ticket: Ticket,
        result: Result<(), String>,
    },
    /// After a heart's death, in this order (docs/internals/processes.md): rfs has stopped acknowledging by itself and
    /// says so (`RfsFenced`, also when it is dead); the addresses go; then the peer is told; scripts; force; abort; kill.
    FenceRfs {
        module: ModuleName,
    },
    ClearVips {
        module: ModuleName,
    },
    RunScript {
        module: ModuleName,
        run: RunId,
        script: Script,
        args: Vec<String>,
        timeout: Duration,
    },
    /// Abort the FUSE connections of the module's mounts, so that nothing waits in them; not answered.
    AbortMounts {
        module: ModuleName,
    },
    /// Abort the FUSE connection, kill the module's cgroup, end rfs and keeper; answered by `Killed`.
    KillModule {
        module: ModuleName,
    },
    /// Reboot the machine, as its administrator would: everything is stopped in good order first. What `module` was stopped for
    /// (`automatic_reboot`); it counts as started for the next boot.
    Reboot {
        module: ModuleName,
    },
    Log {
        module: Option<ModuleName>,
        event: Event,
    },
    /// For `state`: what is known of every module on every node changed.
    Publish {
        modules: Vec<ModuleStatus>,
        nodes: Vec<NodeConfinfo>,
    },
    Exit,
}
