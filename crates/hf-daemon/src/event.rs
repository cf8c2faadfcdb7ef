use crate::modules::Configured;
use hf_bus::Outbox;
use hf_host::cluster::Member;
use hf_node::daemon::{DaemonInput, DaemonStatus};
use hf_types::{
    Assignment, Caller, Command, ErrdOrder, LanName, ModuleName, ModuleState, NodeName, SyncPolicy, Ticket,
};
use hf_wire::bus::{ClusterModule, HeartToDaemon};
use hf_wire::inquiry::{Answer, Question};
use tokio::sync::{mpsc, oneshot};

/// Where tasks bring what they learn: the loop takes one event at a time.
pub type Events = mpsc::Sender<Event>;

/// What can happen to a daemon, besides datagrams, signals and time.
pub enum Event {
    /// The end of something that an effect began.
    Input(DaemonInput),
    Heart {
        module: ModuleName,
        /// Which run of the heart: an event of an earlier one is late and means nothing.
        run: u64,
        event: HeartEvent,
    },
    /// A command that the actor answers when it likes.
    Ask { ask: Ask, answer: oneshot::Sender<Result<(), String>> },
    /// A line for the daemon's own log.
    Tell(String),
    /// Somebody wants to know how things stand.
    Look(oneshot::Sender<Snapshot>),
    /// Another node's daemon is to be asked; nobody answers if it doesn't.
    Inquire { node: NodeName, question: Question, answer: oneshot::Sender<Answer> },
    /// What this node says to a question of another's.
    Answered { node: NodeName, lan: LanName, answer: Answer },
    /// Files changed; `done` is told when the loop goes by them.
    Loaded { loaded: Box<Loaded>, done: Option<oneshot::Sender<()>> },
}

/// From one heart's connection and process.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are messages, and each is moved once")]
pub enum HeartEvent {
    Connected(Outbox),
    Message(HeartToDaemon),
    /// `stopped`: it had said that it would go.
    Gone {
        stopped: bool,
    },
}

/// What a command wants of the actor.
pub enum Ask {
    Control {
        module: ModuleName,
        command: Command,
        by: Caller,
    },
    Waitstart {
        module: ModuleName,
    },
    /// Of all modules.
    Shutdown,
    Waitstate {
        module: ModuleName,
        state: ModuleState,
    },
    Set {
        module: ModuleName,
        assignment: Assignment,
    },
    Rfssync {
        module: ModuleName,
        policy: SyncPolicy,
    },
    Errd {
        module: ModuleName,
        order: ErrdOrder,
        by: Caller,
    },
    /// Its heart is to go by the configuration that is applied now.
    Reread {
        module: ModuleName,
    },
}

impl Ask {
    pub fn into_input(self, ticket: Ticket) -> DaemonInput {
        match self {
            Ask::Control { module, command, by } => DaemonInput::Control { ticket, module, command, by },
            Ask::Set { module, assignment } => DaemonInput::Set { ticket, module, assignment },
            Ask::Errd { module, order, by } => DaemonInput::Errd { ticket, module, order, by },
            Ask::Rfssync { module, policy } => DaemonInput::Rfssync { ticket, module, policy },
            Ask::Reread { module } => DaemonInput::Reread { ticket, module },
            Ask::Shutdown => DaemonInput::ShutdownModules { ticket },
            Ask::Waitstart { module } => DaemonInput::Waitstart { ticket, module },
            Ask::Waitstate { module, state } => DaemonInput::Waitstate { ticket, module, state },
        }
    }
}

/// How things stand.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub me: NodeName,
    pub status: DaemonStatus,
    /// Modules whose heart lives.
    pub running: Vec<ModuleName>,
    /// Modules and their configurations on all nodes.
    pub configured: Vec<ClusterModule>,
}

/// What lies on the disk.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub member: Option<Member>,
    pub modules: Vec<(ModuleName, Configured)>,
    /// What is wrong, for the log.
    pub problems: Vec<String>,
}
