//! What one can do to a node's disk: `disk`, `fill`, `unfill`.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use crate::disk::control::{Ask, Mode, ask};
use crate::error::{Context, LabError, Result};
use crate::process::{ProcessId, check};
use crate::state::{DiskKind, Lab};

/// What becomes of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DiskFault {
    /// Every request fails.
    Eio,
    /// Every request takes so much longer.
    Slow,
    /// No request is answered.
    Hang,
    /// Healthy again.
    Heal,
    /// A new, empty disk; the node must be off.
    Replace,
}

/// Changes how a node's disk behaves until `heal` or the next power-on.
pub fn set(lab: &Lab, node: &str, fault: DiskFault, delay: Option<&str>) -> Result<()> {
    lab.check_node(node)?;
    if (fault == DiskFault::Slow) != delay.is_some() {
        return Err(LabError::Usage("only `slow` takes a time, and it needs one: `disk NODE slow 200ms`".to_owned()));
    }
    let mode = match fault {
        DiskFault::Eio => Mode::Eio,
        DiskFault::Slow => Mode::Slow { delay_ms: parse_ms(delay.unwrap_or_default())? },
        DiskFault::Hang => Mode::Hang,
        DiskFault::Heal => Mode::Healthy,
        DiskFault::Replace => return replace(lab, node),
    };
    if lab.disk != DiskKind::Volatile {
        return Err(LabError::Failed("a fast disk can't be made to fail: `up` without --disk fast".to_owned()));
    }
    alive(lab, node)?;
    ask(&lab.paths().disk_socket(node), &Ask::Mode(mode)).map(|_| ())
}

fn replace(lab: &Lab, node: &str) -> Result<()> {
    if lab.machine(node)?.alive().is_some() {
        return Err(LabError::Failed(format!("{node} has power: power it off before its disk is replaced")));
    }
    let image = lab.paths().image(node);
    std::fs::remove_file(&image).context(|| format!("removing {}", image.display()))
}

fn alive(lab: &Lab, node: &str) -> Result<ProcessId> {
    lab.machine(node)?.alive().ok_or_else(|| LabError::Failed(format!("{node} is powered off")))
}

/// `200ms` or `2s`.
fn parse_ms(text: &str) -> Result<u64> {
    let (digits, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1000),
        (None, None) => (text, 0),
    };
    match digits.parse::<u64>() {
        Ok(n) if unit > 0 && n * unit <= 600_000 => Ok(n * unit),
        _ => Err(LabError::Usage(format!("{text:?} is no time: 200ms, 2s; at most 600s"))),
    }
}

/// `4096`, `64k`, `1M`, `2G`: bytes.
fn parse_bytes(text: &str) -> Result<u64> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        _ => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .filter(|n| *n < 1 << 30)
        .map(|n| n << shift)
        .ok_or_else(|| LabError::Usage(format!("{text:?} is no size: 4096, 64k, 1M, 2G")))
}

fn filler(init: &ProcessId) -> PathBuf {
    init.proc("root/.lab-fill")
}

/// Takes all free space of the node's disk but `leave`. Root's reserve too: Holdfast is root.
pub fn fill(lab: &Lab, node: &str, leave: &str) -> Result<()> {
    lab.check_node(node)?;
    let leave = parse_bytes(leave)?;
    let path = filler(&alive(lab, node)?);
    let what = || format!("filling the disk of {node}");
    let mut file = File::create(&path).context(what)?;
    let free = nix::sys::statvfs::fstatvfs(&file).context(what)?;
    let mut size = free.blocks_free() * free.fragment_size();
    // ext4 keeps some of what it calls free (megabytes, for its own blocks): the largest size that it grants is found by trying.
    const STEP: u64 = 1 << 20;
    loop {
        // SAFETY: an open descriptor.
        let done = check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, size as libc::off_t) });
        match done {
            Ok(()) => break,
            Err(e) if e.raw_os_error() == Some(libc::ENOSPC) && size > STEP => size -= STEP,
            Err(e) => return Err(e).context(what),
        }
    }
    top_up(&mut file, size).context(what)?;
    let filled = file.metadata().context(what)?.len();
    file.set_len(filled.saturating_sub(leave)).context(what)?;
    file.sync_all().context(what)
}

/// Writes block after block until there is none left.
fn top_up(file: &mut File, size: u64) -> std::io::Result<()> {
    use std::io::Seek;
    file.seek(std::io::SeekFrom::Start(size))?;
    loop {
        // Delayed allocation would find out later: each block is asked for now.
        match file.write_all(&[0; 4096]).and_then(|()| file.sync_data()) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(libc::ENOSPC) => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}

/// Gives the space back.
pub fn unfill(lab: &Lab, node: &str) -> Result<()> {
    lab.check_node(node)?;
    let path = filler(&alive(lab, node)?);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(LabError::Failed(format!("the disk of {node} was not filled")))
        }
        other => other.context(|| format!("emptying the disk of {node}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(parse_ms("200ms").unwrap(), 200);
        assert_eq!(parse_ms("2s").unwrap(), 2000);
        assert_eq!(parse_bytes("1M").unwrap(), 1 << 20);
        assert_eq!(parse_bytes("0").unwrap(), 0);
        for wrong in ["", "5", "ms", "-1s", "9999s", "1h"] {
            assert_eq!(parse_ms(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
        for wrong in ["", "M", "-1", "1T", "99999999999G"] {
            assert_eq!(parse_bytes(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
