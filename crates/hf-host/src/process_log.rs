//! The log of heart and rfs: lines, and values of resources, into a ring of their own, which never waits. The daemon reads it.

use crate::journal::{self, Entry};
use crate::{Paths, clock};
use hf_store::{RING_SIZE, RingError, RingWriter};
use hf_types::{Event, History, Level, LogLine, ModuleName, Resource};

/// One process's log.
#[derive(Debug)]
pub struct ProcessLog {
    ring: RingWriter,
    process: &'static str,
    module: String,
    /// Orders the lines of this process.
    counter: u64,
}

impl ProcessLog {
    /// Opens `SAFEVAR/run/AM/PROCESS.ring`. `bell` is called, by a thread of the ring, after lines were written.
    ///
    /// # Errors
    /// When the ring can't be made, or a process that lives writes it.
    pub fn open(
        paths: &Paths,
        module: &ModuleName,
        process: &'static str,
        bell: impl Fn() + Send + 'static,
    ) -> Result<ProcessLog, RingError> {
        let path = paths.module_run(module).join(format!("{process}.ring"));
        Ok(ProcessLog {
            ring: RingWriter::open_with_bell(&path, RING_SIZE, bell)?,
            process,
            module: module.to_string(),
            counter: 0,
        })
    }

    /// What happened in this process.
    pub fn write(&mut self, event: &Event) {
        self.print(event.level(), self.process.to_owned(), event.to_string());
    }

    /// A line of somebody else's.
    pub fn print(&mut self, level: Level, process: String, text: String) {
        self.counter += 1;
        let line = LogLine { at_us: clock::wall_us(), process, level, counter: self.counter, text };
        let entry = Entry { module: Some(&self.module), process: &line.process, level, text: &line.text };
        if !journal::send(&entry) {
            tracing::info!("{}", line.text);
        }
        if !self.ring.write(&line) {
            tracing::warn!("the log ring is full: a line was dropped");
        }
    }

    /// Keeps a value that a resource took, for its history.
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
