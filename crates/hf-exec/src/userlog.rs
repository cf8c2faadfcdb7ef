//! `SAFEVAR/modules/AM/userlog.ulog`: what scripts and the application print (reference 004, 13.7.3).

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens the log so that every write goes to its end, also from processes that keep it for years and
/// over a truncation.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// One line that says what the lines below it belong to. Arguments are escaped: a line break in one
/// must not look like a line of another script.
pub(crate) fn write_header(log: &mut File, script: &Path, args: &[String]) -> io::Result<()> {
    let name = script.file_name().unwrap_or(OsStr::new("?")).to_string_lossy();
    let mut line = format!("----- {} {}", local_time(), name.escape_debug());
    for arg in args {
        line.push(' ');
        line.extend(arg.escape_debug());
    }
    line.push_str(" -----\n");
    // One write, so that two scripts never mix their lines.
    log.write_all(line.as_bytes())
}

/// Empties the log if it has reached `limit_kb` KiB; to be called when the module starts. A log that
/// doesn't exist is below every limit. Says whether it was emptied.
pub fn truncate_userlog(path: &Path, limit_kb: u64) -> io::Result<bool> {
    let log = match OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let full = log.metadata()?.len() >= limit_kb.saturating_mul(1024);
    if full {
        log.set_len(0)?;
    }
    Ok(full)
}

/// The date in the zone of the machine, as administrators read it.
fn local_time() -> String {
    let mut text = [0u8; 32];
    // SAFETY: all pointers are to live local values; strftime writes at most text.len() bytes and
    // returns how many. A zeroed tm is a valid one should localtime_r fail.
    let len = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut parts: libc::tm = std::mem::zeroed();
        libc::localtime_r(&now, &mut parts);
        let format = c"%Y-%m-%d %H:%M:%S".as_ptr();
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format, &parts)
    };
    String::from_utf8_lossy(&text[..len]).into_owned()
}
