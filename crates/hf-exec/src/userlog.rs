//! What scripts and the application print (reference 004, 13.7.3).
//!
//! Everything goes to `SAFEVAR/modules/AM/userlog.ulog`: a file and no pipe, because an application may hold it for years without
//! anybody reading. What one run added is copied into a file of its own beside it when the run has ended.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A run's file holds at most this; the rest is in the user log.
const RUN_LOG_MAX: u64 = 4 << 20;
/// So many files of runs are kept.
const RUN_LOGS_KEPT: usize = 200;
/// Runs of one script that begin in the same second.
const SAME_SECOND_MAX: u32 = 20;

/// Opens the log so that every write goes to its end, also from processes that keep it for years and
/// over a truncation.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// One line that says what the lines below it belong to. Arguments are escaped: a line break in one
/// must not look like a line of another script.
pub(crate) fn write_header(log: &mut File, script: &Path, args: &[String]) -> io::Result<()> {
    let name = script.file_name().unwrap_or(OsStr::new("?")).to_string_lossy();
    let mut line = format!("----- {} {}", local_time(c"%Y-%m-%d %H:%M:%S"), name.escape_debug());
    for arg in args {
        line.push(' ');
        line.extend(arg.escape_debug());
    }
    line.push_str(" -----\n");
    // One write, so that two scripts never mix their lines.
    log.write_all(line.as_bytes())
}

/// Empties the log if it has reached `limit_kb` KiB; to be called when the module starts. What was in it is kept as
/// `userlog.ulog.1` if there is room. A log that doesn't exist is below every limit. Says whether it was emptied.
pub fn truncate_userlog(path: &Path, limit_kb: u64) -> io::Result<bool> {
    let mut log = match OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let full = log.metadata()?.len() >= limit_kb.saturating_mul(1024);
    if full {
        let kept = keep_former(path, &mut log, limit_kb.saturating_mul(2048));
        log.set_len(0)?;
        kept?;
    }
    Ok(full)
}

/// The end of the log as `userlog.ulog.1`. The file itself can't be renamed: the application holds it.
fn keep_former(path: &Path, log: &mut File, at_most: u64) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    remove_if_there(Path::new(&name))?;
    let mut former = create_new(Path::new(&name))?;
    let end = log.metadata()?.len();
    log.seek(SeekFrom::Start(end.saturating_sub(at_most)))?;
    io::copy(&mut log.take(at_most), &mut former).map(drop)
}

/// What a run added to the user log: from where, and when it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLog {
    log: PathBuf,
    from: u64,
    to: u64,
    stamp: String,
    script: String,
}

impl RunLog {
    /// To be called before the run's first line is written.
    pub(crate) fn begin(log: &Path, file: &File, script: &Path, args: &[String]) -> io::Result<RunLog> {
        let name = script.file_name().unwrap_or(OsStr::new("script")).to_string_lossy();
        let force = if args.first().is_some_and(|arg| arg == "force") { "_force" } else { "" };
        let from = file.metadata()?.len();
        let stamp = local_time(c"%Y-%m-%dT%H%M%S");
        Ok(RunLog { log: log.to_owned(), from, to: from, stamp, script: format!("{name}{force}") })
    }

    /// To be called when the run has ended.
    pub(crate) fn end(mut self) -> RunLog {
        self.to = fs::metadata(&self.log).map_or(self.from, |meta| meta.len());
        self
    }

    /// Writes `userlog_<date>T<time>_<script>.ulog` beside the user log (`stop_prim_force` for the forced call), then removes the
    /// oldest such files until they have no more than `limit_kb` KiB together. Gives the file's path.
    pub fn save(&self, limit_kb: u64) -> io::Result<PathBuf> {
        let dir = self.log.parent().unwrap_or(Path::new("/"));
        let (path, mut target) = self.create(dir)?;
        let mut log = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&self.log)?;
        // Shorter than it was: emptied meanwhile, and what is there now is this run's.
        let from = if self.to < self.from { 0 } else { self.from };
        log.seek(SeekFrom::Start(from))?;
        io::copy(&mut log.take((self.to - from).min(RUN_LOG_MAX)), &mut target)?;
        remove_old_runs(dir, limit_kb.saturating_mul(1024))?;
        Ok(path)
    }

    fn create(&self, dir: &Path) -> io::Result<(PathBuf, File)> {
        let name = |count: u32| match count {
            1 => format!("userlog_{}_{}.ulog", self.stamp, self.script),
            _ => format!("userlog_{}_{}-{count}.ulog", self.stamp, self.script),
        };
        let mut count = 1;
        loop {
            let path = dir.join(name(count));
            match create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && count < SAME_SECOND_MAX => count += 1,
                other => return other.map(|file| (path, file)),
            }
        }
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o640).open(path)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The newest always stays.
fn remove_old_runs(dir: &Path, bytes_kept: u64) -> io::Result<()> {
    let mut runs: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("userlog_") && name.ends_with(".ulog") {
            let meta = entry.metadata()?;
            runs.push((meta.modified()?, entry.path(), meta.len()));
        }
    }
    runs.sort_unstable_by(|a, b| b.cmp(a));
    let mut bytes = 0u64;
    for (count, (_, path, len)) in runs.iter().enumerate() {
        bytes = bytes.saturating_add(*len);
        if count >= RUN_LOGS_KEPT || (count > 0 && bytes > bytes_kept) {
            remove_if_there(path)?;
        }
    }
    Ok(())
}

/// The date in the zone of the machine, as administrators read it.
fn local_time(format: &std::ffi::CStr) -> String {
    let mut text = [0u8; 32];
    // SAFETY: all pointers are to live local values; strftime writes at most text.len() bytes and
    // returns how many. A zeroed tm is a valid one should localtime_r fail.
    let len = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut parts: libc::tm = std::mem::zeroed();
        libc::localtime_r(&now, &mut parts);
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), &parts)
    };
    String::from_utf8_lossy(&text[..len]).into_owned()
}
