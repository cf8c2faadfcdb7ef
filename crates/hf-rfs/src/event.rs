use hf_bus::Outbox;
use hf_node::rfs::RfsConfig;
use hf_replica::engine::EngineEvent;
use hf_wire::bus::HeartToRfs;
use tokio::sync::mpsc;

/// Everything that the loop waits for, beside its own deadline.
#[derive(Debug)]
pub enum Event {
    HeartUp(Outbox),
    Heart(HeartToRfs),
    HeartDown,
    /// Nobody listens at the heart's socket any more.
    HeartDead,
    Engine(EngineEvent),
    /// For the module's log.
    Log(hf_types::Event),
    /// What was read of the disk again.
    Reread(Result<RfsConfig, String>),
}

/// Where events are sent to.
pub type Events = mpsc::UnboundedSender<Event>;
