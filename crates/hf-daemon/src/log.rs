//! Lines of the daemon's own, in its log and in those of the modules.

use crate::modules::OWN_LOG;
use crate::shell::Shell;
use hf_host::clock;
use hf_host::journal::{self, Entry};
use hf_types::{Event, Level, LogLine, ModuleName};

impl Shell {
    /// A line in the daemon's own log.
    pub(crate) fn tell(&self, text: &str) {
        self.log(None, &Event::Text(text.to_owned()));
    }

    /// A line in a module's log, or in the daemon's own.
    pub(crate) fn log(&self, module: Option<&ModuleName>, event: &Event) {
        let line = LogLine {
            at_us: clock::wall_us(),
            process: OWN_LOG.to_owned(),
            level: event.level(),
            counter: 0,
            text: event.to_string(),
        };
        let name = module.map(ModuleName::as_str);
        let entry = Entry { module: name, process: OWN_LOG, level: line.level, text: &line.text };
        let in_journal = journal::send(&entry);
        match module {
            Some(module) => {
                if !in_journal {
                    tracing::info!(%module, "{}", line.text);
                }
                self.store.add_line(module, line);
            }
            None => {
                match line.level {
                    _ if in_journal => {}
                    Level::C => tracing::error!("{}", line.text),
                    _ => tracing::info!("{}", line.text),
                }
                if let Ok(own) = OWN_LOG.parse() {
                    self.store.add_line(&own, line);
                }
            }
        }
    }
}
