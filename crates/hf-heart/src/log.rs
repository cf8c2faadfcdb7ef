//! The heart's log: lines into the ring, which never waits; a bell for the daemon.

use crate::event::{Event, Events};
use hf_host::{Paths, clock};
use hf_store::{RingError, RingWriter};
use hf_types::{self as types, History, LogLine, ModuleName, Resource};

/// Room for some thousands of lines while no daemon reads.
const RING_BYTES: u64 = 1 << 20;

/// Writes events of the module into its ring.
pub struct Log {
    ring: RingWriter,
    /// Orders lines of several nodes by causality.
    counter: u64,
}

impl Log {
    pub fn open(paths: &Paths, module: &ModuleName, bell: Events) -> Result<Log, RingError> {
        let path = paths.module_run(module).join("heart.ring");
        // The loop only goes away with the whole process.
        let ring = RingWriter::open_with_bell(&path, RING_BYTES, move || drop(bell.send(Event::Bell)))?;
        Ok(Log { ring, counter: 0 })
    }

    pub fn write(&mut self, event: &types::Event) {
        self.counter += 1;
        let line = LogLine {
            at_us: clock::wall_us(),
            process: "heart".to_owned(),
            level: event.level(),
            counter: self.counter,
            text: event.to_string(),
        };
        tracing::info!("{}", line.text);
        if !self.ring.write(&line) {
            tracing::warn!("the log ring is full: a line was dropped");
        }
    }

    /// Keeps a value that a resource took.
    pub fn keep(&mut self, resource: &Resource, history: History) {
        let kept = match history {
            History::Never => true,
            History::Changes => self.ring.write_resource(resource, false),
            History::Always => self.ring.write_resource(resource, true),
        };
        if !kept {
            tracing::warn!(name = resource.name, "the log ring is full: a resource's value is missing in its history");
        }
    }
}
