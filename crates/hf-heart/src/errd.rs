//! The processes that are watched: what the actor asks for, hf-exec's thread counts.

use crate::event::{Event, Events};
use hf_config::{Errd, Proc, Wanted};
use hf_exec::{Found, Monitor, Target};
use hf_host::files::with_causes;
use hf_host::{Paths, module};
use hf_node::heart::HeartInput;
use hf_systemd::{Service, Services};
use hf_types::{ModuleName, ProcCount, Ticket};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;

pub struct Processes {
    paths: Paths,
    module: ModuleName,
    monitor: Monitor,
    /// Started when there is a service to be watched.
    services: Option<Services>,
    /// Those `<proc>`s that are services, by name.
    of_systemd: BTreeSet<String>,
    events: Events,
}

impl Processes {
    /// Starts the thread that counts; nothing is looked at yet.
    pub fn open(paths: &Paths, module: &ModuleName, errd: Option<&Errd>, events: Events) -> io::Result<Processes> {
        let monitor = Monitor::start(tell(&events))?;
        let (paths, module, of_systemd) = (paths.clone(), module.clone(), BTreeSet::new());
        let mut processes = Processes { paths, module, monitor, services: None, of_systemd, events };
        processes.configure(errd);
        Ok(processes)
    }

    pub fn configure(&mut self, errd: Option<&Errd>) {
        let (services, processes): (Vec<&Proc>, Vec<&Proc>) =
            errd.into_iter().flat_map(|errd| &errd.procs).partition(|proc| proc.service);
        self.monitor.targets(processes.into_iter().filter_map(target).collect());
        self.of_systemd = services.into_iter().map(|proc| proc.name.clone()).collect();
    }

    /// Each part answers for itself, with the same number.
    pub fn look(&mut self, look: u64, names: Vec<String>) {
        let (services, processes): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| self.of_systemd.contains(name));
        self.monitor.look(look, processes);
        if self.services.is_none() && !services.is_empty() {
            match Services::start(tell(&self.events)) {
                Ok(services) => self.services = Some(services),
                Err(error) => tracing::error!(%error, "services can't be watched"),
            }
        }
        if let Some(watched) = &self.services {
            watched.look(look, services.into_iter().map(|name| Service { unit: name.clone(), name }).collect());
        }
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

/// What counts comes back as an input; the loop only goes away with the whole process.
fn tell(events: &Events) -> impl Fn(u64, Vec<ProcCount>) + Send + 'static {
    let events = events.clone();
    move |look, counts| drop(events.send(Event::Input(HeartInput::Processes { look, counts })))
}

fn target(proc: &Proc) -> Option<Target> {
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
