use super::harness::*;
use super::*;
use crate::backing::{Change, New};
use crate::pipeline::{Attrs, FileId, Pipeline, Seq};
use hf_replica::engine::Traffic;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

const RING: usize = 64 << 20;
const ROOT: FileId = FileId::ROOT;

fn in_step(async_second: bool) -> (Node, Node) {
    let (primary, secondary) = pair(async_second, RING);
    primary.synchronise();
    (primary, secondary)
}

#[test]
fn every_kind_of_operation_arrives() {
    for async_second in [true, false] {
        let (primary, secondary) = in_step(async_second);
        let hands = primary.hands();
        let dir = hands.mkdir(ROOT, "dir").unwrap();
        let file = hands.create(dir, "file").unwrap();
        hands.write(file, 5000, &vec![7; 3 << 20]).unwrap();
        hands.truncate(file, 1 << 20).unwrap();
        hands.allocate(file, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 8192, 65536).unwrap();
        hands.link(file, ROOT, "other name").unwrap();
        let attrs = Attrs { mode: 0o777, uid: 5, gid: 6 };
        hands.make(dir, "link", &New::Symlink(b"/nowhere"), attrs).unwrap();
        hands.make(dir, "fifo", &New::Special { kind: libc::S_IFIFO, rdev: 0 }, attrs).unwrap();
        hands.make(dir, "null", &New::Special { kind: libc::S_IFCHR, rdev: 0x103 }, attrs).unwrap();
        hands.set_attr(file, Change { owner: Some((1, 2)), mode: Some(0o4711), ..Change::default() }).unwrap();
        hands.set_xattr(file, "user.key", b"value").unwrap();
        hands.set_xattr(dir, "user.gone", b"x").unwrap();
        hands.remove_xattr(dir, "user.gone").unwrap();
        let (a, b) = (hands.create(ROOT, "a").unwrap(), hands.create(ROOT, "b").unwrap());
        hands.write(a, 0, b"A").unwrap();
        hands.write(b, 0, b"B").unwrap();
        hands.rename((ROOT, "a"), (dir, "b"), false).unwrap();
        hands.rename((ROOT, "b"), (dir, "b"), true).unwrap();
        hands.create(ROOT, "gone").unwrap();
        hands.rename((ROOT, "other name"), (ROOT, "gone"), false).unwrap();
        let empty = hands.mkdir(ROOT, "empty").unwrap();
        hands.sync(empty).unwrap();
        hands.remove(ROOT, "empty").unwrap();
        assert_equal(&primary, &secondary);
    }
}

#[test]
fn a_barrier_is_durable_there_before_it_is_acknowledged() {
    let (primary, secondary) = in_step(false);
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    hands.write(file, 0, b"hello").unwrap();
    let seq = hands.sync(file).unwrap();
    assert!(secondary.link.ring.counters().own_fulfilled.load(Ordering::SeqCst) >= seq.0);
    assert_eq!(std::fs::read(secondary.root.join("file")).unwrap(), b"hello");
}

#[test]
fn many_threads_write_and_sync_at_once() {
    let (primary, secondary) = in_step(false);
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let hands = primary.hands();
            std::thread::spawn(move || {
                let file = hands.create(ROOT, &format!("file{n}")).unwrap();
                for i in 0..200u64 {
                    hands.write(file, i * 1000, &[n; 3000]).unwrap();
                    if i % 5 == 0 {
                        hands.sync(file).unwrap();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_equal(&primary, &secondary);
}

#[test]
fn a_full_ring_closes_the_gate_and_opens_it_again() {
    let (primary, secondary) = pair(true, 4 << 20);
    primary.synchronise();
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    for i in 0..100 {
        hands.write(file, i << 18, &vec![i as u8; 1 << 18]).unwrap();
    }
    assert_equal(&primary, &secondary);
}

#[test]
fn closed_parks_barriers_and_alone_completes_them() {
    let (primary, secondary) = in_step(false);
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    secondary.link.hang_up();
    hands.write(file, 0, b"x").unwrap();
    let waiting = std::thread::spawn({
        let hands = hands.clone();
        move || hands.sync(file)
    });
    std::thread::sleep(Duration::from_millis(100));
    primary.link.set_gate(Mode::Hold, GateState::Closed, None);
    std::thread::sleep(Duration::from_millis(50));
    assert!(!waiting.is_finished(), "nobody acknowledged it");
    primary.link.set_gate(Mode::Pass, GateState::Open { epoch: 2 }, Some(Flow::Alone));
    waiting.join().unwrap().unwrap();
}

#[test]
fn a_change_of_role_refuses_what_waits() {
    let (primary, secondary) = in_step(false);
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    secondary.link.hang_up();
    hands.write(file, 0, b"x").unwrap();
    let waiting = std::thread::spawn({
        let hands = hands.clone();
        move || hands.sync(file)
    });
    std::thread::sleep(Duration::from_millis(100));
    primary.link.set_gate(Mode::ReadOnly, GateState::ReadOnly, Some(Flow::Following));
    assert_eq!(waiting.join().unwrap().unwrap_err().raw_os_error(), Some(libc::EROFS));
    assert_eq!(hands.write(file, 0, b"y").unwrap_err().raw_os_error(), Some(libc::EROFS));
}

#[test]
fn a_broken_connection_goes_on_with_the_next_frame() {
    let (primary, secondary) = in_step(true);
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    for round in 0..10u64 {
        for i in 0..50u64 {
            hands.write(file, (round * 50 + i) * 100, &[round as u8; 100]).unwrap();
            if i == 25 {
                secondary.link.out.shutdown();
            }
        }
        hands.create(ROOT, &format!("{round}")).unwrap();
        primary.wait_link();
        secondary.wait_link();
    }
    assert_equal(&primary, &secondary);
    assert!(secondary.link.statistics.connections.load(Ordering::Relaxed) > 2);
}

#[test]
fn the_link_goes_over_another_lane_and_comes_back_when_the_first_works_again() {
    let [first, second, peer_first, peer_second] = std::array::from_fn(|_| free_address());
    let lane = |name: &str, local, peer| LinkLane { name: name.into(), local, peer };
    let there = Arc::new(Mutex::new(vec![lane("second", peer_second, second)]));
    let mut here = options(first, peer_first, true);
    here.lanes = LaneSource::new(move || vec![lane("first", first, peer_first), lane("second", second, peer_second)]);
    let mut other = options(peer_first, first, true);
    let list = there.clone();
    other.lanes = LaneSource::new(move || lock(&list).clone());
    let (primary, secondary) = (Node::new(here, 1, RING), Node::new(other, 2, RING));
    connect(&primary, &secondary);
    assert_eq!(primary.link.statistics.lane.load(Ordering::Relaxed), 1, "nobody listens on the first");
    primary.synchronise();
    let file = primary.hands().create(ROOT, "file").unwrap();
    lock(&there).push(lane("first", peer_first, first));
    primary.wait_link();
    assert_eq!(primary.link.statistics.lane.load(Ordering::Relaxed), 0);
    primary.hands().write(file, 0, b"over the first").unwrap();
    assert_equal(&primary, &secondary);
    primary.assert_no_fault();
}

#[test]
fn a_sealed_link_carries_everything_and_a_damaged_record_ends_only_the_connection() {
    let (a, b) = (free_address(), free_address());
    let (one, other) = (Toy::default(), Toy::default());
    let primary = Node::proving(options(a, b, true), 1, RING, one.clone());
    let secondary = Node::proving(options(b, a, true), 2, RING, other.clone());
    connect(&primary, &secondary);
    primary.synchronise();
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    for round in 0..8u64 {
        hands.write(file, round * (5 << 20), &vec![round as u8; 5 << 20]).unwrap();
        let damaged = if round % 2 == 0 { &other } else { &one };
        damaged.damage.store(true, Ordering::SeqCst);
        hands.write(file, 100 * round, b"small").unwrap();
        hands.create(ROOT, &format!("{round}")).unwrap();
        primary.wait_link();
        secondary.wait_link();
    }
    assert_equal(&primary, &secondary);
    primary.assert_no_fault();
    secondary.assert_no_fault();
}

#[test]
fn a_successor_on_either_side_goes_on_where_the_dead_process_stopped() {
    let (a, b) = (free_address(), free_address());
    let mut primary = Node::new(options(a, b, true), 1, RING);
    let mut secondary = Node::new(options(b, a, true), 2, RING);
    connect(&primary, &secondary);
    primary.synchronise();
    let file = primary.hands().create(ROOT, "file").unwrap();
    for round in 0..6u64 {
        let hands = primary.hands();
        for i in 0..100u64 {
            hands.write(file, (round * 100 + i) * 10, &[round as u8; 10]).unwrap();
            hands.create(ROOT, &format!("{round}-{i}")).unwrap();
        }
        let old = if round % 2 == 0 { &mut secondary } else { &mut primary };
        let ring = Ring::attach(ring::duplicate(old.link.ring.file()).unwrap()).unwrap();
        old.link.stop();
        let next = Node::on(old.backing.clone(), &old.root, old.link.options.clone(), ring, Word(b"open sesame"));
        old.replace(next);
        if round % 2 == 0 {
            secondary.secondary();
        } else {
            primary.link.set_gate(Mode::Wait, GateState::Open { epoch: 1 }, Some(Flow::InStep));
            primary.link.want(Wanted::Connect);
        }
        primary.wait_link();
    }
    assert_equal(&primary, &secondary);
}

#[test]
fn strangers_are_dropped_and_the_other_node_gets_in() {
    // Strangers at the other node's own address, which is not enough.
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (a, b) = (free(), free());
    let primary = Node::new(options(a, b, true), 1, RING);
    let secondary = Node::new(options(b, a, true), 2, RING);
    secondary.secondary();
    let mut strangers = Vec::new();
    wait_until("it listens", || TcpStream::connect(b).map(|stream| strangers.push(stream)).is_ok());
    // Silent ones, a wrong word, garbage.
    strangers.extend((1..12).map(|_| TcpStream::connect(b).unwrap()));
    strangers[0].write_all(b"open pumpkin").unwrap();
    strangers[1].write_all(&[0; 5000]).unwrap();
    let began = Instant::now();
    primary.primary();
    primary.wait_link();
    // One after the other, the strangers would take a minute.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let shown_out = || secondary.link.statistics.strangers.load(Ordering::Relaxed) >= 12;
    wait_until(&format!("strangers are shown out: {:?}", secondary.link.statistics), shown_out);
}

/// Version 1 of the frames is the first: whoever speaks an older or a newer one is told apart from damage, by name, and nothing of it is taken.
#[test]
fn another_version_is_refused_by_name() {
    for version in [0, 2] {
        let (a, b) = (free_address(), free_address());
        let secondary = Node::new(options(b, a, true), 2, RING);
        secondary.secondary();
        let lane = LinkLane { name: "as the other node".into(), local: a, peer: b };
        let mut stream = None;
        wait_until("it listens", || {
            stream = lanes::connect_any(std::slice::from_ref(&lane)).ok();
            stream.is_some()
        });
        let (mut stream, _) = stream.unwrap();
        stream.write_all(b"open sesame").unwrap();
        std::io::Read::read_exact(&mut stream, &mut [0; 11]).unwrap();
        let mut frame = [0; hf_wire::frame::HEADER_LEN];
        frame[..4].copy_from_slice(b"HFR1");
        frame[4] = version;
        stream.write_all(&frame).unwrap();
        let why = secondary.wait("the refusal", |event| match event {
            EngineEvent::LinkRefused { why } => Some(why.clone()),
            _ => None,
        });
        assert!(why.contains(&format!("version {version} are not understood here (this is 1)")), "{why}");
    }
}

#[test]
fn an_operation_that_answers_differently_is_a_fault_on_both_nodes() {
    let (primary, secondary) = in_step(true);
    let hands = primary.hands();
    hands.mkdir(ROOT, "dir").unwrap();
    assert_equal(&primary, &secondary);
    std::fs::write(secondary.root.join("dir/foreign"), b"").unwrap();
    hands.remove(ROOT, "dir").unwrap();
    let diverged = |event: &EngineEvent| matches!(event, EngineEvent::Fault(RfsFault::Diverged(_))).then_some(());
    secondary.wait("the secondary's fault", diverged);
    primary.wait("the primary's fault", diverged);
    // Nothing after it is applied or acknowledged.
    hands.create(ROOT, "after").unwrap();
    let (sender, answer) = mpsc::channel();
    hands.pipe.when_durable(hands.pipe.last(), Box::new(move |result| sender.send(result).unwrap_or_default()));
    assert!(answer.recv_timeout(Duration::from_millis(300)).is_err());
    assert!(!secondary.root.join("after").exists());
}

#[test]
fn a_silent_secondary_is_reported_once() {
    let (a, b) = (free_address(), free_address());
    let mut slow = options(a, b, true);
    // Longer than a machine under load stands still.
    slow.send_timeout = Duration::from_secs(2);
    slow.lock_timeout = Duration::from_secs(2);
    let primary = Node::new(slow, 1, RING);
    let secondary = Node::new(options(b, a, true), 2, RING);
    connect(&primary, &secondary);
    primary.synchronise();
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    let stuck = secondary.link.applying.lock().unwrap();
    let waiting = std::thread::spawn(move || hands.sync(file));
    primary.wait("Unanswered", |event| matches!(event, EngineEvent::Unanswered { .. }).then_some(()));
    drop(stuck);
    waiting.join().unwrap().unwrap();
}

#[test]
fn a_disk_that_hangs_is_reported_once_and_nothing_is_acknowledged() {
    let (a, b) = (free_address(), free_address());
    let mut hanging = options(a, b, true);
    // Longer than a machine under load stands still.
    hanging.disk.time = Duration::from_secs(2);
    let primary = Node::new(hanging, 1, RING);
    let secondary = Node::new(options(b, a, true), 2, RING);
    connect(&primary, &secondary);
    primary.synchronise();
    let call = primary.backing.calls().begin();
    let fault = primary.wait("a fault of the disk", |event| match event {
        EngineEvent::Fault(RfsFault::LocalDisk(why)) => Some(why.clone()),
        _ => None,
    });
    assert!(fault.contains("no answer for ") && fault.contains(" s (checktime)"), "{fault}");
    std::thread::sleep(Duration::from_millis(500));
    drop(call);
    assert_eq!(primary.link.statistics.hung.load(Ordering::SeqCst), 1);
    assert_eq!(primary.link.acks.mode(), Mode::Hold);
}

#[test]
fn an_idle_disk_is_asked_now_and_then() {
    let (a, b) = (free_address(), free_address());
    let mut asking = options(a, b, true);
    asking.disk.interval = Duration::from_millis(50);
    let node = Node::new(asking, 1, RING);
    let probe = node.root.with_extension("hold").join("probe");
    let began = Instant::now();
    while !probe.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "the disk was never asked");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn roles_can_be_turned_round_without_comparing() {
    let (primary, secondary) = in_step(false);
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    hands.write(file, 0, b"before").unwrap();
    assert_equal(&primary, &secondary);
    primary.link.set_gate(Mode::ReadOnly, GateState::ReadOnly, Some(Flow::Following));
    primary.link.hang_up();
    secondary.link.hang_up();
    primary.link.want(Wanted::Listen);
    secondary.link.set_gate(Mode::Hold, GateState::Closed, None);
    secondary.link.want(Wanted::Connect);
    secondary.wait_link();
    secondary.link.set_gate(Mode::Wait, GateState::Open { epoch: 2 }, Some(Flow::InStep));
    let hands = secondary.hands();
    hands.write(file, 0, b"after!").unwrap();
    hands.sync(file).unwrap();
    hands.create(ROOT, "new").unwrap();
    assert_equal(&secondary, &primary);
}

#[test]
fn a_primary_that_missed_something_can_not_turn_roles_round() {
    let (primary, secondary) = in_step(false);
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    // In step is who has all of the synchronisation.
    assert_equal(&primary, &secondary);
    secondary.link.hang_up();
    // Its receiver may be in the middle of something: what comes before it has ended isn't missed.
    wait_until("the secondary receives no more", || !secondary.link.out.is_open());
    hands.write(file, 0, b"lost").unwrap();
    primary.link.set_gate(Mode::ReadOnly, GateState::ReadOnly, Some(Flow::Following));
    primary.link.hang_up();
    primary.link.want(Wanted::Listen);
    // The gate before the connection, as the core orders it: a stream begins with the handshake after it.
    secondary.link.set_gate(Mode::Wait, GateState::Open { epoch: 2 }, Some(Flow::InStep));
    secondary.link.want(Wanted::Connect);
    let refused = |event: &EngineEvent| match event {
        EngineEvent::LinkDown { why } if why.contains("did not apply") => Some(()),
        _ => None,
    };
    primary.wait("the refusal", refused);
    assert_eq!(std::fs::read(primary.root.join("file")).unwrap(), b"lost");
}

/// Without a stream that it followed to its end, a copy has nothing that the other one could be equal to.
#[test]
fn a_copy_that_followed_nothing_begins_no_stream_between_equals() {
    let (primary, secondary) = pair(false, RING);
    primary.link.set_gate(Mode::ReadOnly, GateState::ReadOnly, Some(Flow::Following));
    primary.link.hang_up();
    secondary.link.hang_up();
    primary.link.want(Wanted::Listen);
    secondary.link.set_gate(Mode::Wait, GateState::Open { epoch: 2 }, Some(Flow::InStep));
    secondary.wait("the fault", |event| matches!(event, EngineEvent::Fault(RfsFault::LinkDown)).then_some(()));
    secondary.link.want(Wanted::Connect);
    secondary.wait_link();
    let hands = secondary.hands();
    hands.create(ROOT, "not for the other one").unwrap();
    let (sender, answer) = mpsc::channel();
    hands.pipe.when_durable(hands.pipe.last(), Box::new(move |result| sender.send(result).unwrap_or_default()));
    assert!(answer.recv_timeout(Duration::from_millis(200)).is_err(), "acknowledged, and nobody followed");
    assert_eq!(std::fs::read_dir(&primary.root).unwrap().count(), 0);
}

/// Whether the stream goes on here is asked for a new connection, and in that very moment a stream begins: this connection carries its first words.
#[test]
fn a_stream_that_begins_while_a_connection_is_made_begins_on_it() {
    let mut silent = options(free_address(), free_address(), true);
    // Nothing else is said on that connection.
    silent.silence = Duration::from_secs(3600);
    let node = Node::new(silent, 1, RING);
    node.link.set_gate(Mode::ReadOnly, GateState::ReadOnly, Some(Flow::Following));
    node.link.ring.counters().applied_stream.store(7, Ordering::SeqCst);
    let listener = std::net::TcpListener::bind(free_address()).unwrap();
    let socket = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let (mut other_end, _) = listener.accept().unwrap();
    other_end.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut turning = None;
    node.link.out.open((socket, 0), None, || {
        let link = node.link.clone();
        let turn = move || link.set_gate(Mode::Wait, GateState::Open { epoch: 2 }, Some(Flow::InStep));
        let turn = turning.insert(std::thread::spawn(turn));
        let end = Instant::now() + Duration::from_millis(300);
        while !turn.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        // The answer of before: a secondary's.
        None
    });
    turning.unwrap().join().unwrap();
    let mut head = [0; hf_wire::frame::HEADER_LEN];
    std::io::Read::read_exact(&mut other_end, &mut head).expect("the words that begin the stream");
    node.link.out.shutdown();
}

#[test]
fn both_ends_are_told_that_a_synchronisation_begins() {
    let (primary, secondary) = pair(true, RING);
    let told = Arc::new(AtomicU64::new(0));
    for node in [&primary, &secondary] {
        let told = told.clone();
        node.link.on_synchronisation(move || {
            told.fetch_add(1, Ordering::SeqCst);
        });
    }
    primary.synchronise();
    assert_equal(&primary, &secondary);
    assert_eq!(told.load(Ordering::SeqCst), 2);
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_a_primary_accepted_becomes_durable_though_nobody_syncs_it() {
    let node = Node::new(options(free_address(), free_address(), false), 1, RING);
    for flow in [Flow::Alone, Flow::Syncing] {
        node.link.set_gate(Mode::Pass, GateState::Open { epoch: 1 }, Some(flow));
        let hands = node.hands();
        let file = hands.create(ROOT, &format!("{flow:?}")).unwrap();
        hands.write(file, 0, b"accepted").unwrap();
        wait_until("not synced", || node.backing.is_synced());
    }
    node.assert_no_fault();
}

#[test]
fn a_primary_syncs_not_before_the_time_and_not_what_was_synced() {
    let mut rare = options(free_address(), free_address(), false);
    rare.accepted_durable = Duration::from_secs(3600);
    let node = Node::new(rare, 1, RING);
    node.link.set_gate(Mode::Pass, GateState::Open { epoch: 1 }, Some(Flow::Alone));
    let hands = node.hands();
    let file = hands.create(ROOT, "file").unwrap();
    node.link.sync_accepted();
    node.backing.write(file, 0, b"x").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!node.backing.is_synced());
    hands.sync(file).unwrap();
    assert!(node.backing.is_synced());
}

#[test]
fn accepted_data_that_can_not_be_made_durable_is_a_fault_and_nothing_is_acknowledged_after_it() {
    let (primary, _secondary) = in_step(false);
    let hands = primary.hands();
    let (bad, good) = (hands.create(ROOT, "bad").unwrap(), hands.create(ROOT, "good").unwrap());
    hands.sync(good).unwrap();
    primary.backing.break_sync(bad);
    let disk = |event: &EngineEvent| matches!(event, EngineEvent::Fault(RfsFault::LocalDisk(_))).then_some(());
    primary.wait("the fault", disk);
    assert_eq!(primary.link.acks.mode(), Mode::Hold);
    let (sender, answer) = mpsc::channel();
    hands.pipe.when_durable(Seq(1), Box::new(move |result| sender.send(result).unwrap_or_default()));
    hands.write(good, 0, b"x").unwrap();
    primary.link.sync_accepted();
    assert!(answer.recv_timeout(Duration::from_millis(200)).is_err());
    primary.assert_no_fault();
    // The core finds that the other copy can't take over.
    primary.link.set_gate(Mode::Pass, GateState::Open { epoch: 2 }, Some(Flow::Alone));
    answer.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
}

#[test]
fn writers_wait_while_the_other_node_takes_nothing_and_go_on_when_it_does() {
    let (primary, secondary) = pair(true, 4 << 20);
    primary.synchronise();
    let hands = primary.hands();
    let files: Vec<_> = (0..4).map(|n| hands.create(ROOT, &format!("{n}")).unwrap()).collect();
    assert_equal(&primary, &secondary);
    let stuck = secondary.link.applying.lock().unwrap();
    let writers: Vec<_> = files
        .into_iter()
        .map(|file| {
            let hands = hands.clone();
            // More than the ring can hold from any one of them.
            std::thread::spawn(move || (0..80).try_for_each(|i| hands.write(file, i << 16, &[7; 1 << 16]).map(drop)))
        })
        .collect();
    let gate = &primary.link.dirs[0].gate;
    wait_until("the gate stays open", || gate.state() == GateState::Closed);
    // What the core repeats makes no room.
    for _ in 0..50 {
        primary.link.set_gate(Mode::Wait, GateState::Open { epoch: 1 }, Some(Flow::InStep));
        assert_eq!(gate.state(), GateState::Closed);
        std::thread::sleep(Duration::from_millis(3));
    }
    assert!(writers.iter().all(|writer| !writer.is_finished()));
    assert!(primary.link.ring.free() > 0);
    drop(stuck);
    writers.into_iter().for_each(|writer| writer.join().unwrap().unwrap());
    assert_equal(&primary, &secondary);
}

#[test]
fn a_change_of_the_gate_does_not_wait_for_those_who_filled_the_ring() {
    let (primary, secondary) = pair(true, 4 << 20);
    primary.synchronise();
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    assert_equal(&primary, &secondary);
    let _stuck = secondary.link.applying.lock().unwrap();
    // As a change of the gate holds it until nobody is inside.
    let changing = lock(&primary.link.throttle);
    let writer =
        std::thread::spawn(move || (0..52).try_for_each(|i| hands.write(file, i << 16, &[7; 1 << 16]).map(drop)));
    wait_until("a writer inside waits for the gate", || writer.is_finished());
    writer.join().unwrap().unwrap();
    assert!(primary.link.ring.free() < primary.link.reserve());
    drop(changing);
    wait_until("the gate stays open", || primary.link.dirs[0].gate.state() == GateState::Closed);
}

#[test]
fn what_travels_is_reported() {
    let (primary, secondary) = in_step(true);
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            while !over.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(90) {
                hands.write(file, 0, &[7; 100_000]).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // The first report is about a time in which nothing was written yet.
        let much = |traffic: &Traffic| traffic.replication >= 100 && traffic.net_out >= 100;
        primary.wait("a report of so much", |event| match event {
            EngineEvent::Traffic(traffic) if much(traffic) => Some(()),
            _ => None,
        });
        secondary.wait("a report of what came", |event| match event {
            EngineEvent::Traffic(traffic) if traffic.net_in >= 100 => {
                assert_eq!((traffic.replication, traffic.reintegration), (0, 0), "it changes nothing by itself");
                Some(())
            }
            _ => None,
        });
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_a_synchronisation_sends_is_reported_apart() {
    let (primary, _secondary) = pair(true, RING);
    let hands = primary.hands();
    let file = hands.create(ROOT, "file").unwrap();
    // Alone: nobody follows, nothing is sent for it.
    hands.write(file, 0, &vec![7; 3_000_000]).unwrap();
    primary.synchronise();
    primary.had("a report of it", |event| match event {
        EngineEvent::Traffic(traffic) if traffic.reintegration > traffic.replication => Some(()),
        _ => None,
    });
}
