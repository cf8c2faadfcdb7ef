//! The process that looks: whatever hangs here holds nobody else up.

use super::seen::Seen;
use super::walk::Walks;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, open, statvfs};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// So much is written.
const PROBE: [u8; 4096] = [b'h'; 4096];

/// Looks at the file system of `dir` for each line of `input`, and answers with a line; until `input` ends. Meanwhile a thread finds out
/// from time to time which of its directories grow. With `write` a little is written each time, into a file without a name.
///
/// # Errors
/// When an answer can't be written.
pub fn serve(dir: &Path, write: bool, input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let walks = Arc::new(Mutex::new(Walks::default()));
    let (of_thread, root) = (walks.clone(), dir.to_owned());
    // Without it nobody says which directory grew.
    drop(std::thread::Builder::new().name("walk".to_owned()).spawn(move || super::walk::repeat(&root, &of_thread)));
    for line in input.lines() {
        line?;
        let mut seen = look(dir, write);
        seen.grew = walks.lock().unwrap_or_else(PoisonError::into_inner).grew(std::time::Instant::now());
        writeln!(output, "{}", seen.line())?;
        output.flush()?;
    }
    Ok(())
}

fn look(dir: &Path, write: bool) -> Seen {
    let failed = |what: &str, error: Errno| Seen {
        error: format!("{what}: {}", io::Error::from(error)),
        errno: error.raw_os_error(),
        ..Seen::default()
    };
    let stat = match statvfs(dir) {
        Ok(stat) => stat,
        Err(error) => return failed("it can't be looked at", error),
    };
    let tried = if write { try_write(dir) } else { Ok(()) };
    let seen = tried.err().map(|(what, error)| failed(what, error)).unwrap_or_default();
    Seen {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        ..seen
    }
}

/// A page, as far as the disk.
fn try_write(dir: &Path) -> Result<(), (&'static str, Errno)> {
    let mut file = unnamed(dir).map_err(|error| ("no file can be made", error))?;
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    file.write_all(&PROBE).map_err(|error| ("nothing can be written", errno(error)))?;
    file.sync_all().map_err(|error| ("what is written doesn't reach the disk", errno(error)))
}

/// A file without a name; where the file system knows no such, one whose name is taken away at once.
fn unnamed(dir: &Path) -> Result<File, Errno> {
    let (mode, flags) = (Mode::RUSR | Mode::WUSR, OFlags::WRONLY | OFlags::CLOEXEC);
    match open(dir, flags | OFlags::TMPFILE, mode) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let path = dir.join(format!(".holdfast-disk-{}", std::process::id()));
            // Of an earlier process that was killed in between.
            drop(std::fs::remove_file(&path));
            let file = open(&path, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode)?;
            rustix::fs::unlink(&path)?;
            Ok(file.into())
        }
        other => other.map(File::from),
    }
}
