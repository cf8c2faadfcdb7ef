//! Measures the replication path without FUSE: two copies in one process, connected over loopback.
//!
//! `linkbench DIR sync`: a synchronisation of many small and of a few large files, with one thread that reads (`nbrei`) and with three: first to an empty
//! copy, then of equal copies, from memory and from the disk.
//!
//! `linkbench DIR connections`: a synchronisation of large and of small files and sequential writes over one connection and over four (`nbremconn`);
//! to be run in a network namespace whose `lo` has the delay of a long line.
//!
//! `linkbench DIR small`: the same of small files only, ten times each in turn.
//!
//! `linkbench DIR ROUNDS [second|none]`: works below DIR (2 GiB for each pair), prints medians, plain and sealed. "alone" is the same path with nobody at the other end.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use hf_fs::backing::{Backing, Inherited, Name, New};
use hf_fs::link::acks::Mode;
use hf_fs::link::ring::Ring;
use hf_fs::link::{DirPipeline, Flow, LaneSource, Link, LinkOptions, Tuning, Wanted};
use hf_fs::pipeline::{Attrs, FileId, GateState, Op, Pipeline};
use hf_fs::sync::{self, SyncOptions};
use hf_fs::table::Table;
use hf_replica::engine::EngineEvent;
use hf_replica::ladder::{Step, Why};
use hf_rfs::ByClusterKey;
use hf_seal::{ClusterKey, KeyRing};

type Failure = Box<dyn std::error::Error>;

struct Node {
    link: Arc<Link>,
    backing: Arc<Backing>,
    events: mpsc::Receiver<EngineEvent>,
}

fn node(
    root: &Path,
    range: u16,
    (local, peer): (SocketAddr, SocketAddr),
    async_second: bool,
    sealed: bool,
    tuning: Tuning,
) -> Result<Node, Failure> {
    std::fs::create_dir_all(root)?;
    let table = Arc::new(Table::create(range)?);
    let backing = Arc::new(Backing::open(root, &root.with_extension("hold"), table)?);
    let (sender, events) = mpsc::channel();
    let options = LinkOptions {
        lanes: LaneSource::fixed(local, peer),
        async_second: async_second.into(),
        send_timeout: Duration::from_secs(30),
        lock_timeout: Duration::from_secs(100),
        silence: Duration::from_secs(5),
        accepted_durable: hf_fs::link::ACCEPTED,
        disk: Default::default(),
        tuning,
        check_bandwidth: None,
    };
    let report = Arc::new(move |event| sender.send(event).unwrap_or_default());
    let link = Link::start(
        options,
        Ring::create(64 << 20)?,
        vec![backing.clone()],
        Arc::new(proof(sealed, range == 1)?),
        report,
    )?;
    Ok(Node { link, backing, events })
}

/// As rfs does it.
fn proof(sealed: bool, first: bool) -> Result<ByClusterKey, Failure> {
    let (me, peer) = if first { ("a", "b") } else { ("b", "a") };
    let (purpose, me, peer) = ("bench".to_owned(), me.to_owned(), peer.to_owned());
    let keys = Arc::new(Mutex::new(KeyRing::of(ClusterKey::from_bytes(&[7; 32])?)));
    Ok(ByClusterKey { keys, asks_before: AtomicBool::new(false), purpose, me, peer, sealed })
}

fn wait(node: &Node, wanted: impl Fn(&EngineEvent) -> bool) -> Result<(), Failure> {
    loop {
        let event = node.events.recv_timeout(Duration::from_secs(120))?;
        if wanted(&event) {
            return Ok(());
        }
        if let EngineEvent::SyncFailed { .. } | EngineEvent::Fault(_) | EngineEvent::LinkDown { .. } = event {
            return Err(format!("{event:?}").into());
        }
    }
}

#[derive(Clone)]
struct Hands {
    backing: Arc<Backing>,
    pipe: DirPipeline,
}

impl Hands {
    fn create(&self, text: &str) -> Result<FileId, Failure> {
        let id = self.backing.table().new_id();
        let admission = self.pipe.gate().admit()?.ok_or("closed")?;
        let _names = self.pipe.order().change_names();
        let attrs = Attrs { mode: 0o600, uid: 0, gid: 0 };
        self.backing.make(
            FileId::ROOT,
            &Name::new(text.as_bytes())?,
            id,
            &New::File,
            &Inherited { attrs, acl: false },
        )?;
        let stamp = self.backing.stamp(FileId::ROOT)?;
        self.pipe.append(
            &admission,
            &Op::Create { parent: FileId::ROOT, name: text.as_bytes(), id, attrs, stamp },
            None,
        )?;
        Ok(id)
    }

    fn write(&self, id: FileId, offset: u64, data: &[u8]) {
        loop {
            match self.pipe.gate().admit() {
                Ok(Some(admission)) => {
                    let _file = self.pipe.order().file(id);
                    let written = self.backing.write(id, offset, data);
                    assert!(matches!(written, Ok(n) if n == data.len()), "{written:?}");
                    let appended = self.pipe.append(&admission, &Op::Write { id, offset, data }, None);
                    assert!(appended.is_ok());
                    return;
                }
                _ => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    }

    /// As fdatasync through the front end.
    fn sync(&self, id: FileId, waiter: &(mpsc::Sender<()>, mpsc::Receiver<()>)) {
        let admission = loop {
            match self.pipe.gate().admit() {
                Ok(Some(admission)) => break admission,
                _ => std::thread::sleep(Duration::from_micros(100)),
            }
        };
        let Ok(seq) = self.pipe.append(&admission, &Op::Barrier { id }, None) else { return };
        drop(admission);
        assert!(self.backing.sync(id, true).is_ok());
        let sender = waiter.0.clone();
        self.pipe.when_durable(seq, Box::new(move |_| sender.send(()).unwrap_or_default()));
        assert!(waiter.1.recv().is_ok());
    }
}

/// fdatasyncs a second.
fn fsyncs(hands: &Hands, files: &[FileId], jobs: usize, time: Duration) -> f64 {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let threads: Vec<_> = files[..jobs]
        .iter()
        .map(|&id| {
            let (hands, stop, count) = (hands.clone(), stop.clone(), count.clone());
            std::thread::spawn(move || {
                let waiter = mpsc::channel();
                let (data, mut n) = ([0x5A; 4096], 0x1234_5678u64);
                while !stop.load(Ordering::Relaxed) {
                    n = n.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    hands.write(id, ((n >> 33) % 4096) * 4096, &data);
                    hands.sync(id, &waiter);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    std::thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| drop(thread.join()));
    count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// MB/s of sequential 1 MiB writes over a file that has its blocks, with a sync at the end.
fn sequential(hands: &Hands, id: FileId) -> f64 {
    let data = vec![0xA5; 1 << 20];
    let waiter = mpsc::channel();
    let began = Instant::now();
    for i in 0..1024u64 {
        hands.write(id, (i % 256) << 20, &data);
    }
    hands.sync(id, &waiter);
    1024.0 * 1.048576 / began.elapsed().as_secs_f64()
}

fn creates(hands: &Hands, time: Duration, tag: &str) -> Result<f64, Failure> {
    let began = Instant::now();
    let (sender, answer) = mpsc::channel();
    let mut n = 0u64;
    while began.elapsed() < time {
        hands.create(&format!("{tag}{n}"))?;
        let sender = sender.clone();
        hands.pipe.when_received(hands.pipe.last(), Box::new(move |_| sender.send(()).unwrap_or_default()));
        answer.recv()?;
        n += 1;
    }
    Ok(n as f64 / began.elapsed().as_secs_f64())
}

/// Both copies and a directory that nobody follows.
struct Setting {
    tag: &'static str,
    hands: Hands,
    files: Vec<FileId>,
    nodes: Vec<Node>,
}

fn prepare(hands: &Hands, tag: &str) -> Result<Vec<FileId>, Failure> {
    let files = (0..4).map(|n| hands.create(&format!("{tag}{n}"))).collect::<Result<Vec<_>, _>>()?;
    for &id in &files {
        (0..256u64).for_each(|i| hands.write(id, i << 20, &vec![1; 1 << 20]));
        hands.backing.sync(id, false)?;
    }
    Ok(files)
}

fn alone(root: &Path) -> Result<Setting, Failure> {
    let nobody = "127.0.0.1:9".parse()?;
    let node = node(&root.join("alone"), 3, (nobody, nobody), true, false, Tuning::default())?;
    node.link.set_gate(Mode::Pass, GateState::Open { epoch: 1 }, Some(Flow::Alone));
    let hands = Hands { backing: node.backing.clone(), pipe: DirPipeline::new(node.link.clone(), 0) };
    Ok(Setting { tag: "alone", files: prepare(&hands, "alone")?, hands, nodes: vec![node] })
}

fn pair(root: &Path, async_second: bool, sealed: bool) -> Result<Setting, Failure> {
    let tag = match (async_second, sealed) {
        (true, false) => "async=second",
        (true, true) => "async=second,sealed",
        (false, false) => "async=none",
        (false, true) => "async=none,sealed",
    };
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let (one, other) = (free()?, free()?);
    let primary = node(&root.join(format!("{tag}-a")), 1, (one, other), async_second, sealed, Tuning::default())?;
    let secondary = node(&root.join(format!("{tag}-b")), 2, (other, one), async_second, sealed, Tuning::default())?;
    secondary.link.set_gate(Mode::ReadOnly, GateState::ReadOnly, Some(Flow::Following));
    let open = GateState::Open { epoch: 1 };
    primary.link.set_gate(Mode::Pass, open, Some(Flow::Alone));
    let hands = Hands { backing: primary.backing.clone(), pipe: DirPipeline::new(primary.link.clone(), 0) };
    let files = prepare(&hands, tag)?;
    secondary.link.want(Wanted::Listen);
    primary.link.want(Wanted::Connect);
    wait(&primary, |event| matches!(event, EngineEvent::LinkUp))?;
    primary.link.set_gate(Mode::Pass, open, Some(Flow::Syncing));
    let began = Instant::now();
    let walk = sync::start(&primary.link, 77, SyncOptions { bandwidth: None, step: Step::content(Why::Asked) })?;
    wait(&primary, |event| matches!(event, EngineEvent::SyncSent { .. }))?;
    walk.join().map_err(|_| "the synchronisation panicked")?;
    primary.link.set_gate(Mode::Wait, open, Some(Flow::InStep));
    hands.sync(files[0], &mpsc::channel());
    println!("{tag}: 1 GiB synchronised in {:.2} s", began.elapsed().as_secs_f64());
    Ok(Setting { tag, hands, files, nodes: vec![primary, secondary] })
}

/// A tree below `root`: so many files of so many bytes, a hundred in a directory.
fn plant(root: &Path, files: usize, bytes: usize) -> Result<(), Failure> {
    let mut data = vec![0; bytes];
    for n in 0..files {
        let dir = root.join(format!("dir{}", n / 100));
        std::fs::create_dir_all(&dir)?;
        data.iter_mut().zip(n..).step_by(64).for_each(|(byte, i)| *byte = i as u8 | 1);
        std::fs::write(dir.join(format!("file{n}")), &data)?;
    }
    Ok(())
}

/// What the system has of the files in memory goes.
fn forget(root: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget(&entry.path())?;
        } else {
            let file = std::fs::File::open(entry.path())?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

fn synchronised(primary: &Node, stream: u64) -> Result<f64, Failure> {
    let open = GateState::Open { epoch: 1 };
    primary.link.set_gate(Mode::Pass, open, Some(Flow::Syncing));
    let began = Instant::now();
    let walk = sync::start(&primary.link, stream, SyncOptions { bandwidth: None, step: Step::content(Why::Asked) })?;
    wait(primary, |event| matches!(event, EngineEvent::SyncSent { .. }))?;
    walk.join().map_err(|_| "the synchronisation panicked")?;
    // In step is who has received all of it.
    primary.link.set_gate(Mode::Wait, open, Some(Flow::InStep));
    let hands = Hands { backing: primary.backing.clone(), pipe: DirPipeline::new(primary.link.clone(), 0) };
    hands.sync(FileId::ROOT, &mpsc::channel());
    Ok(began.elapsed().as_secs_f64())
}

/// Two sealed copies, connected.
fn linked(a: &Path, b: &Path, tuning: impl Fn() -> Tuning) -> Result<(Node, Node), Failure> {
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let (one, other) = (free()?, free()?);
    let primary = node(a, 1, (one, other), true, true, tuning())?;
    let secondary = node(b, 2, (other, one), true, true, tuning())?;
    secondary.link.set_gate(Mode::ReadOnly, GateState::ReadOnly, Some(Flow::Following));
    primary.link.set_gate(Mode::Pass, GateState::Open { epoch: 1 }, Some(Flow::Alone));
    secondary.link.want(Wanted::Listen);
    primary.link.want(Wanted::Connect);
    wait(&primary, |event| matches!(event, EngineEvent::LinkUp))?;
    Ok((primary, secondary))
}

fn measure_connections(root: &Path) -> Result<(), Failure> {
    for (what, files, bytes) in [("4 files of 512 MiB", 4, 512 << 20), ("5000 files of 4 KiB", 5000, 4096)] {
        for connections in [1, 4, 1, 4] {
            let (a, b) = (root.join("sync-a"), root.join("sync-b"));
            plant(&a, files, bytes)?;
            let (primary, secondary) = linked(&a, &b, || Tuning::default().with_connections(connections))?;
            while primary.link.out.beside() + 1 < connections as usize {
                std::thread::sleep(Duration::from_millis(1));
            }
            let empty = synchronised(&primary, 77)?;
            let equal = synchronised(&primary, 78)?;
            let hands = Hands { backing: primary.backing.clone(), pipe: DirPipeline::new(primary.link.clone(), 0) };
            let written = sequential(&hands, hands.create("sequential")?);
            println!(
                "{what}, {connections} connections: empty {empty:.2} s, equal {equal:.2} s; then 1 GiB in writes of 1 MiB: {written:.0} MB/s"
            );
            primary.link.stop();
            secondary.link.stop();
            drop((primary, secondary, hands));
            std::fs::remove_dir_all(&a)?;
            std::fs::remove_dir_all(&b)?;
        }
    }
    Ok(())
}

/// Synchronisations of small files only, so many times over one connection and over four, in turn; seconds.
fn measure_small(root: &Path, rounds: usize) -> Result<(), Failure> {
    let mut seconds: BTreeMap<(&str, u32), Vec<f64>> = BTreeMap::new();
    for connections in [1, 4].into_iter().cycle().take(2 * rounds) {
        let (a, b) = (root.join("sync-a"), root.join("sync-b"));
        plant(&a, 5000, 4096)?;
        let (primary, secondary) = linked(&a, &b, || Tuning::default().with_connections(connections))?;
        while primary.link.out.beside() + 1 < connections as usize {
            std::thread::sleep(Duration::from_millis(1));
        }
        seconds.entry(("empty", connections)).or_default().push(synchronised(&primary, 77)?);
        seconds.entry(("equal", connections)).or_default().push(synchronised(&primary, 78)?);
        primary.link.stop();
        secondary.link.stop();
        drop((primary, secondary));
        std::fs::remove_dir_all(&a)?;
        std::fs::remove_dir_all(&b)?;
    }
    for ((what, connections), mut of) in seconds {
        of.sort_by(f64::total_cmp);
        let (least, middle, most) = (of[0], of[of.len() / 2], of[of.len() - 1]);
        println!(
            "5000 files of 4 KiB, {what}, {connections} connections: {least:.2} to {most:.2} s, median {middle:.2} s"
        );
    }
    Ok(())
}

fn measure_sync(root: &Path) -> Result<(), Failure> {
    for (what, files, bytes) in [("20000 files of 4 KiB", 20_000, 4096), ("4 files of 512 MiB", 4, 512 << 20)] {
        for readers in [1, 3, 1, 3] {
            let (a, b) = (root.join("sync-a"), root.join("sync-b"));
            plant(&a, files, bytes)?;
            let tuning = || Tuning::new(readers, Duration::from_secs(150), false);
            let (primary, secondary) = linked(&a, &b, tuning)?;
            let (first, equal) = (synchronised(&primary, 77)?, synchronised(&primary, 78)?);
            forget(&a)?;
            forget(&b)?;
            let cold = synchronised(&primary, 79)?;
            println!(
                "{what}, {readers} readers: empty {first:.2} s, equal {equal:.2} s, equal from the disk {cold:.2} s"
            );
            primary.link.stop();
            secondary.link.stop();
            drop((primary, secondary));
            std::fs::remove_dir_all(&a)?;
            std::fs::remove_dir_all(&b)?;
        }
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

type Case = (&'static str, fn(&Setting, usize) -> f64);

const WINDOW: Duration = Duration::from_millis(700);

const CASES: [Case; 4] = [
    ("4k write + fdatasync a second, 1 job", |setting, _| fsyncs(&setting.hands, &setting.files, 1, WINDOW)),
    ("4k write + fdatasync a second, 4 jobs", |setting, _| fsyncs(&setting.hands, &setting.files, 4, WINDOW)),
    ("sequential 1 MiB writes, MB/s", |setting, _| sequential(&setting.hands, setting.files[0])),
    ("creates a second", |setting, round| creates(&setting.hands, WINDOW, &format!("new{round}-")).unwrap_or_default()),
];

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().ok_or("linkbench DIR ROUNDS")?;
    let rounds = arguments.next();
    let root = Path::new(&root);
    match rounds.as_deref() {
        Some("sync") => return measure_sync(root),
        Some("connections") => return measure_connections(root),
        Some("small") => return measure_small(root, 10),
        _ => {}
    }
    let rounds: usize = rounds.map_or(Ok(5), |text| text.parse())?;
    let kinds = match arguments.next().as_deref() {
        Some("second") => &[true][..],
        Some("none") => &[false],
        _ => &[false, true],
    };
    let mut settings = vec![alone(root)?];
    for &async_second in kinds {
        settings.extend([pair(root, async_second, false)?, pair(root, async_second, true)?]);
    }
    for (what, case) in CASES {
        // Interleaved: what else the machine does hits all alike.
        let mut values = vec![Vec::new(); settings.len()];
        for round in 0..rounds {
            for (setting, values) in settings.iter().zip(&mut values) {
                values.push(case(setting, round));
            }
        }
        let shown: Vec<_> = settings
            .iter()
            .zip(values)
            .map(|(setting, values)| format!("{} {:.0}", setting.tag, median(values)))
            .collect();
        println!("{what}: {}", shown.join(", "));
    }
    let out = &settings[1].nodes[0].link.out;
    println!("{} sends, {} MB", out.calls.load(Ordering::Relaxed), out.bytes.load(Ordering::Relaxed) / 1_000_000);
    settings.iter().flat_map(|setting| &setting.nodes).for_each(|node| node.link.stop());
    Ok(())
}
