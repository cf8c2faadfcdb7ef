//! Counts processes that are meant by a name, and tells at once when one of those that it found has ended.
//!
//! A thread of its own, because reading `/proc` takes longer than a loop with heartbeats has. It looks when it is told to, keeps hold of
//! what it found by pidfds, and looks again by itself when one of them has ended; that a new one began is only seen by a look.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use hf_types::ProcCount;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::pidfile::Identity;
use crate::table::{ProcessEntry, command_within, processes};
use crate::watch::ProcessWatch;

/// How long the arguments of one process may take to be read, and all that take so long in one look: they wait for a disk, say.
const COMMAND_LIMIT: Duration = Duration::from_millis(500);
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks because something ended: a server whose workers come and go must not keep a processor busy.
const PAUSE: Duration = Duration::from_millis(50);
/// Of one target so many processes are held, and of all so many: a descriptor each. The end of others is seen when none of these is left, or
/// by the next look.
const HELD_OF_ONE: usize = 64;
const HELD_MAX: usize = 400;

type Fits = Box<dyn Fn(&str) -> bool + Send>;

/// What a process has to be called, and called with.
pub struct Target {
    /// Names it in looks and answers.
    pub name: String,
    pub fits_name: Fits,
    /// The program with its arguments; none: any.
    pub fits_command: Option<Fits>,
}

/// Processes of a target, by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    pub pids: Vec<i32>,
}

type Answer = Box<dyn FnOnce(Vec<Found>) + Send>;

enum Order {
    Targets(Vec<Target>),
    Look { look: u64, names: Vec<String> },
    Find { names: Vec<String>, answer: Answer },
    End,
}

/// The thread's other side.
pub struct Monitor {
    orders: Sender<Order>,
    bell: OwnedFd,
}

impl Monitor {
    /// Starts the thread. `tell` gets the number of the newest look with what it saw, and again, with the same number, each time that
    /// something which it had found has ended.
    ///
    /// # Errors
    /// When there are no descriptors or threads left.
    pub fn start(tell: impl Fn(u64, Vec<ProcCount>) + Send + 'static) -> io::Result<Monitor> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (orders, taken) = channel();
        let watcher = Watcher {
            bell: bell.try_clone()?,
            orders: taken,
            tell: Box::new(tell),
            targets: Vec::new(),
            look: None,
            held: BTreeMap::new(),
            stale: false,
            looked: None,
        };
        std::thread::Builder::new().name("errd".to_owned()).spawn(move || watcher.live())?;
        Ok(Monitor { orders, bell })
    }

    /// What names stand for from now on.
    pub fn targets(&self, targets: Vec<Target>) {
        self.order(Order::Targets(targets));
    }

    /// Counts the processes of these targets, and lets go of what an earlier look found.
    pub fn look(&self, look: u64, names: Vec<String>) {
        self.order(Order::Look { look, names });
    }

    /// Finds the processes of these targets, once.
    pub fn find(&self, names: Vec<String>, answer: impl FnOnce(Vec<Found>) + Send + 'static) {
        self.order(Order::Find { names, answer: Box::new(answer) });
    }

    fn order(&self, order: Order) {
        let taken = self.orders.send(order).is_ok();
        let rung = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        if !taken || rung.is_err() {
            tracing::error!("the thread that watches processes is gone");
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.order(Order::End);
    }
}

/// A process by what never belongs to another: its id and when it started.
type Key = (i32, u64);

struct Watcher {
    bell: OwnedFd,
    orders: Receiver<Order>,
    tell: Box<dyn Fn(u64, Vec<ProcCount>) + Send>,
    targets: Vec<Target>,
    look: Option<(u64, Vec<String>)>,
    /// What the last look found, with the targets that it is of; a handle on as many as may be held.
    held: BTreeMap<Key, Held>,
    /// Something has ended, and nobody looked since.
    stale: bool,
    looked: Option<Instant>,
}

#[derive(Default)]
struct Held {
    of: Vec<String>,
    watch: Option<ProcessWatch>,
}

impl Watcher {
    fn live(mut self) {
        loop {
            match self.wait() {
                Ok(()) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "processes are only looked at from time to time");
                    std::thread::sleep(PAUSE);
                }
            }
            while let Ok(order) = self.orders.try_recv() {
                match order {
                    Order::Targets(targets) => self.targets = targets,
                    Order::Look { look, names } => {
                        self.look = Some((look, names));
                        self.see();
                    }
                    Order::Find { names, answer } => answer(self.find(&names)),
                    Order::End => return,
                }
            }
            if self.stale && self.pause().is_zero() {
                self.see();
            }
        }
    }

    /// Until there is an order, something has ended, or the pause after which it may be looked at is over.
    fn wait(&mut self) -> rustix::io::Result<()> {
        let handles: Vec<(Key, &ProcessWatch)> =
            self.held.iter().filter_map(|(key, held)| Some((*key, held.watch.as_ref()?))).collect();
        let bell = PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN);
        let watched = handles.iter().map(|(_, watch)| PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN));
        let mut fds: Vec<PollFd> = std::iter::once(bell).chain(watched).collect();
        let pause = self.stale.then(|| Timespec::try_from(self.pause()).unwrap_or_default());
        poll(&mut fds, pause.as_ref())?;
        let ended = |(at, fd): (usize, &PollFd)| (!fd.revents().is_empty()).then(|| handles[at].0);
        let ended: Vec<Key> = fds[1..].iter().enumerate().filter_map(ended).collect();
        let mut rung = [0; 8];
        match rustix::io::read(&self.bell, &mut rung) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
        self.stale |= !ended.is_empty();
        // Else they would be ready for ever.
        ended.iter().for_each(|key| drop(self.held.remove(key)));
        Ok(())
    }

    fn pause(&self) -> Duration {
        self.looked.map_or(Duration::ZERO, |at| PAUSE.saturating_sub(at.elapsed()))
    }

    /// Counts, takes hold, tells.
    fn see(&mut self) {
        self.stale = false;
        self.looked = Some(Instant::now());
        let Some((look, names)) = self.look.clone() else {
            return;
        };
        let seen = self.scan(&names);
        let before = std::mem::take(&mut self.held);
        let counts = seen.iter().map(|one| ProcCount {
            name: one.name.clone(),
            count: u32::try_from(one.sure.len()).unwrap_or(u32::MAX),
            unsure: u32::try_from(one.unsure).unwrap_or(u32::MAX),
        });
        let counts = counts.collect();
        self.hold(&seen, before);
        (self.tell)(look, counts);
    }

    fn hold(&mut self, seen: &[Seen], mut before: BTreeMap<Key, Held>) {
        let mut handles = 0;
        for one in seen {
            for (at, key) in one.sure.iter().enumerate() {
                let held = self.held.entry(*key).or_default();
                held.of.push(one.name.clone());
                if held.watch.is_some() || at >= HELD_OF_ONE || handles >= HELD_MAX {
                    continue;
                }
                held.watch = before.remove(key).and_then(|held| held.watch);
                if held.watch.is_none() {
                    match open(*key) {
                        Ok(watch) => held.watch = Some(watch),
                        // It ended since: the count is too high already.
                        Err(_) => self.stale = true,
                    }
                }
                handles += usize::from(held.watch.is_some());
            }
        }
    }

    fn scan(&self, names: &[String]) -> Vec<Seen> {
        let all = processes();
        let living: Vec<&ProcessEntry> = all.iter().filter(|process| !matches!(process.state, 'Z' | 'X')).collect();
        let mut commands = Commands::default();
        let wanted = names.iter().filter_map(|name| self.targets.iter().find(|target| target.name == *name));
        let seen = wanted.map(|target| {
            let known = |key: &Key| self.held.get(key).is_some_and(|held| held.of.contains(&target.name));
            let mut seen = Seen { name: target.name.clone(), sure: Vec::new(), unsure: 0 };
            for process in living.iter().filter(|process| (target.fits_name)(&process.name)) {
                let key = (process.pid, process.started);
                let fits = target
                    .fits_command
                    .as_ref()
                    .map_or(Some(true), |fits| commands.of(process).map(|text| fits(&text)));
                match fits {
                    Some(true) => seen.sure.push(key),
                    Some(false) => {}
                    // What can't be read now is what it was.
                    None if known(&key) => seen.sure.push(key),
                    None => seen.unsure += 1,
                }
            }
            seen
        });
        seen.collect()
    }

    fn find(&self, names: &[String]) -> Vec<Found> {
        let found = |seen: Seen| Found { name: seen.name, pids: seen.sure.into_iter().map(|(pid, _)| pid).collect() };
        self.scan(names).into_iter().map(found).collect()
    }
}

/// What a look saw of one target.
struct Seen {
    name: String,
    sure: Vec<Key>,
    unsure: usize,
}

/// The command lines of one look, each read once.
#[derive(Default)]
struct Commands {
    read: BTreeMap<i32, Option<String>>,
    late: Duration,
}

impl Commands {
    /// None: it could not be read in time.
    fn of(&mut self, process: &ProcessEntry) -> Option<String> {
        if let Some(read) = self.read.get(&process.pid) {
            return read.clone();
        }
        let limit = COMMAND_LIMIT.min(LOOK_LIMIT.saturating_sub(self.late));
        let read = match command_within(process.pid, limit) {
            // As ps shows what has no arguments: a thread of the kernel.
            Ok(text) => Some(text.unwrap_or_else(|| format!("[{}]", process.name))),
            Err(_) => {
                self.late += limit;
                None
            }
        };
        self.read.insert(process.pid, read.clone());
        read
    }
}

fn open((pid, started): Key) -> io::Result<ProcessWatch> {
    let identity = Identity::of(pid)?;
    if identity.start_ticks != started {
        return Err(io::ErrorKind::NotFound.into());
    }
    ProcessWatch::open(identity).map_err(io::Error::other)
}
