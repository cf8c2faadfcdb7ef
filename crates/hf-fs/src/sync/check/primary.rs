//! The primary's half: walking, asking, saying what was found. One thread.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hf_wire::check::{CheckCount, CheckReport, Difference, Finding};
use hf_wire::frame::{Body, DATA_MAX, DIGEST_LEN, Entries, Entry, PAYLOAD_MAX, push_entry};

use super::{CheckRefused, Report, Said};
use crate::backing::{Backing, Name, Stat};
use crate::link::{Flow, Link, lock};
use crate::pipeline::FileId;
use crate::sync::digest::digest;
use crate::sync::pace::Pace;
use crate::sync::pool::{Pending, Zones};
use crate::sync::{is_gone, meta, present};
use crate::table::TIMES;

const ZONE: u64 = DATA_MAX as u64;
/// Zones asked for in one frame, and awaited at most.
const ASK: u64 = 8;
const WINDOW: u64 = 64;
/// A listing is compared there in the thread that applies: parts are small, so that nobody waits long for one.
const PART: usize = 64 << 10;
/// Places of checks that are remembered before the secondary is asked how far it is.
const REMEMBERED: usize = 4096;
const PROGRESS: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(20);
/// More differences than anybody reads.
const FOUND_MAX: u64 = 10_000;

pub(super) const BROKEN: &str = "the connection of the two copies broke, or their roles changed: nothing can be said \
    of what was not compared yet; verify again once the module is PRIM and SECOND";

/// Why it can't go on.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
    #[error("{0}")]
    Ended(&'static str),
    #[error("nobody listens any more")]
    Unwanted,
}

fn at(what: &'static str) -> impl Fn(io::Error) -> CheckError {
    move |source| CheckError::Io { what, source }
}

/// Begins one on a thread of its own; `token` is what the other node asked for it with, else 0.
pub(super) fn start(link: &Arc<Link>, report: Report, token: u64) -> Result<(), CheckRefused> {
    if link.checks.running.swap(true, Ordering::SeqCst) {
        return Err(CheckRefused::Running);
    }
    link.checks.wanted.store(token, Ordering::SeqCst);
    let link = link.clone();
    let spawned = std::thread::Builder::new().name("hf-check".into()).spawn({
        let (link, report) = (link.clone(), report.clone());
        move || {
            let said = Walk::new(&link, report.clone()).run();
            link.checks.running.store(false, Ordering::SeqCst);
            // Nobody may be there any more; there is nothing else to do then either.
            let _ = report(said);
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread for a verification");
        link.checks.running.store(false, Ordering::SeqCst);
        let _ = report(CheckReport::Failed { why: format!("no thread can be started: {error}") });
    }
    Ok(())
}

/// Where a check's file is.
type Place = (u16, Rc<Path>);

/// Digests that were asked for; answers come in the same order.
struct Asked {
    place: Place,
    id: FileId,
    first: u64,
    count: u64,
    ours: Pending,
}

struct Walk<'a> {
    link: &'a Arc<Link>,
    report: Report,
    /// What must stay as it is.
    stream: u64,
    connections: u64,
    count: CheckCount,
    began: Instant,
    /// What is compared is read no faster than `reiallowedbw`.
    pace: Pace,
    told: Instant,
    /// By the sequence of their check.
    places: BTreeMap<u64, Place>,
    /// The last mark, and the last one that was answered.
    marked: u64,
    answered: u64,
    asked: VecDeque<Asked>,
    awaited: u64,
    /// Files with several names that were compared.
    linked: HashSet<(u16, u64)>,
    buffer: Vec<u8>,
}

impl<'a> Walk<'a> {
    fn new(link: &'a Arc<Link>, report: Report) -> Walk<'a> {
        link.replies.clear();
        lock(&link.checks.inbox).clear();
        Walk {
            link,
            report,
            stream: link.ring.stream(),
            connections: link.statistics.connections.load(Ordering::SeqCst),
            count: CheckCount::default(),
            began: Instant::now(),
            pace: Pace::new(link.options.check_bandwidth),
            told: Instant::now(),
            places: BTreeMap::new(),
            marked: 0,
            answered: 0,
            asked: VecDeque::new(),
            awaited: 0,
            linked: HashSet::new(),
            buffer: vec![0; DATA_MAX],
        }
    }

    fn run(mut self) -> CheckReport {
        match self.all() {
            Ok(()) => CheckReport::Ended(self.counted()),
            Err(error) => CheckReport::Failed { why: error.to_string() },
        }
    }

    fn all(&mut self) -> Result<(), CheckError> {
        for dir in 0..self.link.dirs.len() as u16 {
            let mut queue = vec![(FileId::ROOT, Rc::from(Path::new("")))];
            while let Some((id, path)) = queue.pop() {
                self.attributes(dir, id, &path)?;
                self.directory(dir, id, &path, &mut queue)?;
            }
            while !self.asked.is_empty() {
                self.take_answer()?;
            }
        }
        self.settle(0)
    }

    fn backing(&self, dir: u16) -> &'a Backing {
        &self.link.dirs[usize::from(dir)].backing
    }

    /// Looks at what came, tells how far it is, and whether it can go on.
    fn check(&mut self) -> Result<(), CheckError> {
        let link = self.link;
        let same = link.flow() == Flow::InStep
            && link.ring.stream() == self.stream
            && link.statistics.connections.load(Ordering::SeqCst) == self.connections
            && link.out.is_open();
        if !same || link.is_over() {
            return Err(CheckError::Ended(BROKEN));
        }
        let said = std::mem::take(&mut *lock(&link.checks.inbox));
        for said in said {
            match said {
                Said::Found { seq, findings } => self.found(seq, findings)?,
                Said::Done { seq } => {
                    self.answered = self.answered.max(seq);
                    self.places = self.places.split_off(&(seq + 1));
                }
            }
        }
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            self.say(CheckReport::Progress(self.counted()))?;
        }
        Ok(())
    }

    fn say(&self, report: CheckReport) -> Result<(), CheckError> {
        if (self.report)(report) { Ok(()) } else { Err(CheckError::Unwanted) }
    }

    fn counted(&self) -> CheckCount {
        CheckCount { elapsed_ms: self.began.elapsed().as_millis() as u64, ..self.count }
    }

    fn found(&mut self, seq: u64, findings: Vec<Finding>) -> Result<(), CheckError> {
        let Some((dir, path)) = self.places.get(&seq).cloned() else { return Ok(()) };
        for finding in findings {
            self.count.differences += 1;
            if self.count.differences > FOUND_MAX {
                return Err(CheckError::Ended("there are more than 10000 differences: the rest was not looked at"));
            }
            let path = finding.name.map_or_else(|| path.to_path_buf(), |name| path.join(name));
            let path = path.to_string_lossy().into_owned();
            let difference = Difference { dir, path, differs: finding.differs, detail: finding.detail };
            self.say(CheckReport::Found(difference))?;
        }
        Ok(())
    }

    /// Appends a check; its place is remembered until the secondary has answered.
    fn append(&mut self, place: Place, body: &Body<'_>) -> Result<(), CheckError> {
        let seq = self.link.append_of_sync(place.0, body).ok_or(CheckError::Ended(BROKEN))?;
        self.places.insert(seq, place);
        Ok(())
    }

    /// Waits until the applications have their room. With no lock held.
    fn wait_for_room(&mut self, bytes: usize) -> Result<(), CheckError> {
        let wanted = (self.link.reserve() + bytes).min(self.link.ring.capacity());
        while self.link.ring.free() < wanted {
            self.check()?;
            std::thread::sleep(Duration::from_micros(200));
        }
        if self.places.len() >= REMEMBERED {
            self.settle(REMEMBERED / 2)?;
        }
        self.check()
    }

    /// Waits until at most so many checks are unanswered (at the last mark).
    fn settle(&mut self, left: usize) -> Result<(), CheckError> {
        if left == 0 || self.marked <= self.answered {
            self.marked = self.link.append_of_sync(0, &Body::CheckMark).ok_or(CheckError::Ended(BROKEN))?;
        }
        while self.answered < self.marked && (left == 0 || self.places.len() > left) {
            self.check()?;
            std::thread::sleep(TICK.min(Duration::from_millis(1)));
        }
        self.check()
    }

    /// The names of one directory, under the names' lock; then its files.
    fn directory(
        &mut self,
        dir: u16,
        id: FileId,
        path: &Rc<Path>,
        queue: &mut Vec<(FileId, Rc<Path>)>,
    ) -> Result<(), CheckError> {
        self.wait_for_room(4 * PAYLOAD_MAX)?;
        let files = {
            let _names = self.link.dirs[usize::from(dir)].order.read_names();
            match self.list(dir, id, path) {
                Err(CheckError::Io { source, .. }) if is_gone(&source) => return Ok(()),
                other => other?,
            }
        };
        for (name, id, stat) in files {
            let path: Rc<Path> = path.join(name).into();
            match stat.st_mode & libc::S_IFMT {
                libc::S_IFDIR => queue.push((id, path)),
                _ if stat.st_nlink > 1 && !self.linked.insert((dir, id.0)) => {}
                libc::S_IFREG => {
                    self.content(dir, id, &path)?;
                    self.attributes(dir, id, &path)?;
                }
                _ => self.attributes(dir, id, &path)?,
            }
        }
        Ok(())
    }

    fn list(&mut self, dir: u16, id: FileId, path: &Rc<Path>) -> Result<Vec<(PathBuf, FileId, Stat)>, CheckError> {
        let backing = self.backing(dir);
        let node = backing.node(id).map_err(at("opening a directory"))?;
        let names = backing.list(id).map_err(at("listing a directory"))?;
        let (mut first, mut part, mut files) = (true, Vec::new(), Vec::with_capacity(names.len()));
        for name in names {
            let name = Name::new(&name.name).map_err(at("a name"))?;
            let entry = backing.lookup_in(&node, &name).map_err(at("looking at a file"))?;
            let kind = entry.kind();
            let target = match kind {
                libc::S_IFLNK => backing.read_link(entry.id).map_err(at("reading a symbolic link"))?,
                _ => Vec::new(),
            };
            let rdev = if matches!(kind, libc::S_IFBLK | libc::S_IFCHR) { entry.stat.st_rdev } else { 0 };
            push_entry(&mut part, &Entry { name: name.as_bytes(), id: entry.id.0, kind, rdev, target: &target });
            files.push((as_path(name.as_bytes()), entry.id, entry.stat));
            if part.len() > PART {
                self.send_list(dir, id, path, (first, false), &part)?;
                first = false;
                part.clear();
            }
        }
        self.send_list(dir, id, path, (first, true), &part)?;
        Ok(files)
    }

    fn send_list(
        &mut self,
        dir: u16,
        id: FileId,
        path: &Rc<Path>,
        (first, last): (bool, bool),
        part: &[u8],
    ) -> Result<(), CheckError> {
        let entries = Entries::check(part).map_err(CheckError::Ended)?;
        while self.link.ring.free() < self.link.reserve() + 2 * PAYLOAD_MAX {
            self.check()?;
            std::thread::sleep(Duration::from_micros(200));
        }
        self.append((dir, path.clone()), &Body::CheckList { id: id.0, first, last, entries })
    }

    fn attributes(&mut self, dir: u16, id: FileId, path: &Rc<Path>) -> Result<(), CheckError> {
        self.wait_for_room(PAYLOAD_MAX)?;
        let link = self.link;
        let order = &link.dirs[usize::from(dir)].order;
        let _names = order.read_names();
        let _file = order.file(id);
        let Some(stat) = self.present(dir, id)? else { return Ok(()) };
        self.count.files += 1;
        let meta = meta::read(self.backing(dir), id).map_err(at("reading attributes"))?;
        let size = if stat.st_mode & libc::S_IFMT == libc::S_IFREG { stat.st_size as u64 } else { 0 };
        // Else the time will be told: see the front end.
        let times = self.backing(dir).table().flags(id) & TIMES == 0;
        self.append((dir, path.clone()), &Body::CheckMeta { id: id.0, size, times, meta: meta.as_meta() })
    }

    /// The file's attributes; none when it has no name any more.
    fn present(&self, dir: u16, id: FileId) -> Result<Option<Stat>, CheckError> {
        present(self.backing(dir), id).map_err(at("reading attributes"))
    }

    /// Asks for the digests of a file's zones.
    fn content(&mut self, dir: u16, id: FileId, path: &Rc<Path>) -> Result<(), CheckError> {
        let Some(stat) = self.present(dir, id)? else { return Ok(()) };
        let zones = (stat.st_size as u64).div_ceil(ZONE);
        for first in (0..zones).step_by(ASK as usize) {
            let count = ASK.min(zones - first);
            while self.awaited + count > WINDOW {
                self.take_answer()?;
            }
            self.wait_for_room(PAYLOAD_MAX)?;
            let ask = Body::AskDigests { id: id.0, first, count: count as u32 };
            self.link.append_of_sync(dir, &ask).ok_or(CheckError::Ended(BROKEN))?;
            let ours = self.link.pool.ask(Zones { dir, id, first, count });
            self.asked.push_back(Asked { place: (dir, path.clone()), id, first, count, ours });
            self.awaited += count;
        }
        Ok(())
    }

    fn take_answer(&mut self) -> Result<(), CheckError> {
        let Some((id, first, digests)) = self.link.replies.take(TICK) else { return self.check() };
        let Some(asked) = self.asked.pop_front() else { return Ok(()) };
        if (asked.id.0, asked.first) != (id, first) {
            return Err(CheckError::Ended("the other copy answered another question"));
        }
        self.awaited -= asked.count;
        let ours = loop {
            match asked.ours.take(TICK) {
                Some(ours) => break ours,
                None => self.check()?,
            }
        };
        if let Some(error) = ours.error {
            return if is_gone(&error) { Ok(()) } else { Err(at("reading a file")(error)) };
        }
        // A file that is gone there has fewer digests: the comparison in the stream says what that means.
        let theirs = digests.chunks(DIGEST_LEN).map(Some).chain(std::iter::repeat(None));
        for (zone, (ours, theirs)) in (asked.first..).zip(ours.digests.chunks(DIGEST_LEN).zip(theirs)) {
            if Some(ours) != theirs {
                self.compare_again(&asked, zone)?;
            }
            self.count.bytes += ZONE;
            self.pace.charge(Instant::now(), ZONE);
            std::thread::sleep(self.pace.due(Instant::now()));
            self.check()?;
        }
        Ok(())
    }

    /// Digests the zone under the file's lock: it is compared at this place of the stream.
    fn compare_again(&mut self, asked: &Asked, zone: u64) -> Result<(), CheckError> {
        self.wait_for_room(PAYLOAD_MAX)?;
        let (link, dir) = (self.link, asked.place.0);
        let _file = link.dirs[usize::from(dir)].order.file(asked.id);
        if self.present(dir, asked.id)?.is_none() {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let ours = digest(self.backing(dir), asked.id, zone, &mut buffer);
        self.buffer = buffer;
        let ours = ours.map_err(at("reading a file"))?;
        self.count.again += 1;
        self.append(asked.place.clone(), &Body::CheckZone { id: asked.id.0, zone, digest: &ours })
    }
}

fn as_path(name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(name))
}
