//! The processes that are watched: what the actor asks for, hf-exec's thread counts.

use crate::event::{Event, Events};
use hf_config::{Errd, Wanted};
use hf_exec::{Found, Monitor, Target};
use hf_host::files::with_causes;
use hf_host::{Paths, module};
use hf_node::heart::HeartInput;
use hf_types::{ModuleName, Ticket};
use std::fmt::Write;
use std::io;

pub struct Processes {
    paths: Paths,
    module: ModuleName,
    monitor: Monitor,
    events: Events,
}

impl Processes {
    /// Starts the thread that counts; nothing is looked at yet.
    pub fn open(paths: &Paths, module: &ModuleName, errd: Option<&Errd>, events: Events) -> io::Result<Processes> {
        let told = events.clone();
        // The loop only goes away with the whole process.
        let tell = move |look, counts| drop(told.send(Event::Input(HeartInput::Processes { look, counts })));
        let monitor = Monitor::start(tell)?;
        let processes = Processes { paths: paths.clone(), module: module.clone(), monitor, events };
        processes.configure(errd);
        Ok(processes)
    }

    pub fn configure(&self, errd: Option<&Errd>) {
        self.monitor.targets(errd.into_iter().flat_map(|errd| &errd.procs).filter_map(target).collect());
    }

    pub fn look(&self, look: u64, names: Vec<String>) {
        self.monitor.look(look, names);
    }

    /// `errd list`: what the actor says of each, with its processes, into a file; then whoever waits is answered.
    pub fn list(&self, ticket: Ticket, lines: Vec<(String, String)>) {
        let (paths, module, events) = (self.paths.clone(), self.module.clone(), self.events.clone());
        let names = lines.iter().map(|(name, _)| name.clone()).collect();
        self.monitor.find(names, move |found| {
            let text = ours(&paths, &module) + &listed(&lines, &found);
            let file = paths.errd_list(&module);
            let result =
                std::fs::write(&file, text).map_err(|error| format!("can't write {}: {error}", file.display()));
            drop(events.send(Event::Answered { ticket, result }));
        });
    }

    /// `errd off` and `on`, kept over a stop. Away from the loop: a disk may hang.
    pub fn keep_off(&self, ticket: Ticket, off: bool) {
        let (paths, name, events) = (self.paths.clone(), self.module.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let result = module::keep_errd_off(&paths, &name, off).map_err(|error| with_causes(&error));
            drop(events.send(Event::Answered { ticket, result }));
        });
    }
}

fn target(proc: &hf_config::Proc) -> Option<Target> {
    let (by_name, by_command) = match (Wanted::of(proc), Wanted::of(proc)) {
        (Ok(by_name), Ok(by_command)) => (by_name, by_command),
        (Err(why), _) | (_, Err(why)) => {
            tracing::error!(why, name = proc.name, "a process can't be watched");
            return None;
        }
    };
    let asks = by_command.asks_for_command();
    Some(Target {
        name: proc.name.clone(),
        fits_name: Box::new(move |name| by_name.fits_name(name)),
        fits_command: asks.then(|| Box::new(move |command: &str| by_command.fits_command(command)) as _),
    })
}

/// Our own processes, which are watched without being asked for.
fn ours(paths: &Paths, module: &ModuleName) -> String {
    let mut text = String::new();
    for process in ["heart", "rfs", "keeper"] {
        let pid = std::fs::read_to_string(paths.pid_file(module, process)).unwrap_or_default();
        if let Some(pid) = pid.split_ascii_whitespace().next() {
            // A String takes everything.
            let _ = writeln!(text, "{process} (Holdfast) pid {pid}");
        }
    }
    text
}

fn listed(lines: &[(String, String)], found: &[Found]) -> String {
    let line = |(name, text): &(String, String)| {
        let pids = found.iter().filter(|found| found.name == *name).flat_map(|found| &found.pids);
        let pids: Vec<String> = pids.map(i32::to_string).collect();
        let pids = if pids.is_empty() { String::new() } else { format!(" pid {}", pids.join(" ")) };
        format!("{name} {text}{pids}\n")
    };
    lines.iter().map(line).collect()
}
