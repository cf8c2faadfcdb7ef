//! The side that may write: it reads records from a process that it doesn't trust, and puts files where they belong.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::{InstallError, Refused};
use crate::install::{copy, create_file, finish_directory, finish_file, join, make_directory};
use crate::name::{parts, shown};
use crate::plan::Limits;
use crate::stream::{self, Record};

/// How long decoding may take altogether.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `decoder` with the package as its standard input, and writes what it says into `fresh`, which must not be there.
pub(crate) fn unpack(
    decoder: &mut Command,
    package_file: &Path,
    fresh: &Path,
    limits: &Limits,
) -> Result<(), InstallError> {
    let unreadable = |source| InstallError::Read { path: package_file.to_owned(), source };
    let package = File::open(package_file).map_err(unreadable)?;
    let mut child = decoder
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(package))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| InstallError::Decoder { path: package_file.to_owned(), source })?;
    let done = match child.stdout.take() {
        Some(stdout) => {
            let mut from = Bounded { stdout, end: Instant::now() + PATIENCE };
            Receiver {
                package_file,
                fresh,
                limits,
                from: &mut from,
                names: BTreeSet::new(),
                directories: Vec::new(),
                bytes: 0,
            }
            .receive()
        }
        None => Ok(()),
    };
    end(&mut child);
    done
}

/// It is of no use any more, whatever it does.
fn end(child: &mut Child) {
    // Both fail only if it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// A pipe that is read until a point in time.
struct Bounded {
    stdout: ChildStdout,
    end: Instant,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.stdout.as_fd(), PollFlags::IN)], Some(&timeout))? {
            0 => Err(io::Error::new(io::ErrorKind::TimedOut, "decoding it takes too long")),
            _ => self.stdout.read(buffer),
        }
    }
}

struct Receiver<'a, R> {
    package_file: &'a Path,
    fresh: &'a Path,
    limits: &'a Limits,
    from: &'a mut R,
    names: BTreeSet<Vec<String>>,
    directories: Vec<PathBuf>,
    bytes: u64,
}

impl<R: Read> Receiver<'_, R> {
    fn receive(mut self) -> Result<(), InstallError> {
        make_directory(self.fresh)?;
        loop {
            match stream::read(self.from).map_err(|source| self.damaged("its directory", source))? {
                Record::File { name, bytes, executable } => self.file(&name, bytes, executable)?,
                Record::Directory { name } => {
                    let parts = self.judged(&name)?;
                    let path = join(self.fresh, &parts);
                    make_directory(&path)?;
                    self.directories.push(path);
                }
                Record::Refused { why } => return Err(self.refused(Refused::Decoder { why: shown_sentence(&why) })),
                Record::End => return self.finish(),
            }
        }
    }

    fn file(&mut self, name: &str, bytes: u64, executable: bool) -> Result<(), InstallError> {
        let parts = self.judged(name)?;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.total_bytes {
            return Err(self.refused(Refused::ContentsTooLarge { limit: self.limits.total_bytes }));
        }
        let path = join(self.fresh, &parts);
        let mut out = create_file(&path)?;
        let name = shown(name.as_bytes());
        let package_file = self.package_file.to_owned();
        let damaged = |source| InstallError::Damaged { path: package_file.clone(), name: name.clone(), source };
        copy(&mut self.from.take(bytes), &mut out, bytes, &path, &damaged)?;
        finish_file(&out, &path, executable)
    }

    /// The parts of a name that may stand in a package, and did not stand in it yet.
    fn judged(&mut self, name: &str) -> Result<Vec<String>, InstallError> {
        let parts = parts(name, self.limits.depth);
        let parts = parts.map_err(|why| self.refused(Refused::BadName { name: shown(name.as_bytes()), why }))?;
        let parts: Vec<String> = parts.into_iter().map(str::to_owned).collect();
        if self.names.len() >= self.limits.entries {
            let (count, limit) = (self.names.len() + 1, self.limits.entries);
            return Err(self.refused(Refused::TooManyEntries { count, limit }));
        }
        if !self.names.insert(parts.clone()) {
            return Err(self.refused(Refused::Duplicate { name: shown(name.as_bytes()) }));
        }
        Ok(parts)
    }

    fn finish(mut self) -> Result<(), InstallError> {
        let configuration = ["conf".to_owned(), "userconfig.xml".to_owned()];
        if !self.names.contains(configuration.as_slice()) || !self.fresh.join("conf/userconfig.xml").is_file() {
            return Err(self.refused(Refused::NotAModule));
        }
        self.directories.reverse();
        self.directories.push(self.fresh.to_owned());
        self.directories.iter().try_for_each(|directory| finish_directory(directory))
    }

    fn refused(&self, reason: Refused) -> InstallError {
        InstallError::Refused { path: self.package_file.to_owned(), reason }
    }

    fn damaged(&self, name: &str, source: io::Error) -> InstallError {
        InstallError::Damaged { path: self.package_file.to_owned(), name: name.to_owned(), source }
    }
}

/// A sentence from the other process: on one line, nothing that a terminal obeys.
fn shown_sentence(text: &str) -> String {
    text.chars().take(1000).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
