use crate::load::Loaded;
use hf_bus::Outbox;
use hf_net::NetEvent;
use hf_node::heart::HeartInput;
use hf_types::{Assignment, Caller, Command, ErrdOrder, Level, Ticket};
use hf_wire::bus::{DaemonToHeart, Reply, RfsToHeart};
use std::net::IpAddr;
use tokio::sync::{mpsc, oneshot};

/// Everything that the loop waits for, beside datagrams and its own deadline.
#[derive(Debug)]
pub enum Event {
    /// An input that needs no more than to be passed on.
    Input(HeartInput),
    /// The daemon connected; `link` numbers the connections.
    DaemonUp {
        link: u64,
        outbox: Outbox,
    },
    Daemon(DaemonToHeart),
    DaemonDown {
        link: u64,
    },
    RfsUp {
        link: u64,
        outbox: Outbox,
    },
    Rfs {
        link: u64,
        message: RfsToHeart,
    },
    RfsDown {
        link: u64,
    },
    /// The process of run `run` ended, or could not be started.
    RfsExited {
        run: u64,
        why: String,
    },
    /// A command that came to the heart's own socket.
    Command {
        command: Command,
        by: Caller,
        answer: oneshot::Sender<Reply>,
    },
    /// A `set` that came to the heart's own socket.
    Set {
        assignment: Assignment,
        answer: oneshot::Sender<Reply>,
    },
    /// The LAN was asked who has the address: the machine that has it, or why nobody could be asked.
    VipProbed {
        address: IpAddr,
        question: u64,
        found: Result<Option<String>, String>,
    },
    /// Another machine says to have the address too.
    VipClaimed {
        address: IpAddr,
        by: String,
    },
    /// An `errd` command that came to the heart's own socket.
    Errd {
        order: ErrdOrder,
        by: Caller,
        answer: oneshot::Sender<Reply>,
    },
    /// What was done away from the loop, for whoever waits.
    Answered {
        ticket: Ticket,
        result: Result<(), String>,
    },
    /// What was read of the disk again; the ticket of whoever waits for the answer.
    Loaded {
        ticket: Option<Ticket>,
        loaded: Result<Box<Loaded>, String>,
    },
    /// An interface or an address changed.
    Network(NetEvent),
    /// `printi`, `printe` that came to the heart's own socket.
    Print {
        level: Level,
        by: String,
        text: String,
    },
    /// New lines are in the ring.
    Bell,
}

/// Where events are sent to.
pub type Events = mpsc::UnboundedSender<Event>;
