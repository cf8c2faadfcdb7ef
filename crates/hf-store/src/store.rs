use crate::db::{self, Opened, ResourceRow, SCHEMA_VERSION};
use crate::ring::{RingBatch, RingError, RingPosition, RingReader};
use hf_types::{CommandLine, Level, LogLine, ModuleName};
use rusqlite::Connection;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Jobs that may wait for the writing thread.
const QUEUE: usize = 4096;
/// Lines taken out of a ring in one transaction.
const BATCH: usize = 1000;
/// Rows written between two looks at the limits.
const TRIM_EVERY: u64 = 1000;
/// After a failure the database is tried again this much later.
const RETRY: Duration = Duration::from_secs(5);
/// What was written is on the disk this much later: a power cut costs no more of the log. Not at once, because the disk is the
/// application's too, and has other things to do just when there is much to log.
const SYNC_AFTER: Duration = Duration::from_secs(1);
/// How long closing waits for the jobs that are queued.
const FAREWELL: Duration = Duration::from_secs(2);

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of log, and of resource history, a module.
    pub rows_per_module: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { rows_per_module: 50_000 }
    }
}

/// Something that the administrator should read in the daemon's own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(pub String);

/// Why a query gave nothing.
#[derive(Debug, thiserror::Error)]
#[error("the log database {path} can't be read; the daemon tries to repair it by itself, see its own log")]
pub struct QueryError {
    path: PathBuf,
    #[source]
    source: rusqlite::Error,
}

enum Job {
    Line(ModuleName, LogLine),
    Resource(ModuleName, ResourceRow),
    Command(CommandLine),
    CleanLog(ModuleName),
    CleanResources(ModuleName),
    /// Module and the directory of its rings.
    Ingest(ModuleName, PathBuf),
    /// Answered when everything queued before is in the database (or was given up).
    Flush(SyncSender<()>),
}

/// The database and its one writing thread. Cheap to clone. Adding never waits; what finds the queue full is dropped and
/// counted.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    queue: Option<SyncSender<Job>>,
    dropped: AtomicU64,
    thread: Option<JoinHandle<()>>,
    reader: Mutex<Option<Connection>>,
}

impl Store {
    /// Processes that have rings.
    pub const PROCESSES: [&'static str; 2] = ["heart", "rfs"];

    /// Starts the thread; it opens the database by itself, so that a disk that hangs holds nobody up. `notice` is called by
    /// the thread.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn open(path: &Path, limits: Limits, notice: impl Fn(Notice) + Send + 'static) -> io::Result<Store> {
        let (queue, jobs) = sync_channel(QUEUE);
        let mut writer = Writer {
            path: path.to_owned(),
            limits,
            notice: Box::new(notice),
            connection: None,
            retry_at: None,
            written: 0,
            unsynced_since: None,
            lost: 0,
        };
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(&jobs))?;
        Ok(Store {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                queue: Some(queue),
                dropped: AtomicU64::new(0),
                thread: Some(thread),
                reader: Mutex::new(None),
            }),
        })
    }

    /// Adds a line of the daemon's own to a module's log.
    pub fn add_line(&self, module: &ModuleName, line: LogLine) {
        self.add(Job::Line(module.clone(), line));
    }

    /// Adds a value of a resource; the same value as before is not stored again.
    pub fn add_resource(&self, module: &ModuleName, row: ResourceRow) {
        self.add(Job::Resource(module.clone(), row));
    }

    /// Adds a line to the commands log.
    pub fn add_command(&self, line: CommandLine) {
        self.add(Job::Command(line));
    }

    /// Forgets a module's log.
    pub fn clean_log(&self, module: &ModuleName) {
        self.add(Job::CleanLog(module.clone()));
    }

    /// Forgets the history of a module's resources.
    pub fn clean_resources(&self, module: &ModuleName) {
        self.add(Job::CleanResources(module.clone()));
    }

    /// Takes new lines out of a module's rings (`heart.ring`, `rfs.ring` in `directory`).
    pub fn ingest(&self, module: &ModuleName, directory: &Path) {
        self.add(Job::Ingest(module.clone(), directory.to_owned()));
    }

    /// Waits until everything added before is stored (at most `patience`); false if that took too long.
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let (done, wait) = sync_channel(1);
        while !self.queue(Job::Flush(done.clone())) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        wait.recv_timeout(left).is_ok()
    }

    /// What was dropped because the thread didn't keep up.
    pub fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    fn add(&self, job: Job) -> bool {
        let taken = self.queue(job);
        if !taken {
            self.inner.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn queue(&self, job: Job) -> bool {
        let queue = self.inner.queue.as_ref();
        queue.is_some_and(|queue| queue.try_send(job).is_ok())
    }

    /// The last `last` lines of a module at these levels, oldest first. Reads a disk: not for a loop that must not wait.
    pub fn log(&self, module: &ModuleName, last: u32, levels: &[Level]) -> Result<Vec<LogLine>, QueryError> {
        self.query(|connection| db::log(connection, module.as_str(), last, levels))
    }

    /// The lines of a module behind row `after` at these levels, oldest first (without it the last `last`), and the row behind
    /// which to go on. Reads a disk.
    pub fn log_after(
        &self,
        module: &ModuleName,
        after: Option<i64>,
        last: u32,
        levels: &[Level],
    ) -> Result<(Vec<LogLine>, i64), QueryError> {
        self.query(|connection| db::log_after(connection, module.as_str(), after, last, levels))
    }

    /// The last values that a module's resources, or one of them, took, oldest first. Reads a disk.
    pub fn resources(
        &self,
        module: &ModuleName,
        name: Option<&str>,
        last: u32,
    ) -> Result<Vec<ResourceRow>, QueryError> {
        self.query(|connection| db::resources(connection, module.as_str(), name, last))
    }

    /// The last lines of this node's commands log, oldest first. Reads a disk.
    pub fn commands(&self, last: u32) -> Result<Vec<CommandLine>, QueryError> {
        self.query(|connection| db::commands(connection, last))
    }

    /// Asks on a connection of its own. After an error the connection is made anew: the file may have been replaced.
    fn query<T>(&self, ask: impl Fn(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, QueryError> {
        let mut reader = self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match reader.take() {
            Some(connection) => Ok(connection),
            None => db::open_to_read(&self.inner.path),
        };
        let answer = connection.and_then(|connection| {
            let answer = ask(&connection)?;
            *reader = Some(connection);
            Ok(answer)
        });
        answer.map_err(|source| QueryError { path: self.inner.path.clone(), source })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None;
        let deadline = Instant::now() + FAREWELL;
        while let Some(thread) = &self.thread
            && !thread.is_finished()
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

struct Writer {
    path: PathBuf,
    limits: Limits,
    notice: Box<dyn Fn(Notice) + Send>,
    connection: Option<Connection>,
    retry_at: Option<Instant>,
    written: u64,
    unsynced_since: Option<Instant>,
    /// Rows that could not be stored since the last notice.
    lost: u64,
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Db(#[from] rusqlite::Error),
    #[error(transparent)]
    Ring(#[from] RingError),
}

impl Writer {
    fn run(&mut self, jobs: &Receiver<Job>) {
        self.ready();
        loop {
            match jobs.recv_timeout(SYNC_AFTER) {
                Ok(first) => {
                    for job in std::iter::once(first).chain(jobs.try_iter().take(BATCH)) {
                        self.do_job(job);
                    }
                    self.trim_sometimes();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.sync(),
            }
            if self.unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_AFTER) {
                self.sync();
            }
        }
    }

    /// A checkpoint syncs the write-ahead log, then the database.
    fn sync(&mut self) {
        self.unsynced_since = None;
        let Some(connection) = &self.connection else {
            return;
        };
        let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = done {
            self.failed(&WriteError::Db(error));
        }
    }

    fn do_job(&mut self, job: Job) {
        if let Job::Flush(done) = job {
            // Nobody waits any more: nothing to tell.
            let _gone = done.send(());
            return;
        }
        if !self.ready() {
            self.lost += 1;
            return;
        }
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let result = self.perform(&mut connection, job);
        self.connection = Some(connection);
        if let Err(error) = result {
            self.failed(&error);
        }
    }

    fn perform(&mut self, connection: &mut Connection, job: Job) -> Result<(), WriteError> {
        self.written += 1;
        self.unsynced_since.get_or_insert_with(Instant::now);
        match job {
            Job::Line(module, line) => db::add_line(connection, module.as_str(), &line)?,
            Job::Resource(module, row) => db::add_resource(connection, module.as_str(), &row, false)?,
            Job::Command(line) => db::add_command(connection, &line)?,
            Job::CleanLog(module) => db::clean_log(connection, module.as_str())?,
            Job::CleanResources(module) => db::clean_resources(connection, module.as_str())?,
            Job::Ingest(module, directory) => self.ingest(connection, &module, &directory)?,
            Job::Flush(_) => {}
        }
        Ok(())
    }

    fn ingest(&mut self, connection: &mut Connection, module: &ModuleName, directory: &Path) -> Result<(), WriteError> {
        loop {
            let read = |process: &str, position| read_ring(&directory.join(format!("{process}.ring")), position);
            let done = db::ingest(connection, module.as_str(), &Store::PROCESSES, read)?;
            self.written += done.lines;
            if !done.more {
                return Ok(());
            }
        }
    }

    /// Whether there is a database; opens or repairs it if it is time.
    fn ready(&mut self) -> bool {
        if self.connection.is_some() {
            return true;
        }
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        match db::open(&self.path) {
            Ok(opened) => self.opened(opened),
            Err(error) => {
                self.retry_at = Some(Instant::now() + RETRY);
                self.tell(format!(
                    "the log database {} can't be opened, it is tried again: {error}",
                    self.path.display()
                ));
            }
        }
        self.connection.is_some()
    }

    fn opened(&mut self, opened: Opened) {
        self.connection = Some(opened.connection);
        self.retry_at = None;
        if let Some((aside, why)) = opened.moved_aside {
            self.tell(format!(
                "the log database was damaged or foreign ({why}): it was moved to {}, a new one of schema version {SCHEMA_VERSION} begins",
                aside.display()
            ));
        }
        if self.lost > 0 {
            self.tell(format!("{} log rows could not be stored", self.lost));
            self.lost = 0;
        }
    }

    fn failed(&mut self, error: &WriteError) {
        self.lost += 1;
        let WriteError::Db(error) = error else {
            return self.tell(error.to_string());
        };
        self.connection = None;
        if db::is_damage(error) {
            // The next job opens it, finds the damage and moves it aside; if it looks well by then, that is fine too.
            if let Err(error) = db::move_aside(&self.path) {
                self.tell(format!("the damaged log database stays: {error}"));
            }
        } else {
            self.retry_at = Some(Instant::now() + RETRY);
        }
        self.tell(format!("writing to the log database failed: {error}"));
    }

    fn trim_sometimes(&mut self) {
        if self.written < TRIM_EVERY {
            return;
        }
        self.written = 0;
        if let Some(connection) = &self.connection
            && let Err(error) = db::trim(connection, self.limits.rows_per_module)
        {
            self.failed(&WriteError::Db(error));
        }
    }

    fn tell(&self, text: String) {
        (self.notice)(Notice(text));
    }
}

/// No ring yet: nothing to read. A ring that is none any more: its writer makes it anew.
fn read_ring(path: &Path, position: RingPosition) -> Result<RingBatch, WriteError> {
    let nothing = RingBatch { position, ..RingBatch::default() };
    match RingReader::open(path).and_then(|ring| ring.read(position, BATCH)) {
        Err(RingError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(nothing),
        Err(RingError::NoRing { .. }) => Ok(nothing),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests;
