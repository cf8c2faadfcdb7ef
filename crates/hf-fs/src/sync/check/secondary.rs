//! The secondary's half: comparing what the primary says with what is here, at that place of the stream.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use hf_wire::check::{CheckMessage, Differs, Finding};
use hf_wire::frame::{Body, DATA_MAX, Entries, Entry, Meta};
use rustix::fs::{AtFlags, Mode, OFlags};

use crate::backing::handle::Handle;
use crate::backing::{Backing, Name, Node};
use crate::link::Link;
use crate::pipeline::FileId;
use crate::sync::{digest, meta};

/// Findings in one message.
const PART: usize = 200;

/// See the module. Kept over the parts of one listing.
#[derive(Default)]
pub struct Comparison {
    names: HashSet<Vec<u8>>,
}

impl Comparison {
    /// One frame of a verification; says to the primary what differs. Nothing that is found here is an error of applying.
    pub fn take(&mut self, link: &Link, backing: &Backing, seq: u64, body: &Body<'_>) {
        let found = match *body {
            Body::CheckList { id, first, last, entries } => self.list(backing, FileId(id), first, last, entries),
            Body::CheckMeta { id, size, times, meta } => attributes(backing, FileId(id), size, times, &meta),
            Body::CheckZone { id, zone, digest } => content(backing, FileId(id), zone, digest),
            Body::CheckMark => {
                link.say_check(&CheckMessage::Done { seq });
                return;
            }
            _ => return,
        };
        match found {
            Ok(found) => {
                if !found.is_empty() {
                    // What was known of the copies isn't so: the next synchronisation compares everything.
                    link.distrust();
                }
                for part in found.chunks(PART) {
                    link.say_check(&CheckMessage::Found { seq, findings: part.to_vec() });
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::ESTALE) => {
                let gone = Finding { name: None, differs: Differs::Missing, detail: String::new() };
                link.say_check(&CheckMessage::Found { seq, findings: vec![gone] });
            }
            Err(error) => link.local_fault("reading for a verification", &error),
        }
    }

    fn list(
        &mut self,
        backing: &Backing,
        dir: FileId,
        first: bool,
        last: bool,
        entries: Entries<'_>,
    ) -> io::Result<Vec<Finding>> {
        if first {
            self.names.clear();
        }
        let node = backing.node(dir)?;
        let mut found = Vec::new();
        for entry in entries.iter() {
            let differs = compare_entry(backing, &node, &entry)?;
            let name = || Some(String::from_utf8_lossy(entry.name).into_owned());
            found.extend(differs.map(|differs| Finding { name: name(), differs, detail: String::new() }));
            self.names.insert(entry.name.to_vec());
        }
        if last {
            let names = std::mem::take(&mut self.names);
            for other in backing.list(dir)?.into_iter().filter(|other| !names.contains(&other.name)) {
                let name = Some(String::from_utf8_lossy(&other.name).into_owned());
                found.push(Finding { name, differs: Differs::Extra, detail: String::new() });
            }
        }
        Ok(found)
    }
}

/// Is the name this file here?
fn compare_entry(backing: &Backing, dir: &Node, entry: &Entry<'_>) -> io::Result<Option<Differs>> {
    let name = Name::new(entry.name)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd: OwnedFd = match rustix::fs::openat(dir, name.as_c_str(), flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(Some(Differs::Missing)),
        other => other?,
    };
    let handle = Handle::of(fd.as_fd())?;
    if backing.table().get(FileId(entry.id)).is_none_or(|known| known.handle != handle) {
        return Ok(Some(Differs::Replaced));
    }
    let same = match entry.kind {
        libc::S_IFLNK => rustix::fs::readlinkat(&fd, c"", Vec::new())?.as_bytes() == entry.target,
        libc::S_IFBLK | libc::S_IFCHR => rustix::fs::statat(&fd, c"", AtFlags::EMPTY_PATH)?.st_rdev == entry.rdev,
        _ => true,
    };
    Ok((!same).then_some(Differs::Target))
}

fn attributes(backing: &Backing, id: FileId, size: u64, times: bool, theirs: &Meta<'_>) -> io::Result<Vec<Finding>> {
    let stat = backing.stat(id)?;
    let ours = meta::read(backing, id)?;
    let ours = ours.as_meta();
    let mut found = Vec::new();
    let mut differ = |differs, detail| found.push(Finding { name: None, differs, detail });
    if stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_size as u64 != size {
        differ(Differs::Size, format!("primary {size} bytes, secondary {}", stat.st_size));
    }
    if ours.attrs.mode != theirs.attrs.mode {
        differ(Differs::Mode, format!("primary {:o}, secondary {:o}", theirs.attrs.mode, ours.attrs.mode));
    }
    if (ours.attrs.uid, ours.attrs.gid) != (theirs.attrs.uid, theirs.attrs.gid) {
        let owner = |meta: &Meta<'_>| format!("{}:{}", meta.attrs.uid, meta.attrs.gid);
        differ(Differs::Owner, format!("primary {}, secondary {}", owner(theirs), owner(&ours)));
    }
    if times && ours.mtime != theirs.mtime {
        let time = |meta: &Meta<'_>| format!("{}.{:09}", meta.mtime.sec, meta.mtime.nsec);
        differ(Differs::Time, format!("primary {}, secondary {}", time(theirs), time(&ours)));
    }
    if let Some(detail) = other_attributes(theirs, &ours) {
        differ(Differs::Attributes, detail);
    }
    Ok(found)
}

/// Which extended attributes aren't the same; their values may be secret.
fn other_attributes(theirs: &Meta<'_>, ours: &Meta<'_>) -> Option<String> {
    let all = |meta: &Meta<'_>| meta.xattrs.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect::<HashSet<_>>();
    let (theirs, ours) = (all(theirs), all(ours));
    let mut names: Vec<_> =
        theirs.symmetric_difference(&ours).map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    names.sort();
    names.dedup();
    (!names.is_empty()).then(|| names.join(", "))
}

fn content(backing: &Backing, id: FileId, zone: u64, theirs: &[u8]) -> io::Result<Vec<Finding>> {
    let mut buffer = vec![0; DATA_MAX];
    if digest::digest(backing, id, zone, &mut buffer)? == theirs {
        return Ok(Vec::new());
    }
    let (first, last) = (zone * DATA_MAX as u64, (zone + 1) * DATA_MAX as u64 - 1);
    let detail = format!("in bytes {first} to {last}");
    Ok(vec![Finding { name: None, differs: Differs::Content, detail }])
}
