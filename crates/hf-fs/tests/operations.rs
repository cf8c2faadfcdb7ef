//! What applications do with a file system besides reading and writing, on a mount that another copy follows: each works as on a local file
//! system, or is refused as one that hasn't got it, and both copies are equal. Needs root.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use common::pair::Pair;
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, StatxFlags, XattrFlags};
use rustix::io::Errno;

fn in_step() -> Pair {
    let mut pair = Pair::start("second");
    pair.connect();
    pair.synchronise();
    pair
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

/// A lock of an open file description or of a process, which may be refused.
fn lock(file: &File, command: i32, kind: i32) -> Result<(), i32> {
    // SAFETY: all zeros are a lock of the whole file.
    let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
    wanted.l_type = kind as libc::c_short;
    // SAFETY: an open file and a lock that lives as long as the call.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut wanted) };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap()) }
}

#[test]
fn locks_of_all_three_kinds_exclude_each_other_on_this_node() {
    let pair = in_step();
    let path = pair.primary.mount().join("locked");
    let (one, two) = (open(&path), open(&path));
    rustix::fs::flock(&one, FlockOperation::LockExclusive).unwrap();
    assert_eq!(rustix::fs::flock(&two, FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK));
    rustix::fs::flock(&one, FlockOperation::Unlock).unwrap();
    rustix::fs::flock(&two, FlockOperation::NonBlockingLockShared).unwrap();
    assert_eq!(lock(&one, libc::F_OFD_SETLK, libc::F_WRLCK), Ok(()));
    assert_eq!(lock(&two, libc::F_OFD_SETLK, libc::F_RDLCK), Err(libc::EAGAIN));
    assert_eq!(lock(&two, libc::F_SETLK, libc::F_RDLCK), Err(libc::EAGAIN), "a process's lock meets it, too");
    assert_eq!(lock(&one, libc::F_OFD_SETLK, libc::F_UNLCK), Ok(()));
    assert_eq!(lock(&two, libc::F_SETLK, libc::F_WRLCK), Ok(()));
    assert_eq!(lock(&one, libc::F_OFD_SETLK, libc::F_WRLCK), Err(libc::EAGAIN));
    // The secondary's applications lock among themselves: this one's locks are not theirs.
    let there = pair.secondary.mount().join("locked");
    common::wait_until("the file is there, too", || there.exists());
    let other = File::open(there).unwrap();
    rustix::fs::flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    drop((one, two, other));
    pair.stop_and_compare();
}

/// `system.posix_acl_*` as the kernel takes it: version 2, then tag, permissions and id of each entry.
fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[test]
fn extended_attributes_of_all_namespaces_and_access_control_lists_are_replicated() {
    let pair = in_step();
    let (here, there) = (pair.primary.mount(), pair.secondary.mount());
    let file = open(&here.join("f"));
    let longest = "user.".to_owned() + &"n".repeat(250);
    for name in ["user.a", "trusted.b", "security.c", &longest] {
        rustix::fs::fsetxattr(&file, name, b"value", XattrFlags::CREATE).unwrap();
    }
    let nobody = u32::MAX;
    let own_list = list(&[(1, 6, nobody), (2, 7, 1234), (4, 4, nobody), (16, 7, nobody), (32, 0, nobody)]);
    rustix::fs::fsetxattr(&file, "system.posix_acl_access", &own_list, XattrFlags::empty()).unwrap();
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o670, "the mask is the group's permissions");
    fs::create_dir(here.join("d")).unwrap();
    rustix::fs::setxattr(here.join("d"), "system.posix_acl_default", &own_list, XattrFlags::empty()).unwrap();
    for name in ["d/file", "d/sub/deeper"] {
        fs::create_dir_all(here.join(name).parent().unwrap()).unwrap();
        fs::write(here.join(name), b"inherits").unwrap();
        let mut value = [0; 200];
        rustix::fs::getxattr(here.join(name), "system.posix_acl_access", &mut value).unwrap();
    }
    // Who changes the content of a program takes its capabilities away, whoever it is.
    let capability = [&0x0200_0000u32.to_le_bytes()[..], &[0; 16]].concat();
    rustix::fs::fsetxattr(&file, "security.capability", &capability, XattrFlags::empty()).unwrap();
    (&file).write_all(b"changed").unwrap();
    assert_eq!(rustix::fs::fgetxattr(&file, "security.capability", &mut [0; 64]), Err(Errno::NODATA));
    file.sync_all().unwrap();
    let mut value = [0; 5];
    rustix::fs::getxattr(there.join("f"), "trusted.b", &mut value).unwrap();
    assert_eq!(&value, b"value");
    drop(file);
    pair.stop_and_compare();
}

/// What new entries get from a default list, of the root too, is what a local file system gives them: the list decides, not the mask.
#[test]
fn a_default_list_decides_instead_of_the_mask_in_the_root_too() {
    let pair = in_step();
    let nobody = u32::MAX;
    let inherited = list(&[(1, 7, nobody), (2, 7, 1234), (4, 5, nobody), (16, 7, nobody), (32, 1, nobody)]);
    let local = tempfile::tempdir().unwrap();
    let make = |root: &Path| {
        rustix::fs::setxattr(root, "system.posix_acl_default", &inherited, XattrFlags::empty()).unwrap();
        let script =
            "umask 077; echo x > file; mkdir -m 0770 some; mkdir dir; mkfifo fifo; echo x > dir/file; ln -s file link";
        let done = std::process::Command::new("sh").args(["-c", script]).current_dir(root).status().unwrap();
        assert!(done.success());
        let of = |name: &str| {
            let of_list = |list: &str| {
                let mut value = [0; 200];
                let len = rustix::fs::lgetxattr(root.join(name), list, &mut value).unwrap_or(0);
                value[..len].to_vec()
            };
            let mode = fs::symlink_metadata(root.join(name)).unwrap().mode();
            (
                name.to_owned(),
                format!("{mode:o}"),
                of_list("system.posix_acl_access"),
                of_list("system.posix_acl_default"),
            )
        };
        ["file", "some", "dir", "fifo", "dir/file", "link"].map(of)
    };
    assert_eq!(make(&pair.primary.mount()), make(local.path()));
    pair.stop_and_compare();
}

#[test]
fn special_files_links_and_odd_times_are_replicated() {
    let pair = in_step();
    let at = |name: &str| pair.primary.mount().join(name);
    let mode = Mode::from_raw_mode(0o604);
    let device = rustix::fs::makedev(1, 3);
    let kinds = [
        (FileType::Fifo, 0),
        (FileType::Socket, 0),
        (FileType::CharacterDevice, device),
        (FileType::BlockDevice, device),
    ];
    for (n, (kind, device)) in kinds.into_iter().enumerate() {
        let path = at(&format!("special{n}"));
        rustix::fs::mknodat(CWD, &path, kind, mode, device).unwrap();
        std::os::unix::fs::chown(&path, Some(1000 + n as u32), Some(7)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1600 + n as u32)).unwrap();
        rustix::fs::setxattr(&path, "trusted.t", b"on a special file", XattrFlags::empty()).unwrap();
        rustix::fs::linkat(CWD, &path, CWD, at(&format!("link{n}")), AtFlags::empty()).unwrap();
    }
    std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    std::os::unix::fs::symlink("x".repeat(4095), at("far")).unwrap();
    std::os::unix::fs::lchown(at("far"), Some(5), Some(6)).unwrap();
    let old = rustix::fs::Timespec { tv_sec: -1, tv_nsec: 999_999_999 };
    let times = rustix::fs::Timestamps { last_access: old, last_modification: old };
    for name in ["far", "special0", "special2"] {
        rustix::fs::utimensat(CWD, at(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let meta = fs::symlink_metadata(at(name)).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (-1, 999_999_999));
    }
    pair.stop_and_compare();
}

#[test]
fn content_that_goes_past_write_is_replicated() {
    let pair = in_step();
    let at = |name: &str| pair.primary.mount().join(name);
    let source = open(&at("source"));
    source.write_all_at(&[7; 300_000], 0).unwrap();
    let copy = open(&at("copy"));
    let (mut from, mut to) = (1_000, 50_000);
    while from < 300_000 {
        let left = 300_000 - from as usize;
        assert_ne!(rustix::fs::copy_file_range(&source, Some(&mut from), &copy, Some(&mut to), left).unwrap(), 0);
    }
    assert_eq!(copy.metadata().unwrap().len(), 349_000);
    assert_ne!(rustix::fs::sendfile(&copy, &source, Some(&mut 0), 100_000).unwrap(), 0);
    // SAFETY: copying by `FICLONE` takes a descriptor as a number.
    assert_eq!(
        unsafe { libc::ioctl(copy.as_raw_fd(), 0x4004_9409, source.as_raw_fd()) },
        -1,
        "no shared blocks through FUSE"
    );
    let flags = libc::O_DIRECT | libc::O_DSYNC;
    let direct = OpenOptions::new().write(true).create_new(true).custom_flags(flags).open(at("direct")).unwrap();
    let layout = std::alloc::Layout::from_size_align(65_536, 4_096).unwrap();
    // SAFETY: a fresh allocation of that layout, never freed.
    let block = unsafe { std::slice::from_raw_parts_mut(std::alloc::alloc_zeroed(layout), 65_536) };
    for n in 0..8u8 {
        block.fill(n + 1);
        direct.write_all_at(block, u64::from(n) * 65_536).unwrap();
    }
    assert_eq!(fs::read(at("direct")).unwrap()[7 * 65_536 + 1], 8);
    // What was acknowledged is there, seen from the other side.
    assert_eq!(fs::metadata(pair.secondary.mount().join("direct")).unwrap().len(), 8 * 65_536);
    drop((source, copy, direct));
    pair.stop_and_compare();
}

/// A directory so deep that its path has 4,095 bytes: each name is as long as names may be.
#[test]
fn the_longest_names_and_paths_work_and_longer_ones_are_refused() {
    let pair = in_step();
    let name = "n".repeat(255);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut dir: OwnedFd = rustix::fs::open(pair.primary.mount(), flags, Mode::empty()).unwrap();
    let mut path = pair.primary.mount();
    // Deeper than any path reaches.
    for _ in 0..20 {
        rustix::fs::mkdirat(&dir, &name, Mode::from_raw_mode(0o755)).unwrap();
        dir = rustix::fs::openat(&dir, &name, flags, Mode::empty()).unwrap();
        path.push(&name);
    }
    assert_eq!(rustix::fs::mkdirat(&dir, "x".repeat(256), Mode::empty()), Err(Errno::NAMETOOLONG));
    assert_eq!(fs::metadata(&path).unwrap_err().raw_os_error(), Some(libc::ENAMETOOLONG));
    let file = rustix::fs::openat(&dir, &name, OFlags::CREATE | OFlags::RDWR, Mode::from_raw_mode(0o600)).unwrap();
    rustix::io::write(&file, b"deep").unwrap();
    rustix::fs::fsync(&file).unwrap();
    let mut longest = pair.primary.mount();
    while longest.as_os_str().len() + 256 < 4095 {
        longest.push(&name);
    }
    let rest = 4095 - longest.as_os_str().len() - 1;
    if rest > 0 {
        longest.push("f".repeat(rest));
        fs::write(&longest, b"at the limit").unwrap();
        assert_eq!(longest.as_os_str().len(), 4095);
        assert_eq!(fs::read(&longest).unwrap(), b"at the limit");
    }
    drop((dir, file));
    pair.stop_and_compare();
}

#[test]
fn what_isnt_there_is_refused_as_file_systems_do() {
    let pair = in_step();
    let here = pair.primary.mount();
    let nameless = rustix::fs::open(&here, OFlags::TMPFILE | OFlags::RDWR, Mode::from_raw_mode(0o600));
    assert_eq!(nameless.unwrap_err(), Errno::OPNOTSUPP, "programs make a named file then");
    let file = open(&here.join("f"));
    file.write_all_at(b"content", 0).unwrap();
    let whiteout = rustix::fs::renameat_with(CWD, here.join("f"), CWD, here.join("g"), RenameFlags::WHITEOUT);
    assert_eq!(whiteout, Err(Errno::INVAL));
    let collapse = rustix::fs::FallocateFlags::COLLAPSE_RANGE;
    assert_eq!(rustix::fs::fallocate(&file, collapse, 0, 4096), Err(Errno::OPNOTSUPP));
    let seen = rustix::fs::statx(&file, c"", AtFlags::EMPTY_PATH, StatxFlags::ALL).unwrap();
    assert_eq!(seen.stx_mask & StatxFlags::BTIME.bits(), 0, "no time of birth is better than a wrong one");
    // A descriptor gets a second name, as programs do it that use it for nameless files.
    let by_number = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    rustix::fs::linkat(CWD, by_number, CWD, here.join("second"), AtFlags::SYMLINK_FOLLOW).unwrap();
    let mut text = String::new();
    File::open(here.join("second")).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    drop(file);
    pair.stop_and_compare();
}
