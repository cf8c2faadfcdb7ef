//! The process that decodes a package: it has no rights, and writes nothing but a stream of records.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use rustix::process::{Gid, Resource, Rlimit, Uid, geteuid, setrlimit};
use rustix::thread::{
    UnshareFlags, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
};

use crate::install::open_file;
use crate::name::shown;
use crate::plan::Limits;
use crate::stream::{self, Record, TEXT_MAX};

/// The user `nobody`.
const NOBODY: u32 = 65_534;
/// Memory, of which a package's directory and the decoder's tables are most.
const MEMORY_MAX: u64 = 1 << 30;
/// Seconds of processor time.
const CPU_MAX_S: u64 = 60;

/// `holdfast unpack`: standard input is the package's file, standard output gets the records. Whatever is wrong with the package
/// is a record, too; an error means that nobody can be told.
pub fn decode_as_nobody() -> io::Result<()> {
    drop_rights()?;
    let package = File::from(rustix::io::dup(io::stdin())?);
    let mut out = BufWriter::new(io::stdout().lock());
    decode(package, &mut out, &Limits::default())?;
    out.flush()
}

/// Before the first byte of the package is read. No way back: also not by a set-user program, and no new process.
fn drop_rights() -> io::Result<()> {
    if geteuid().is_root() {
        // SAFETY: this thread is the only one, and shares nothing with another process. Without a network if it can be had:
        // some containers don't let root unshare.
        let _ = unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWIPC) };
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
    }
    set_no_new_privs(true)?;
    let limits = [
        (Resource::As, MEMORY_MAX),
        (Resource::Cpu, CPU_MAX_S),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}

/// Writes a package's records.
pub(crate) fn decode(package: File, out: &mut impl Write, limits: &Limits) -> io::Result<()> {
    let (mut archive, plan) = match open_file(Path::new("package"), package, limits) {
        Ok(opened) => opened,
        Err(error) => return refuse(out, &error),
    };
    for parts in &plan.directories {
        stream::write(out, &Record::Directory { name: parts.join("/") })?;
    }
    for file in &plan.files {
        let name = file.parts.join("/");
        stream::write(out, &Record::File { name, bytes: file.bytes, executable: file.executable })?;
        let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        // The size is promised by now: an entry of another size can only be answered by an end in the middle.
        let name = shown(file.parts.join("/").as_bytes());
        let entry = archive.by_index(file.index).map_err(|error| damaged(format!("{name}: {error}")))?;
        let copied = io::copy(&mut entry.take(file.bytes + 1), out)?;
        if copied != file.bytes {
            return Err(damaged(format!("{name} isn't of the size that it claims")));
        }
    }
    stream::write(out, &Record::End)
}

fn refuse(out: &mut impl Write, error: &crate::InstallError) -> io::Result<()> {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    let mut why: String = cause.chars().take(TEXT_MAX / 4).collect();
    if let Some(inner) = std::error::Error::source(error).and_then(std::error::Error::source) {
        why.push_str(&format!(": {inner}").chars().take(TEXT_MAX / 8).collect::<String>());
    }
    stream::write(out, &Record::Refused { why })
}
