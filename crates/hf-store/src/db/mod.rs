//! The SQLite side: schema, what the writing thread does, what readers ask.

mod open;
mod query;
mod write;

pub(crate) use open::{Opened, SCHEMA_VERSION, is_damage, move_aside, open, open_to_read};
pub(crate) use query::{commands, log, log_after, resources};
pub(crate) use write::{add_command, add_line, add_resource, clean_log, clean_resources, ingest, trim};

use hf_types::{LogLine, Resource, ResourceValue};

/// A value that a resource took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRow {
    /// Wall clock, microseconds since 1970 UTC.
    pub at_us: i64,
    pub name: String,
    pub value: ResourceValue,
    /// Who set it.
    pub by: String,
}

impl From<Resource> for ResourceRow {
    fn from(resource: Resource) -> ResourceRow {
        let Resource { name, value, by, at_us } = resource;
        ResourceRow { at_us, name, value, by }
    }
}

impl From<ResourceRow> for Resource {
    fn from(row: ResourceRow) -> Resource {
        let ResourceRow { at_us, name, value, by } = row;
        Resource { name, value, by, at_us }
    }
}

/// The line that tells that lines are missing.
pub(crate) fn lost_line(process: &str, lost: u64, at_us: i64, counter: u64) -> LogLine {
    LogLine {
        at_us,
        process: process.to_owned(),
        level: hf_types::Level::C,
        counter,
        text: format!("{lost} log lines of {process} before this one were lost"),
    }
}
