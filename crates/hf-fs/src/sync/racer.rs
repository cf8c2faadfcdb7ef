//! While two copies are compared and made equal, somebody with rights in both directories swaps names for links that lead out: nothing outside is
//! changed, and nothing of it comes into a copy.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hf_replica::engine::EngineEvent;
use hf_replica::ladder::{Step, Why};
use rustix::fs::{CWD, RenameFlags};

use super::{SyncOptions, start};
use crate::link::Flow;
use crate::link::acks::Mode;
use crate::link::harness::*;
use crate::pipeline::GateState;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const SECRET: &[u8] = b"nobody's business";
/// At least so long, and so many synchronisations.
const LONG: Duration = Duration::from_secs(6);
const TIMES: u32 = 20;

fn outside(at: &Path) -> PathBuf {
    let outside = at.join("outside");
    fs::create_dir_all(outside.join("sub")).unwrap();
    for name in ["secret", "sub/a", "sub/b"] {
        fs::write(outside.join(name), SECRET.repeat(1000)).unwrap();
        fs::set_permissions(outside.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    outside
}

/// Files and directories that differ, so that there is much to do with these names.
fn fill(root: &Path, what: u8) {
    for (n, name) in NAMES.iter().enumerate() {
        let path = root.join("shared").join(name);
        if n % 2 == usize::from(what) % 2 {
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("a"), vec![what; 50_000]).unwrap();
        } else {
            fs::create_dir_all(root.join("shared")).unwrap();
            fs::write(&path, vec![what; 200_000]).unwrap();
        }
    }
}

/// Swaps the names in `dir` for links that lead out, as fast as it can.
fn attack(dir: &Path, own: &Path, outside: &Path, over: &AtomicBool, swaps: &AtomicU64) {
    let targets = [outside.join("secret"), outside.join("sub")];
    fs::create_dir_all(own).unwrap();
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let bait = own.join(format!("bait{n}"));
        symlink(&targets[n % 2], &bait).unwrap();
        let name = dir.join(NAMES[n / 2 % 4]);
        let swapped = rustix::fs::renameat_with(CWD, &bait, CWD, &name, RenameFlags::EXCHANGE)
            .or_else(|_| rustix::fs::renameat_with(CWD, &bait, CWD, &name, RenameFlags::NOREPLACE));
        swaps.fetch_add(u64::from(swapped.is_ok()), Ordering::Relaxed);
        // What was there comes back, so that the next look finds it.
        if n % 3 == 0 {
            let _gone = rustix::fs::renameat_with(CWD, &bait, CWD, &name, RenameFlags::EXCHANGE);
        }
    }
}

/// Regular files of a copy that hold the secret; links are not followed.
fn leaked(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            leaked(&entry.path(), found);
        } else if kind.is_file() && fs::read(entry.path()).unwrap_or_default().starts_with(SECRET) {
            found.push(entry.path());
        }
    }
}

/// One synchronisation, however it ends: what it meets is nobody's orderly directory.
fn synchronise(primary: &Node) -> bool {
    primary.link.set_gate(Mode::Pass, GateState::Open { epoch: 1 }, Some(Flow::Syncing));
    let options = SyncOptions { bandwidth: None, step: Step::content(Why::Asked) };
    let walk = start(&primary.link, rand_stream(), options).unwrap();
    let whole = primary.wait("the end of a synchronisation", |event| match event {
        EngineEvent::SyncSent { .. } => Some(true),
        EngineEvent::SyncFailed { .. } | EngineEvent::Fault(_) | EngineEvent::LinkDown { .. } => Some(false),
        _ => None,
    });
    if !whole {
        primary.link.hang_up();
    }
    walk.join().unwrap();
    whole
}

#[test]
fn nothing_outside_is_changed_or_read_during_a_synchronisation() {
    let above = tempfile::tempdir().unwrap();
    let outside = outside(above.path());
    let before = describe(&outside);
    let (began, swaps, mut whole) = (Instant::now(), AtomicU64::new(0), 0);
    for round in 0.. {
        if round >= TIMES && began.elapsed() > LONG {
            break;
        }
        let (primary, secondary) = pair(true, 16 << 20);
        fill(&primary.root, 1);
        fill(&secondary.root, 2);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (n, node) in [&primary, &secondary].into_iter().enumerate() {
                let own = above.path().join(format!("own{round}-{n}"));
                let (dir, outside, over, swaps) = (node.root.join("shared"), &outside, &over, &swaps);
                scope.spawn(move || attack(&dir, &own, outside, over, swaps));
            }
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| synchronise(&primary)));
            over.store(true, Ordering::Relaxed);
            whole += u32::from(ended.unwrap());
        });
        let mut found = Vec::new();
        [&primary, &secondary].iter().for_each(|node| leaked(&node.root, &mut found));
        assert!(found.is_empty(), "the secret is in a copy: {found:?}");
    }
    let swaps = swaps.load(Ordering::Relaxed);
    println!("{swaps} swaps, {whole} synchronisations came to their end");
    assert!(swaps > 200, "{swaps} swaps");
    assert_eq!(describe(&outside), before);
}
