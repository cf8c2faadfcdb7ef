//! What applications see through the mount. Needs root.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::process::Command;

use common::{Place, wait_until};

fn errno(error: std::io::Error) -> i32 {
    error.raw_os_error().unwrap()
}

#[test]
fn files_directories_links_and_names() {
    let place = Place::mirrored();
    fs::create_dir_all(place.at("a/b/c")).unwrap();
    fs::write(place.at("a/f"), b"content").unwrap();
    fs::hard_link(place.at("a/f"), place.at("a/b/g")).unwrap();
    let (f, g) = (fs::metadata(place.at("a/f")).unwrap(), fs::metadata(place.at("a/b/g")).unwrap());
    assert_eq!((f.ino(), f.nlink()), (g.ino(), 2));
    symlink("../f", place.at("a/b/s")).unwrap();
    assert_eq!(fs::read(place.at("a/b/s")).unwrap(), b"content");
    fs::rename(place.at("a/b/g"), place.at("a/b/c/h")).unwrap();
    fs::remove_file(place.at("a/f")).unwrap();
    assert_eq!(fs::metadata(place.at("a/b/c/h")).unwrap().nlink(), 1);
    assert_eq!(errno(fs::remove_dir(place.at("a")).unwrap_err()), libc::ENOTEMPTY);
    let long = "x".repeat(255);
    fs::write(place.at(&long), b"1").unwrap();
    assert_eq!(errno(fs::write(place.at(&format!("{long}x")), b"1").unwrap_err()), libc::ENAMETOOLONG);
    fs::remove_file(place.at(&long)).unwrap();
    assert_eq!(fs::read(place.backing().join("a/b/c/h")).unwrap(), b"content");
    place.assert_mirrored();
    fs::remove_dir_all(place.at("a")).unwrap();
    assert_eq!(fs::read_dir(place.backing()).unwrap().count(), 0);
    place.assert_mirrored();
}

#[test]
fn a_large_directory_lists_each_entry_once() {
    let place = Place::mirrored();
    for i in 0..2000 {
        File::create(place.at(&format!("file-with-a-longer-name-{i:05}"))).unwrap();
    }
    let names: std::collections::HashSet<_> =
        fs::read_dir(place.mount()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2000);
    assert_eq!(fs::read_dir(place.mount()).unwrap().count(), 2000);
    place.assert_mirrored();
}

#[test]
fn appending_from_two_descriptors_loses_nothing() {
    let place = Place::mirrored();
    let threads: Vec<_> = (0..2)
        .map(|n| {
            let path = place.at("log");
            std::thread::spawn(move || {
                let mut log = OpenOptions::new().append(true).create(true).open(path).unwrap();
                (0..500).for_each(|i| log.write_all(format!("{n} {i:06}\n").as_bytes()).unwrap());
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    let text = fs::read_to_string(place.at("log")).unwrap();
    assert_eq!(text.lines().count(), 1000);
    assert!(text.lines().all(|line| line.len() == 8));
    place.assert_mirrored();
}

#[test]
fn shared_mappings_reach_the_backing_file() {
    let place = Place::mirrored();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(place.at("m")).unwrap();
    file.set_len(8192).unwrap();
    // SAFETY: a fresh shared mapping of two pages that exist.
    unsafe {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let map = libc::mmap(std::ptr::null_mut(), 8192, prot, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(map, libc::MAP_FAILED);
        std::ptr::copy_nonoverlapping(b"mapped".as_ptr(), map.cast::<u8>().add(5000), 6);
        assert_eq!(libc::msync(map, 8192, libc::MS_SYNC), 0);
        libc::munmap(map, 8192);
    }
    assert_eq!(&fs::read(place.backing().join("m")).unwrap()[5000..5006], b"mapped");
    place.assert_mirrored();
}

#[test]
fn an_open_file_lives_on_without_a_name() {
    let place = Place::mirrored();
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(place.at("u")).unwrap();
    file.write_all(b"before").unwrap();
    fs::remove_file(place.at("u")).unwrap();
    assert_eq!(fs::read_dir(place.hold()).unwrap().count(), 1);
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    file.write_all(b" and after").unwrap();
    file.sync_all().unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "before and after");
    drop(file);
    wait_until("the file is gone", || fs::read_dir(place.hold()).unwrap().count() == 0);
    place.assert_mirrored();
}

#[test]
fn a_replaced_open_file_lives_on_too() {
    let place = Place::mirrored();
    fs::write(place.at("old"), b"old content").unwrap();
    let old = File::open(place.at("old")).unwrap();
    fs::write(place.at("new"), b"new").unwrap();
    fs::rename(place.at("new"), place.at("old")).unwrap();
    let mut buffer = [0; 11];
    old.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"old content");
    assert_eq!(fs::read(place.at("old")).unwrap(), b"new");
    drop(old);
    wait_until("the file is gone", || fs::read_dir(place.hold()).unwrap().count() == 0);
    place.assert_mirrored();
}

/// Runs as nobody, so that set-id bits are to be cleared.
fn as_nobody(script: &str, file: &std::path::Path) {
    let done = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script, "sh"])
        .arg(file)
        .status()
        .unwrap();
    assert!(done.success(), "{script}");
}

#[test]
fn writing_and_truncating_clear_set_id_bits() {
    let place = Place::mirrored();
    for script in ["echo x >>\"$1\"", ": >\"$1\"", "truncate -s 1 \"$1\""] {
        let path = place.at("suid");
        fs::write(&path, b"some content").unwrap();
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6777)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o6777);
        let dir = path.parent().unwrap().parent().unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        as_nobody(script, &path);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o777, "{script}");
        assert_eq!(fs::metadata(place.backing().join("suid")).unwrap().mode() & 0o7777, 0o777, "{script}");
    }
    // root keeps them, as on any file system.
    fs::set_permissions(place.at("suid"), fs::Permissions::from_mode(0o4755)).unwrap();
    OpenOptions::new().append(true).open(place.at("suid")).unwrap().write_all(b"y").unwrap();
    assert_eq!(fs::metadata(place.at("suid")).unwrap().mode() & 0o7777, 0o4755);
    std::os::unix::fs::chown(place.at("suid"), Some(1), Some(1)).unwrap();
    assert_eq!(fs::metadata(place.at("suid")).unwrap().mode() & 0o7777, 0o755, "chown clears them");
    place.assert_mirrored();
}

#[test]
fn new_files_belong_to_who_makes_them() {
    let place = Place::mirrored();
    let dir = place.at("shared");
    fs::create_dir(&dir).unwrap();
    std::os::unix::fs::chown(&dir, Some(0), Some(77)).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o2777)).unwrap();
    let above = dir.parent().unwrap().parent().unwrap();
    fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
    as_nobody("umask 027; cd \"$1\"; echo x >f; mkdir d; mkfifo p; ln -s f l", &dir);
    let f = fs::metadata(dir.join("f")).unwrap();
    assert_eq!((f.uid(), f.gid(), f.mode() & 0o7777), (65534, 77, 0o640));
    let d = fs::metadata(dir.join("d")).unwrap();
    assert_eq!((d.uid(), d.gid(), d.mode() & 0o7777), (65534, 77, 0o2750));
    assert_eq!(fs::symlink_metadata(dir.join("l")).unwrap().uid(), 65534);
    assert_eq!(fs::metadata(dir.join("p")).unwrap().mode() & libc::S_IFMT, libc::S_IFIFO);
    place.assert_mirrored();
}

#[test]
fn holes_allocation_and_extended_attributes() {
    let place = Place::mirrored();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(place.at("s")).unwrap();
    file.write_all_at(b"end", 1 << 20).unwrap();
    // SAFETY: plain system calls on an open file.
    unsafe {
        assert_eq!(libc::lseek(file.as_raw_fd(), 0, libc::SEEK_DATA), 1 << 20);
        assert_eq!(libc::lseek(file.as_raw_fd(), 0, libc::SEEK_HOLE), 0);
        assert_eq!(libc::fallocate(file.as_raw_fd(), 0, 0, 4096), 0);
        let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        assert_eq!(libc::fallocate(file.as_raw_fd(), punch, 1 << 20, 4096), 0);
        assert_eq!(libc::fsetxattr(file.as_raw_fd(), c"user.k".as_ptr(), b"v".as_ptr().cast(), 1, 0), 0);
        let mut value = [0u8; 8];
        let n = libc::fgetxattr(file.as_raw_fd(), c"user.k".as_ptr(), value.as_mut_ptr().cast(), 8);
        assert_eq!((n, value[0]), (1, b'v'));
        assert_eq!(libc::fremovexattr(file.as_raw_fd(), c"user.k".as_ptr()), 0);
        assert_eq!(libc::fremovexattr(file.as_raw_fd(), c"user.k".as_ptr()), -1);
    }
    assert_eq!(file.metadata().unwrap().len(), (1 << 20) + 3);
    let mut end = [1; 3];
    file.read_exact_at(&mut end, 1 << 20).unwrap();
    assert_eq!(end, [0; 3]);
    drop(file);
    place.assert_mirrored();
}

#[test]
fn an_o_dsync_write_and_o_direct_work() {
    let place = Place::new();
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_DSYNC | libc::O_APPEND)
        .open(place.at("w"))
        .unwrap();
    (&file).write_all(b"one").unwrap();
    (&file).write_all(b"two").unwrap();
    assert_eq!(fs::read(place.at("w")).unwrap(), b"onetwo");
    let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(place.at("w"));
    assert!(direct.is_ok_and(|mut file| file.read_to_end(&mut Vec::new()).is_ok()));
}

#[test]
fn a_secondary_can_be_read_and_not_changed() {
    let place = Place::with_role("secondary");
    fs::write(place.backing().join("f"), b"first").unwrap();
    assert_eq!(fs::read(place.at("f")).unwrap(), b"first");
    let erofs = |result: std::io::Result<()>| assert_eq!(errno(result.unwrap_err()), libc::EROFS);
    erofs(fs::write(place.at("g"), b"x"));
    erofs(OpenOptions::new().append(true).open(place.at("f")).map(drop));
    erofs(fs::create_dir(place.at("d")));
    erofs(fs::remove_file(place.at("f")));
    erofs(fs::rename(place.at("f"), place.at("g")));
    erofs(fs::hard_link(place.at("f"), place.at("g")));
    erofs(symlink("f", place.at("l")));
    erofs(fs::set_permissions(place.at("f"), fs::Permissions::from_mode(0o600)));
    // Nothing is cached: what the applier changes is seen.
    fs::write(place.backing().join("f"), b"later").unwrap();
    assert_eq!(fs::read(place.at("f")).unwrap(), b"later");
    fs::rename(place.backing().join("f"), place.backing().join("h")).unwrap();
    assert_eq!(fs::read(place.at("f")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs::read(place.at("h")).unwrap(), b"later");
}

#[test]
fn a_role_changes_without_a_new_mount_and_old_descriptors_lose() {
    let mut place = Place::new();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(place.at("f")).unwrap();
    file.write_all_at(b"primary", 0).unwrap();
    assert_eq!(fs::metadata(place.at("f")).unwrap().len(), 7);
    assert_eq!(fs::metadata(place.at("gone")).unwrap_err().kind(), ErrorKind::NotFound);

    place.change_role("Secondary Ok");
    assert_eq!(errno(fs::write(place.at("x"), b"").unwrap_err()), libc::EROFS);
    assert_eq!(errno(file.write_all_at(b"z", 0).unwrap_err()), libc::EROFS);
    // What the kernel had cached for a day is asked for again.
    fs::write(place.backing().join("f"), b"other content").unwrap();
    fs::write(place.backing().join("gone"), b"came").unwrap();
    assert_eq!(fs::metadata(place.at("f")).unwrap().len(), 13);
    assert_eq!(fs::read(place.at("gone")).unwrap(), b"came");
    let mut buffer = [0; 13];
    file.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"other content");

    place.change_role("Primary Ok");
    fs::write(place.at("x"), b"").unwrap();
    assert_eq!(errno(file.write_all_at(b"z", 0).unwrap_err()), libc::EROFS, "opened in an earlier tenure");
    let again = OpenOptions::new().write(true).open(place.at("f")).unwrap();
    again.write_all_at(b"z", 0).unwrap();
}

#[test]
fn mapped_stores_are_written_back_before_the_role_changes() {
    let mut place = Place::new();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(place.at("m")).unwrap();
    file.set_len(64 << 20).unwrap();
    // SAFETY: a fresh shared mapping of pages that exist.
    let map = unsafe {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let map = libc::mmap(std::ptr::null_mut(), 64 << 20, prot, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(map, libc::MAP_FAILED);
        std::slice::from_raw_parts_mut(map.cast::<u8>(), 64 << 20)
    };
    map.fill(7);
    place.change_role("Secondary Ok");
    let back = fs::read(place.backing().join("m")).unwrap();
    assert!(back.iter().all(|b| *b == 7), "{} bytes are missing", back.iter().filter(|b| **b != 7).count());
}

#[test]
fn modifications_wait_at_a_closed_gate_and_nothing_else_does() {
    let mut place = Place::mirrored();
    fs::write(place.at("f"), b"before").unwrap();
    fs::create_dir(place.at("quiet")).unwrap();
    fs::write(place.at("quiet/g"), b"readable").unwrap();
    assert!(place.turn_gate().starts_with("gate Closed"));
    // More than there are threads: none of them may be held.
    let jobs: Vec<_> = (0..20)
        .map(|n| {
            let (new, old) = (place.at(&format!("new{n}")), place.at("f"));
            std::thread::spawn(move || match n % 4 {
                0 => fs::write(new, b"made").unwrap(),
                1 => File::open(old).unwrap().sync_all().unwrap(),
                2 => fs::create_dir(new).unwrap(),
                _ => OpenOptions::new().append(true).open(old).unwrap().write_all(b"+").unwrap(),
            })
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(jobs.iter().all(|job| !job.is_finished()));
    // Elsewhere: who reads a page that is being written, or lists a directory that is being changed, waits in the kernel.
    assert_eq!(fs::read(place.at("quiet/g")).unwrap(), b"readable");
    assert_eq!(fs::read_dir(place.at("quiet")).unwrap().count(), 1);
    let opened = place.turn_gate();
    assert!(opened.starts_with("gate Open"), "{opened}");
    jobs.into_iter().for_each(|job| job.join().unwrap());
    assert_eq!(fs::read(place.at("f")).unwrap(), b"before+++++");
    assert_eq!(fs::read_dir(place.mount()).unwrap().count(), 12);
    place.assert_mirrored();
}
