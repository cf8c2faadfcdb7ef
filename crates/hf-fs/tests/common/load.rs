//! A load of all kinds of operations, which fails when any of them is lost or done twice.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Applications that check what they get.
pub struct Load {
    over: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// One directory a job in `root`.
    pub fn start(root: &Path) -> Load {
        let (over, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let jobs: [fn(&Path, u64); 4] = [names, contents, unlinked, attributes];
        let threads = jobs
            .into_iter()
            .enumerate()
            .map(|(n, job)| {
                let dir = root.join(format!("job{n}"));
                fs::create_dir(&dir).unwrap();
                let (over, rounds) = (over.clone(), rounds.clone());
                std::thread::spawn(move || {
                    for round in 0.. {
                        if over.load(Ordering::Relaxed) {
                            break;
                        }
                        job(&dir, round);
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Load { over, rounds, threads }
    }

    /// Says how many rounds were done.
    pub fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|t| t.join().unwrap());
        self.rounds.load(Ordering::Relaxed)
    }
}

/// Every kind of name operation, each of which would fail if it were executed twice or not at all.
fn names(dir: &Path, round: u64) {
    let at = |name: &str| dir.join(format!("{name}{}", round % 7));
    let file = OpenOptions::new().write(true).create_new(true).open(at("a")).unwrap();
    (&file).write_all(b"x").unwrap();
    file.sync_all().unwrap();
    fs::rename(at("a"), at("b")).unwrap();
    fs::hard_link(at("b"), at("c")).unwrap();
    fs::create_dir(at("d")).unwrap();
    fs::rename(at("c"), at("d").join("e")).unwrap();
    std::os::unix::fs::symlink("target", at("s")).unwrap();
    assert_eq!(fs::read_link(at("s")).unwrap(), Path::new("target"));
    File::create_new(at("r")).unwrap();
    fs::rename(at("r"), at("b")).unwrap();
    assert_eq!(fs::metadata(at("b")).unwrap().len(), 0);
    fs::remove_file(at("s")).unwrap();
    fs::remove_file(at("d").join("e")).unwrap();
    fs::remove_dir(at("d")).unwrap();
    fs::remove_file(at("b")).unwrap();
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}

/// Large and small writes, reads, truncation: the content is always what was written last.
fn contents(dir: &Path, round: u64) {
    let path = dir.join("content");
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    let block = vec![round as u8; 1_500_000];
    file.write_all(&block).unwrap();
    file.write_all_at(b"small", 777).unwrap();
    file.sync_data().unwrap();
    file.set_len(1_000_000).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut back = Vec::new();
    file.read_to_end(&mut back).unwrap();
    assert_eq!(back.len(), 1_000_000);
    assert_eq!(&back[777..782], b"small");
    assert!(back[782..].iter().all(|b| *b == round as u8));
}

/// Files that are open and have no name.
fn unlinked(dir: &Path, round: u64) {
    let path = dir.join(format!("u{}", round % 3));
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"0123456789").unwrap();
    fs::remove_file(&path).unwrap();
    std::thread::sleep(Duration::from_millis(3));
    let mut back = [0; 10];
    file.read_exact_at(&mut back, 0).unwrap();
    assert_eq!(&back, b"0123456789");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
}

fn attributes(dir: &Path, round: u64) {
    let path = dir.join("attr");
    File::create(&path).unwrap();
    let mode = 0o600 + (round % 64) as u32;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    std::os::unix::fs::chown(&path, Some(round as u32 % 1000), None).unwrap();
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.mode() & 0o777, u64::from(meta.uid())), (mode, round % 1000));
    assert!(fs::read_dir(dir).unwrap().count() == 1);
}
