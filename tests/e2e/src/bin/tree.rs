//! `tree DIR`: one line for everything below a directory (and for itself): path, kind, mode, owner, group, size, link target or device, number of names,
//! extended attributes, BLAKE3 of the content; sorted by path. Two equal copies give equal lines.

use anyhow::Context;
use std::fmt::Write;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

fn main() -> anyhow::Result<()> {
    let root = std::env::args().nth(1).context("use: tree DIR")?;
    let mut lines = Vec::new();
    walk(Path::new(&root), Path::new(""), &mut lines)?;
    lines.sort();
    for line in lines {
        println!("{line}");
    }
    Ok(())
}

fn walk(root: &Path, below: &Path, lines: &mut Vec<String>) -> anyhow::Result<()> {
    let path = if below.as_os_str().is_empty() { root.join(".") } else { root.join(below) };
    let told = || path.display().to_string();
    let meta = std::fs::symlink_metadata(&path).with_context(told)?;
    lines.push(describe(&path, below, &meta).with_context(told)?);
    if !meta.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(&path).with_context(told)? {
        walk(root, &below.join(entry?.file_name()), lines)?;
    }
    Ok(())
}

fn describe(path: &Path, below: &Path, meta: &Metadata) -> anyhow::Result<String> {
    // A directory's size and number of names are its file system's own matter.
    let (size, names) = if meta.is_dir() { (0, 0) } else { (meta.size(), meta.nlink()) };
    let mut line =
        format!("{below:?} {} {:o} {}:{} {size} {names}", kind(meta), meta.mode() & 0o7777, meta.uid(), meta.gid());
    if meta.is_symlink() {
        write!(line, " -> {:?}", std::fs::read_link(path)?)?;
    } else if meta.file_type().is_block_device() || meta.file_type().is_char_device() {
        write!(line, " device {:x}", meta.rdev())?;
    }
    for (name, value) in xattrs(path)? {
        write!(line, " {name}={value:x?}")?;
    }
    if meta.is_file() {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(path)?)?;
        write!(line, " {}", hasher.finalize())?;
    }
    Ok(line)
}

fn kind(meta: &Metadata) -> char {
    let kind = meta.file_type();
    match () {
        () if kind.is_dir() => 'd',
        () if kind.is_file() => 'f',
        () if kind.is_symlink() => 'l',
        () if kind.is_fifo() => 'p',
        () if kind.is_socket() => 's',
        () => 'n',
    }
}

fn xattrs(path: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut buffer = vec![0; 64 << 10];
    let len = rustix::fs::llistxattr(path, buffer.as_mut_slice())?;
    let mut found = Vec::new();
    for name in buffer[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0; 64 << 10];
        let len = rustix::fs::lgetxattr(path, name.as_str(), value.as_mut_slice())?;
        value.truncate(len);
        found.push((name, value));
    }
    found.sort();
    Ok(found)
}
