//! Who writes below the backing directory past the mount while it is served: with a descriptor from before it was covered, or with one that
//! somebody handed over. What they write isn't replicated, and the copies differ until they are compared.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::Holder;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(30);

/// All processes but this that have something below `dir` open for writing, each with one file. Descriptors only: asking for a process's
/// mappings or command line can wait for a mount that it waits for.
pub fn writers_below(dir: &Path) -> Vec<Holder> {
    let own = std::process::id();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    // A process may end while it is looked at: then it writes nothing.
    numbered.filter(|pid| *pid != own).filter_map(|pid: u32| writer(pid, dir)).collect()
}

fn writer(pid: u32, dir: &Path) -> Option<Holder> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let open = fs::read_dir(process.join("fd")).ok()?.flatten();
    let path = open.filter_map(|fd| {
        let path = fs::read_link(fd.path()).ok().filter(|path| path.starts_with(dir))?;
        is_writable(&process.join("fdinfo").join(fd.file_name())).then_some(path)
    });
    let path = path.into_iter().next()?;
    let command = fs::read_to_string(process.join("comm")).unwrap_or_default();
    Some(Holder { pid, command: command.trim_end().to_owned(), path })
}

/// The line `flags:` of a descriptor, in octal.
fn is_writable(info: &Path) -> bool {
    let text = fs::read_to_string(info).unwrap_or_default();
    let flags = text.lines().find_map(|line| i32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    flags.is_some_and(|flags| flags & libc::O_PATH == 0 && flags & libc::O_ACCMODE != libc::O_RDONLY)
}

/// Looks every half a minute and names in the log whoever is found, once each; at a synchronisation everybody again. Ends when dropped.
pub struct Watch {
    asks: Sender<()>,
}

impl Watch {
    /// Over these backing directories. Without a thread nobody is named: then nothing else is missing.
    pub fn start(dirs: Vec<PathBuf>) -> Watch {
        Watch::telling(dirs, tell)
    }

    fn telling(dirs: Vec<PathBuf>, tell: impl Fn(&Holder) + Send + 'static) -> Watch {
        let (asks, asked) = channel();
        let look = move || {
            let mut told = BTreeSet::new();
            loop {
                match asked.recv_timeout(EVERY) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                    Ok(()) => told.clear(),
                }
                let found = dirs.iter().flat_map(|dir| writers_below(dir));
                found.filter(|holder| told.insert((holder.pid, holder.path.clone()))).for_each(|holder| tell(&holder));
            }
        };
        if let Err(error) = std::thread::Builder::new().name("writers".into()).spawn(look) {
            tracing::warn!(%error, "nobody looks who writes below the replicated directories past their mounts");
        }
        Watch { asks }
    }

    /// The copies are about to be compared: who writes past the mount makes them differ again.
    pub fn asker(&self) -> impl Fn() + Send + Sync + 'static {
        let asks = std::sync::Mutex::new(self.asks.clone());
        // The thread lives as long as somebody can ask; without one nobody is named.
        move || drop(asks.lock().map(|asks| asks.send(())))
    }
}

fn tell(holder: &Holder) {
    tracing::warn!(
        "{} (process {}) has {} open for writing, past the replicated directory: what it writes is on this server only. Stop it, then compare the copies (rfsverify)",
        holder.command,
        holder.pid,
        holder.path.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn only_who_can_write_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        fs::write(path.join("read"), b"").unwrap();
        let start = |input: Stdio, output: Stdio| {
            Command::new("sleep").arg("60").stdin(input).stdout(output).current_dir(&path).spawn().unwrap()
        };
        let mut reader = start(fs::File::open(path.join("read")).unwrap().into(), Stdio::null());
        let mut writer = start(Stdio::null(), fs::File::create(path.join("written")).unwrap().into());
        let found: Vec<_> = writers_below(&path).into_iter().map(|h| (h.pid, h.command, h.path)).collect();
        for child in [&mut reader, &mut writer] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(found, [(writer.id(), "sleep".to_owned(), path.join("written"))]);
        assert_eq!(writers_below(&path), []);
    }

    #[test]
    fn each_is_named_once_and_again_when_copies_are_compared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        let output = fs::File::create(path.join("written")).unwrap();
        let mut writer = Command::new("sleep").arg("300").stdout(output).spawn().unwrap();
        let (sender, named) = channel();
        let dirs = vec![path.clone(), path];
        let watch = Watch::telling(dirs, move |holder| sender.send(holder.pid).unwrap_or_default());
        let ask = watch.asker();
        let found: Vec<_> = (0..2)
            .map(|_| {
                ask();
                let first = named.recv_timeout(Duration::from_secs(60));
                // Below both directories, and named for one.
                (first, named.recv_timeout(Duration::from_millis(200)).is_err())
            })
            .collect();
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(found, [(Ok(writer.id()), true), (Ok(writer.id()), true)]);
    }
}
