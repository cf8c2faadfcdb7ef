//! What an rfs lets through once its heart is gone, and once it is dead.

use hf_node::rfs::{RfsActor, RfsConfig, RfsEffect, RfsInput};
use hf_replica::engine::{EngineCommand, EngineEvent, Gate};
use hf_types::{Epoch, GenerationId, GrantReason, Incarnation, Instant, Record, Seq};
use hf_wire::bus::{HeartToRfs, RfsRole};
use std::time::Duration;

struct Rfs {
    actor: RfsActor,
    gate: Option<Gate>,
    now: u64,
}

impl Rfs {
    fn input(&mut self, input: RfsInput) {
        self.now += 1;
        for effect in self.actor.handle(Instant(self.now), input) {
            match effect {
                RfsEffect::Engine(EngineCommand::SetGate(gate)) => self.gate = Some(gate),
                RfsEffect::Engine(EngineCommand::Mount) => self.input(RfsInput::Engine(EngineEvent::Mounted)),
                RfsEffect::Engine(EngineCommand::WriteRecords { token, .. }) => {
                    self.input(RfsInput::Engine(EngineEvent::RecordsWritten { token }));
                }
                RfsEffect::Engine(EngineCommand::Drain) => {
                    self.input(RfsInput::Engine(EngineEvent::Drained { seq: Seq(0) }));
                }
                _ => {}
            }
        }
    }

    /// What a heart says to an rfs that is to go on alone.
    fn alone(&mut self) {
        let (epoch, generation) = (Epoch(1), GenerationId(7));
        self.input(RfsInput::Heart(HeartToRfs::Become(RfsRole::Primary { epoch })));
        self.input(RfsInput::Heart(HeartToRfs::Grant { epoch, generation, why: GrantReason::Administrator }));
    }
}

fn alone() -> Rfs {
    let config = RfsConfig {
        dirs: vec!["/data".to_owned()],
        async_second: true,
        send_timeout: Duration::from_secs(30),
        lock_timeout: Duration::from_secs(100),
        notes_synced: false,
        zero_s: 0,
    };
    let mut rfs = Rfs { actor: RfsActor::new(config), gate: None, now: 0 };
    rfs.input(RfsInput::Started { incarnation: Incarnation(1) });
    let (records, boot_id) = (vec![Record::new(5)], "boot".to_owned());
    rfs.input(RfsInput::Engine(EngineEvent::Started { records, boot_id, takeover: false }));
    rfs.alone();
    assert_eq!(rfs.gate, Some(Gate::Alone { epoch: Epoch(1) }));
    rfs
}

#[test]
fn a_heart_that_comes_back_may_open_the_gate_again() {
    let mut rfs = alone();
    rfs.input(RfsInput::HeartGone);
    assert_eq!(rfs.gate, Some(Gate::Closed), "what comes waits");
    rfs.input(RfsInput::HeartBack);
    rfs.alone();
    assert_eq!(rfs.gate, Some(Gate::Alone { epoch: Epoch(1) }));
}

#[test]
fn what_waits_for_a_dead_heart_is_released_and_nothing_is_acknowledged_ever_again() {
    let mut rfs = alone();
    rfs.input(RfsInput::HeartGone);
    rfs.input(RfsInput::HeartDead);
    assert_eq!(rfs.gate, Some(Gate::Released));
    rfs.input(RfsInput::HeartBack);
    rfs.alone();
    rfs.input(RfsInput::Heart(HeartToRfs::Fence { epoch: Epoch(1) }));
    assert_eq!(rfs.gate, Some(Gate::Released), "another heart starts another rfs");
}
