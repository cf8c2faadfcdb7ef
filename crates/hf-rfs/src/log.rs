//! The log of rfs: lines into its ring, which never waits. The daemon reads it whenever the heart rings.

use hf_host::{Paths, clock};
use hf_store::{RingError, RingWriter};
use hf_types::{Event, LogLine, ModuleName};

const RING_BYTES: u64 = 1 << 20;

pub struct Log {
    ring: RingWriter,
    counter: u64,
}

impl Log {
    pub fn open(paths: &Paths, module: &ModuleName) -> Result<Log, RingError> {
        Ok(Log { ring: RingWriter::open(&paths.module_run(module).join("rfs.ring"), RING_BYTES)?, counter: 0 })
    }

    pub fn write(&mut self, event: &Event) {
        self.counter += 1;
        let line = LogLine {
            at_us: clock::wall_us(),
            process: "rfs".to_owned(),
            level: event.level(),
            counter: self.counter,
            text: event.to_string(),
        };
        tracing::info!("{}", line.text);
        if !self.ring.write(&line) {
            tracing::warn!("the log ring is full: a line was dropped");
        }
    }
}
