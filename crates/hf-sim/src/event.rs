use crate::clock::Time;
use crate::link::Frame;
use hf_node::daemon::DaemonInput;
use hf_node::heart::HeartInput;
use hf_node::rfs::RfsInput;
use hf_types::{Caller, Command, GenerationId, Instant, LanName, Record, RunId, Script, ScriptOutcome};
use std::cmp::Ordering;

/// Which of a node's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Daemon,
    Heart,
    Rfs,
}

/// One process that was started, never used again.
pub type Pid = u64;

/// An input of one of the actors.
#[derive(Clone, Debug)]
pub enum Input {
    Daemon(DaemonInput),
    Heart(HeartInput),
    Rfs(RfsInput),
}

impl Input {
    /// Is it a deadline that came?
    pub fn is_timer(&self) -> bool {
        matches!(
            self,
            Input::Daemon(DaemonInput::Timer) | Input::Heart(HeartInput::Timer) | Input::Rfs(RfsInput::Timer)
        )
    }

    pub fn part(&self) -> Part {
        match self {
            Input::Daemon(_) => Part::Daemon,
            Input::Heart(_) => Part::Heart,
            Input::Rfs(_) => Part::Rfs,
        }
    }
}

/// What is to happen on one node; it waits while the node stands still.
#[derive(Clone, Debug)]
pub enum OnNode {
    Input {
        pid: Pid,
        input: Input,
    },
    Timer {
        part: Part,
        pid: Pid,
        at: Instant,
    },
    /// A heartbeat in the kernel's buffer.
    Heartbeat {
        lane: usize,
        sent_at: Time,
        body: Vec<u8>,
    },
    Membership {
        lan: LanName,
        body: Vec<u8>,
    },
    SpawnDaemon,
    /// The next look at the witness by the checker that was started as this run.
    AskWitness {
        run: u64,
    },
    SpawnHeart {
        first: Command,
        by: Caller,
    },
    SpawnRfs {
        heart: Pid,
    },
    ScriptEnd {
        serial: u64,
        outcome: ScriptOutcome,
    },
    VipSet {
        heart: Pid,
    },
    VipCleared {
        by: Part,
        pid: Pid,
    },
    /// All processes of the module are killed.
    ModuleKilled {
        daemon: Pid,
    },
    // Of the data plane, by the process that runs it:
    Connect {
        rfs: Pid,
    },
    Frame {
        link: u64,
        frame: Frame,
    },
    LinkGone {
        link: u64,
        why: &'static str,
    },
    Fsynced {
        rfs: Pid,
        mark: (u64, usize),
        failed: bool,
    },
    RecordStored {
        rfs: Pid,
        dir: usize,
        record: Box<Record>,
    },
    RecordsDone {
        rfs: Pid,
        token: u64,
        failed: bool,
    },
    SyncStep {
        rfs: Pid,
        run: u64,
        left: u32,
    },
    CopyKept {
        rfs: Pid,
        generation: GenerationId,
        failed: bool,
    },
    Unanswered {
        rfs: Pid,
    },
    Watermark {
        rfs: Pid,
    },
    /// A client's operation reaches the application.
    Submit,
    /// A command of the administrator's reaches the daemon, or the heart.
    Command {
        command: Command,
        to: Part,
    },
}

/// What is to happen.
#[derive(Clone, Debug)]
pub enum Event {
    Node {
        node: usize,
        what: Box<OnNode>,
    },
    /// A heartbeat reaches the machine.
    Arrives {
        to: usize,
        lane: usize,
        sent_at: Time,
        body: Vec<u8>,
    },
    /// The kernel drops the address if it was not renewed.
    VipExpires {
        node: usize,
    },
    Client,
    /// The administrator looks.
    Watch,
    FaultBegins(usize),
    FaultEnds(usize),
    /// A node stands up again.
    PowerOn {
        node: usize,
    },
}

/// A script that runs, or ran.
#[derive(Clone, Debug)]
pub struct RunningScript {
    pub serial: u64,
    pub run: RunId,
    pub script: Script,
    pub owner: Part,
    pub pid: Pid,
    pub force: bool,
}

/// An event with its time; events of one time keep their order.
#[derive(Clone, Debug)]
pub struct Due {
    pub at: Time,
    pub serial: u64,
    pub event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.serial) == (other.at, other.serial)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// Reversed: a `BinaryHeap` gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}
