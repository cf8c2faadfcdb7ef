use crate::clock::{SEC, Time};
use crate::engine::{Data, Engine, Manifest, Mount};
use crate::event::{OnNode, Pid, RunningScript};
use crate::transitions::Logged;
use hf_node::daemon::DaemonActor;
use hf_node::heart::HeartActor;
use hf_node::rfs::RfsActor;
use hf_types::{Colour, Instant, ModuleState, Record, Standing};
use hf_wire::bus::HeartToDaemon;
use std::collections::{BTreeMap, BTreeSet};

/// Datagrams that a socket holds for a process that does not read.
const SOCKET_BUFFER: usize = 512;

/// A process that runs one of the actors.
#[derive(Clone, Debug)]
pub struct Process<A> {
    pub pid: Pid,
    pub actor: A,
    /// The deadline that an event is on its way for.
    pub armed: Option<Instant>,
    /// Said that it stopped, so that its end is no death.
    pub orderly: bool,
    /// After a freeze: not scheduled before this.
    pub resumes_at: Time,
    /// Deadlines handled in a row without the clock moving.
    pub spins: u32,
    /// When it was started.
    pub since: Time,
    /// Inputs in the second that runs.
    pub busy: (Time, u32),
}

impl<A> Process<A> {
    pub fn new(pid: Pid, since: Time, actor: A) -> Process<A> {
        Process { pid, actor, armed: None, orderly: false, resumes_at: 0, spins: 0, since, busy: (0, 0) }
    }
}

/// What survives a power cut.
#[derive(Clone, Debug)]
pub struct Disk {
    pub records: Vec<Record>,
    pub data: Data,
    pub manifest: Option<Manifest>,
    /// Writes take long, or fail.
    pub slow: bool,
    pub bad: bool,
}

impl Disk {
    /// Whether the record says that the other copy is the one to go on with.
    pub fn resigned(&self) -> bool {
        let resigns = |record: &Record| {
            !record.consistent
                || match record.standing {
                    Standing::New | Standing::Outdated { .. } => true,
                    Standing::Connected | Standing::AloneConfirmed | Standing::AloneUnconfirmed => false,
                }
        };
        self.records.iter().any(resigns)
    }
}

/// Where the next message of a queue of this node may arrive at the earliest: queues keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    DaemonToHeart,
    HeartToDaemon,
    HeartToRfs,
    RfsToHeart,
    EngineToRfs,
}

/// Without a heart.
pub const STOPPED: Logged = (ModuleState::Stop, Colour::Red);

/// One machine.
#[derive(Debug)]
pub struct Node {
    pub powered: bool,
    pub boots: u32,
    pub boot_id: String,
    pub booted_at: Time,
    pub frozen_since: Option<Time>,
    /// What waits for a frozen node.
    pub waiting: Vec<OnNode>,
    pub daemon: Option<Process<DaemonActor>>,
    pub heart: Option<Process<HeartActor>>,
    pub rfs: Option<Process<RfsActor>>,
    /// The data plane in the rfs process.
    pub engine: Option<Engine>,
    /// What the keeper and the kernel hold: outlives rfs.
    pub mount: Mount,
    pub disk: Disk,
    /// An earlier state of the disk, for a rollback.
    pub snapshot: Option<Disk>,
    /// When the newest heartbeat that this heart can count reached the machine.
    pub heard_at: Option<Time>,
    /// Until when the kernel keeps the virtual address.
    pub vip_until: Option<Time>,
    /// When the last change of the address that was asked for is done.
    pub vip_ops_until: Time,
    /// The lifetime that the heart asked for.
    pub vip_lifetime: Time,
    /// The application serves clients.
    pub application: bool,
    pub scripts: Vec<RunningScript>,
    pub queues: [Time; 5],
    /// Bus messages take long.
    pub slow_bus: bool,
    /// Scripts fail and hang more often.
    pub bad_scripts: bool,
    /// The heart's last status, which the heart's loop says again to a daemon that comes back.
    pub last_status: Option<HeartToDaemon>,
    /// The heart's checkers that run, by resource, with the number of their run.
    pub checkers: BTreeMap<String, u64>,
    /// What a checker would find down now.
    pub down: BTreeSet<String>,
    /// Processes that errd watches, and that ended; a start script brings them back.
    pub ended: BTreeSet<&'static str>,
    /// Nothing can be mounted, and there is no room to keep a copy.
    pub full: bool,
    /// A rfs is being started.
    pub rfs_starting: bool,
    /// A heart is being started.
    pub heart_starting: bool,
    /// What this heart logged last as its state.
    pub logged: Logged,
}

impl Node {
    pub fn new(records: Vec<Record>) -> Node {
        Node {
            powered: false,
            boots: 0,
            boot_id: String::new(),
            booted_at: 0,
            frozen_since: None,
            waiting: Vec::new(),
            daemon: None,
            heart: None,
            rfs: None,
            engine: None,
            mount: Mount::default(),
            disk: Disk { records, data: Data::default(), manifest: None, slow: false, bad: false },
            snapshot: None,
            heard_at: None,
            vip_until: None,
            vip_ops_until: 0,
            vip_lifetime: 0,
            application: false,
            scripts: Vec::new(),
            queues: [0; 5],
            slow_bus: false,
            bad_scripts: false,
            last_status: None,
            checkers: BTreeMap::new(),
            down: BTreeSet::new(),
            ended: BTreeSet::new(),
            full: false,
            rfs_starting: false,
            heart_starting: false,
            logged: STOPPED,
        }
    }

    /// The node's clock; it begins at one second, because nothing runs in the kernel's first.
    pub fn local(&self, now: Time) -> Instant {
        Instant(now - self.booted_at + SEC)
    }

    /// The moment of the run at which the node's clock shows `local`.
    pub fn global(&self, local: Instant) -> Time {
        (self.booted_at + local.0).saturating_sub(SEC)
    }

    /// State and colour as the heart knows them; STOP red without one.
    pub fn module_state(&self) -> Logged {
        self.heart.as_ref().map_or(STOPPED, |heart| {
            let status = heart.actor.status();
            (status.state, status.colour)
        })
    }

    /// Whether the socket of a node that stands still takes one more: the kernel drops the newest when its buffer is full.
    pub fn has_room_for(&self, what: &OnNode) -> bool {
        let is_heartbeat = |what: &OnNode| matches!(what, OnNode::Heartbeat { .. });
        !is_heartbeat(what) || self.waiting.iter().filter(|what| is_heartbeat(what)).count() < SOCKET_BUFFER
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen_since.is_some()
    }
}
