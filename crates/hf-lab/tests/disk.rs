//! The volatile disk by itself: what a flush makes durable, and that nothing else does.
//!
//! Each test serves an image, mounts it (in a namespace of the test's own thread), does I/O, cuts, and serves the image again.

mod common;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const BLOCK: usize = 4096;

/// A directory of this test, and the image in it.
struct Bench {
    dir: PathBuf,
}

impl Bench {
    fn new(test: &str) -> Self {
        // SAFETY: moves this thread alone into a mount namespace of its own.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "root is needed");
        run("/bin/mount", &["--make-rprivate", "/"]);
        let dir = std::env::temp_dir().join(format!("hf-disk-{}-{test}", std::process::id()));
        std::fs::create_dir_all(dir.join("mnt")).unwrap();
        let image = File::create(dir.join("image")).unwrap();
        image.set_len(256 << 20).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn make_ext4(&self) {
        let image = self.path("image");
        run("/sbin/mkfs.ext4", &["-q", "-F", "-b", "4096", image.to_str().unwrap()]);
    }

    fn serve(&self) -> Disk<'_> {
        let mut server = Command::new(common::BINARY)
            .args(["lab", "--name", "disk-test", "serve-disk", "--machine", "node1", "--image"])
            .arg(self.path("image"))
            .arg("--mount")
            .arg(self.path("fuse"))
            .arg("--socket")
            .arg(self.path("socket"))
            .args(["--cache-mib", "64"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Disk { bench: self, server, device: format!("/dev/loop{}", line.trim()) }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir_all(&self.dir);
        // A test that failed may still have it mounted; its own panic tells more.
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

/// A disk under power.
struct Disk<'a> {
    bench: &'a Bench,
    server: Child,
    device: String,
}

impl Disk<'_> {
    fn ask(&self, what: &str) -> serde_json::Value {
        let mut stream = UnixStream::connect(self.bench.path("socket")).unwrap();
        writeln!(stream, "\"{what}\"").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn count(&self, what: &str) -> u64 {
        self.ask("report")[what].as_u64().unwrap()
    }

    /// The block device itself, past the page cache.
    fn raw(&self) -> File {
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(&self.device).unwrap()
    }

    fn mount(&self) -> PathBuf {
        let at = self.bench.path("mnt");
        run("/bin/mount", &["-t", "ext4", &self.device, at.to_str().unwrap()]);
        at
    }

    /// A process that another test is just starting holds our open files until its exec: then it is busy for a moment.
    fn unmount(&self) {
        let at = self.bench.path("mnt");
        common::eventually("unmounted", std::time::Duration::from_secs(60), || {
            Command::new("/bin/umount").arg(&at).stderr(Stdio::null()).status().unwrap().success()
        });
    }

    /// The cache is gone before anything is unmounted.
    fn cut(mut self, mounted: bool) {
        self.ask("cut");
        if mounted {
            self.unmount();
        }
        self.ask("quit");
        self.server.wait().unwrap();
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Only when a test failed is it still there.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}");
}

/// A block whose address O_DIRECT accepts.
#[repr(align(4096))]
struct Block([u8; BLOCK]);

fn put(device: &File, block: u64, value: u8) {
    device.write_all_at(&Block([value; BLOCK]).0, block * BLOCK as u64).unwrap();
}

fn get(device: &File, block: u64) -> u8 {
    let mut data = Block([0; BLOCK]);
    device.read_exact_at(&mut data.0, block * BLOCK as u64).unwrap();
    assert!(data.0.iter().all(|b| *b == data.0[0]), "a torn block");
    data.0[0]
}

/// `W1=5` writes 5 to block 1, `F` flushes. Every order of writes and flushes leaves exactly what the last flush covered.
#[test]
fn of_raw_writes_exactly_those_before_a_flush_survive() {
    let bench = Bench::new("raw");
    let cases: &[(&str, &[(u64, u8)])] = &[
        ("W1=1", &[(1, 0)]),
        ("W1=1 F", &[(1, 1)]),
        ("W1=1 F W2=2", &[(1, 1), (2, 0)]),
        ("W1=1 W2=2 F", &[(1, 1), (2, 2)]),
        ("W1=1 F W1=2", &[(1, 1)]),
        ("W1=1 F W1=2 F W1=3", &[(1, 2)]),
        ("W9=1 W3=1 F W3=2 W9=2 W4=2", &[(3, 1), (4, 0), (9, 1)]),
        ("F W1=1", &[(1, 0)]),
    ];
    for (script, expected) in cases {
        let image = File::create(bench.path("image")).unwrap();
        image.set_len(256 << 20).unwrap();
        let disk = bench.serve();
        let device = disk.raw();
        for step in script.split(' ') {
            match step.strip_prefix('W').and_then(|s| s.split_once('=')) {
                Some((block, value)) => put(&device, block.parse().unwrap(), value.parse().unwrap()),
                None => device.sync_all().unwrap(),
            }
        }
        for (block, _) in script.split(' ').filter_map(|s| s.strip_prefix('W')?.split_once('=')) {
            assert_ne!(get(&device, block.parse().unwrap()), 0, "a disk reads what was written");
        }
        drop(device);
        disk.cut(false);
        let disk = bench.serve();
        let device = disk.raw();
        for (block, value) in *expected {
            assert_eq!(get(&device, *block), *value, "{script}: block {block}");
        }
        drop(device);
        disk.cut(false);
    }
}

#[test]
fn what_the_kernel_wrote_back_without_a_flush_is_lost() {
    let bench = Bench::new("writeback");
    bench.make_ext4();
    let disk = bench.serve();
    let path = disk.mount().join("file");
    // Blocks are allocated and the size is durable, so that later writes change data alone.
    std::fs::write(&path, vec![b'a'; 1 << 20]).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.sync_all().unwrap();
    let (flushes, writes) = (disk.count("flushes"), disk.count("writes"));

    file.write_all_at(&vec![b'b'; 1 << 20], 0).unwrap();
    let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: an open descriptor.
    assert_eq!(unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, all) }, 0);
    assert!(disk.count("writes") > writes, "writeback reached the disk");
    assert_eq!(disk.count("flushes"), flushes, "and did not flush it");
    assert!(disk.count("unflushed_bytes") >= 1 << 20);
    drop(file);
    disk.cut(true);

    let disk = bench.serve();
    let found = std::fs::read(disk.mount().join("file")).unwrap();
    assert_eq!(found.len(), 1 << 20);
    assert!(found.iter().all(|b| *b == b'a'), "written back, never flushed: lost");
    disk.cut(true);
}

#[test]
fn every_fsync_that_returned_is_kept_and_the_file_system_is_clean() {
    let bench = Bench::new("fsync");
    bench.make_ext4();
    let mut seed = u64::from(std::process::id());
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..5 {
        let disk = bench.serve();
        let dir = disk.mount();
        let mut synced = Vec::new();
        for number in 0..40 {
            let path = dir.join(format!("{round}-{number}"));
            let content = vec![b'0' + (number % 10) as u8; 1 + random(100_000) as usize];
            let mut file = File::create(&path).unwrap();
            file.write_all(&content).unwrap();
            if random(2) == 0 {
                file.sync_all().unwrap();
                synced.push((path, content));
            }
        }
        disk.cut(true);
        let disk = bench.serve();
        disk.mount();
        for (path, content) in &synced {
            assert!(std::fs::read(path).unwrap() == *content, "{}", path.display());
        }
        disk.unmount();
        run("/sbin/e2fsck", &["-f", "-n", &disk.device]);
        disk.cut(false);
    }
}

#[test]
fn a_full_cache_is_stored_early_and_nothing_is_misread() {
    let bench = Bench::new("spill");
    let disk = bench.serve();
    let device = disk.raw();
    let chunk = vec![7u8; 1 << 20];
    let layout = std::alloc::Layout::from_size_align(chunk.len(), BLOCK).unwrap();
    // SAFETY: a fresh aligned allocation of that size, freed below.
    let aligned = unsafe { std::slice::from_raw_parts_mut(std::alloc::alloc(layout), chunk.len()) };
    aligned.copy_from_slice(&chunk);
    for mib in 0..100 {
        device.write_all_at(aligned, mib << 20).unwrap();
    }
    assert!(disk.count("spills") >= 1);
    assert!(disk.count("unflushed_bytes") <= 64 << 20);
    for block in [0, 12_345, 25_599] {
        assert_eq!(get(&device, block), 7);
    }
    // SAFETY: allocated above with this layout.
    unsafe { std::alloc::dealloc(aligned.as_mut_ptr(), layout) };
    drop(device);
    disk.cut(false);
}

#[test]
fn after_the_cut_nothing_reaches_the_image() {
    let bench = Bench::new("after");
    bench.make_ext4();
    let disk = bench.serve();
    let path = disk.mount().join("file");
    let mut file = File::create(path).unwrap();
    file.write_all(b"too late").unwrap();
    let before = content(&bench.path("image"));
    disk.ask("cut");
    assert!(file.sync_all().is_err(), "a disk without power fails");
    drop(file);
    disk.cut(true);
    assert!(content(&bench.path("image")) == before);
}

fn content(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
