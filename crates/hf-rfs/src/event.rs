use hf_bus::Outbox;
use hf_replica::engine::EngineEvent;
use hf_wire::bus::HeartToRfs;
use tokio::sync::mpsc;

/// Everything that the loop waits for, beside its own deadline.
#[derive(Debug)]
pub enum Event {
    HeartUp(Outbox),
    Heart(HeartToRfs),
    HeartDown,
    Engine(EngineEvent),
    /// For the module's log.
    Log(hf_types::Event),
}

/// Where events are sent to.
pub type Events = mpsc::UnboundedSender<Event>;
