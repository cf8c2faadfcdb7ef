use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use hf_replica::engine::{EngineCommand as C, EngineEvent as E};
use hf_types::{GenerationId, Incarnation};

use super::*;
use crate::backing::Backing;
use crate::link::DirPipeline;
use crate::link::harness::{Hands, Word, describe, free_address};
use crate::link::ring::Ring;
use crate::table::Table;

/// Directories without a mount.
struct Bare {
    directories: Vec<Directory>,
}

struct Nothing;

impl Shown for Nothing {
    fn set_role(&self, _role: Role) {}

    fn write_back(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Stage for Bare {
    fn is_takeover(&self) -> bool {
        false
    }

    fn open(&mut self, _role: Role, range: u16) -> Result<Vec<Arc<Backing>>, String> {
        let open = |directory: &Directory| {
            let table = Arc::new(Table::create(range).map_err(|error| error.to_string())?);
            let backing = Backing::open(&directory.backing, &directory.control(), table);
            backing.map(Arc::new).map_err(|error| with_causes(&error))
        };
        self.directories.iter().map(open).collect()
    }

    fn ring(&mut self, capacity: usize) -> Result<Ring, String> {
        Ring::create(capacity).map_err(|error| error.to_string())
    }

    fn serve(&mut self, _link: &Arc<Link>) -> Result<Arc<dyn Shown>, String> {
        Ok(Arc::new(Nothing))
    }

    fn close(&mut self) -> Result<(), String> {
        Ok(())
    }
}

struct Core {
    engine: Engine,
    events: mpsc::Receiver<E>,
    config: EngineConfig,
    _dir: tempfile::TempDir,
}

fn config(dir: &Path, own: SocketAddr, peer: SocketAddr, first: bool) -> EngineConfig {
    let directory = |name: &str| {
        let backing = dir.join(name);
        std::fs::create_dir_all(&backing).unwrap();
        Directory {
            dir: dir.join(format!("{name}.mount")),
            backing,
            renamed: true,
            to_check: Vec::new(),
            left_out: Vec::new(),
        }
    };
    EngineConfig {
        directories: vec![directory("data"), directory("log")],
        keeper: dir.join("keeper.sock"),
        lanes: LaneSource::fixed(own, peer),
        first,
        acl: true,
        async_second: false.into(),
        send_timeout: Duration::from_secs(30),
        lock_timeout: Duration::from_secs(100),
        silence: Duration::from_secs(5),
        disk: Default::default(),
        tuning: Default::default(),
        bandwidth_kb_s: None,
        identity: 5,
        boot_id: "boot".into(),
        authenticate: Arc::new(Word(b"open sesame")),
    }
}

fn start(config: &EngineConfig) -> (Engine, mpsc::Receiver<E>) {
    let (sender, events) = mpsc::channel();
    let stage = Box::new(Bare { directories: config.directories.clone() });
    let events_out: Events = Arc::new(move |event| sender.send(event).unwrap_or_default());
    (Engine::with_stage(config.clone(), stage, events_out).unwrap(), events)
}

impl Core {
    fn new(own: SocketAddr, peer: SocketAddr, first: bool) -> Core {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), own, peer, first);
        let (engine, events) = start(&config);
        Core { engine, events, config, _dir: dir }
    }

    fn order(&self, commands: impl IntoIterator<Item = C>) {
        commands.into_iter().for_each(|command| self.engine.command(command));
    }

    fn wait<T>(&self, what: &str, wanted: impl Fn(E) -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(60);
        let mut before = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).unwrap_or_else(|_| panic!("{what} didn't come: {before:?}"));
            if let Some(found) = wanted(event.clone()) {
                return found;
            }
            assert!(!matches!(event, E::Fault(_) | E::MountFailed { .. } | E::SyncFailed { .. }), "{event:?}");
            before.push(event);
        }
    }

    fn wait_for(&self, event: &E) {
        self.wait(&format!("{event:?}"), |other| (other == *event).then_some(()));
    }

    fn hands(&self, dir: u16) -> Hands {
        let link = self.engine.link().unwrap();
        Hands { backing: link.dirs[usize::from(dir)].backing.clone(), pipe: DirPipeline::new(link, dir) }
    }

    fn drain(&self) -> Seq {
        self.order([C::Drain]);
        self.wait("Drained", |event| if let E::Drained { seq } = event { Some(seq) } else { None })
    }
}

const EPOCH: Epoch = Epoch(3);

/// What two cores do from the start until both are in step.
fn in_step() -> (Core, Core) {
    let (a, b) = (free_address(), free_address());
    let (primary, secondary) = (Core::new(a, b, true), Core::new(b, a, false));
    for core in [&primary, &secondary] {
        core.wait("Started", |event| if let E::Started { records, .. } = event { Some(records) } else { None });
    }
    primary.order([C::SetGate(Gate::Closed), C::Mount]);
    secondary.order([C::SetGate(Gate::ReadOnly), C::Mount]);
    primary.wait_for(&E::Mounted);
    secondary.wait_for(&E::Mounted);
    secondary.order([C::Listen]);
    primary.order([C::SetGate(Gate::Alone { epoch: EPOCH }), C::Connect]);
    primary.wait_for(&E::LinkUp);
    secondary.wait_for(&E::LinkUp);
    for dir in 0..2 {
        let hands = primary.hands(dir);
        let file = hands.create(FileId::ROOT, "before").unwrap();
        hands.write(file, 0, &[dir as u8; 5000]).unwrap();
    }
    primary.order([C::SetGate(Gate::Syncing { epoch: EPOCH }), C::StartSync(hf_types::SyncWish::default())]);
    primary.wait("SyncSent", |event| matches!(event, E::SyncSent { .. }).then_some(()));
    primary.order([C::SetGate(Gate::InStep { epoch: EPOCH })]);
    (primary, secondary)
}

fn assert_equal(one: &Core, other: &Core) {
    for (one, other) in one.config.directories.iter().zip(&other.config.directories) {
        assert_eq!(describe(&one.backing), describe(&other.backing));
    }
}

#[test]
fn records_are_found_again_by_the_next_process() {
    let core = Core::new(free_address(), free_address(), true);
    let started = |event| if let E::Started { records, .. } = event { Some(records) } else { None };
    let mut records = core.wait("Started", started);
    assert_eq!(records.iter().map(|record| record.identity).collect::<Vec<_>>(), [5, 6]);
    records[1].epoch = Epoch(9);
    core.order([C::WriteRecords { token: 8, records: records.clone() }]);
    core.wait_for(&E::RecordsWritten { token: 8 });
    let (_engine, events) = start(&core.config);
    assert_eq!(started(events.recv().unwrap()), Some(records));
}

#[test]
fn a_synchronisation_and_writes_of_two_directories_go_over_one_link() {
    let (primary, secondary) = in_step();
    for dir in 0..2 {
        let hands = primary.hands(dir);
        let file = hands.create(FileId::ROOT, "after").unwrap();
        hands.write(file, 0, &[dir as u8 + 7; 5000]).unwrap();
        hands.sync(file).unwrap();
    }
    primary.drain();
    secondary.drain();
    assert_equal(&primary, &secondary);
    for core in [&primary, &secondary] {
        core.order([C::SetGate(Gate::Closed), C::Hangup, C::Unmount]);
        core.wait_for(&E::Unmounted);
    }
    primary.order([C::Mount]);
    primary.wait_for(&E::Mounted);
}

#[test]
fn a_message_arrives_after_everything_before_it() {
    let (primary, secondary) = in_step();
    let hands = primary.hands(0);
    let file = hands.create(FileId::ROOT, "file").unwrap();
    for round in 1..20u64 {
        hands.write(file, 0, &vec![round as u8; 1 << 20]).unwrap();
        hands.truncate(file, round).unwrap();
        primary.order([C::Send(PeerMessage::InStep { epoch: Epoch(round) })]);
        secondary.wait_for(&E::Received(PeerMessage::InStep { epoch: Epoch(round) }));
        let there = secondary.config.directories[0].backing.join("file");
        assert_eq!(std::fs::read(there).unwrap(), vec![round as u8; round as usize]);
    }
}

#[test]
fn hello_says_how_far_the_copy_is_and_whether_that_helps() {
    let (primary, secondary) = in_step();
    primary.drain();
    let hello = |epoch| PeerMessage::Hello {
        version: 1,
        incarnation: Incarnation(1),
        primary: false,
        epoch,
        records: Vec::new(),
        applied: Seq(1),
        wish: hf_types::SyncWish::default(),
        common: None,
    };
    secondary.order([C::Hangup, C::Listen]);
    assert!(greet(&primary, &secondary, &hello(EPOCH)) > Seq(0), "the stream goes on");
    primary.order([C::SetGate(Gate::Alone { epoch: Epoch(4) }), C::Hangup, C::Connect]);
    primary.wait("LinkDown", |event| matches!(event, E::LinkDown { .. }).then_some(()));
    assert_eq!(greet(&primary, &secondary, &hello(EPOCH)), Seq(0), "a synchronisation is needed");
}

/// Says hello until it arrives, as the core does at every new connection: one that was just accepted may still break.
fn greet(primary: &Core, secondary: &Core, hello: &PeerMessage) -> Seq {
    let end = Instant::now() + Duration::from_secs(60);
    let mut before = Vec::new();
    loop {
        secondary.order([C::Send(hello.clone())]);
        let until = Instant::now() + Duration::from_millis(200);
        while let Ok(event) = primary.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if let E::Received(PeerMessage::Hello { applied, .. }) = event {
                return applied;
            }
            before.push(event);
        }
        let there: Vec<E> = secondary.events.try_iter().collect();
        assert!(Instant::now() < end, "no hello arrives: {before:?}; there {there:?}");
    }
}

#[test]
fn a_drain_without_the_other_copy_ends_when_the_primary_may_go_alone() {
    let (primary, secondary) = in_step();
    secondary.order([C::Hangup]);
    let hands = primary.hands(0);
    hands.create(FileId::ROOT, "file").unwrap();
    primary.order([C::Drain]);
    let early = |event| matches!(event, E::Drained { .. }).then_some(());
    let end = Instant::now() + Duration::from_millis(300);
    while let Ok(event) = primary.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
        assert_eq!(early(event), None);
    }
    primary.order([C::SetGate(Gate::Closed), C::SetGate(Gate::Alone { epoch: Epoch(4) })]);
    primary.wait("Drained", early);
}

#[test]
fn a_released_gate_ends_what_waits_with_an_error_and_still_lets_read() {
    let (primary, _secondary) = in_step();
    let file = primary.hands(0).create(FileId::ROOT, "file").unwrap();
    primary.hands(0).write(file, 0, b"before").unwrap();
    primary.hands(0).sync(file).unwrap();
    primary.order([C::SetGate(Gate::Closed)]);
    let (sender, ended) = mpsc::channel();
    let hands = primary.hands(0);
    std::thread::spawn(move || sender.send(hands.sync(file).map(drop).map_err(|error| error.raw_os_error())));
    assert!(ended.recv_timeout(Duration::from_millis(200)).is_err(), "a closed gate holds it");
    primary.order([C::SetGate(Gate::Released)]);
    let end = ended.recv_timeout(Duration::from_secs(60)).expect("it ends");
    assert_eq!(end, Err(Some(libc::EIO)));
    let refused = primary.hands(0).create(FileId::ROOT, "another").map_err(|error| error.raw_os_error());
    assert_eq!(refused.err(), Some(Some(libc::EIO)));
    assert_eq!(std::fs::read(primary.config.directories[0].backing.join("file")).unwrap(), b"before");
}

#[test]
fn a_swap_goes_on_without_comparing() {
    let (primary, secondary) = in_step();
    let file = primary.hands(1).create(FileId::ROOT, "file").unwrap();
    primary.hands(1).write(file, 0, b"before").unwrap();
    primary.drain();
    primary.order([C::SetGate(Gate::ReadOnly)]);
    primary.order([C::Send(PeerMessage::Handover { epoch: Epoch(4), seq: Seq(0) })]);
    secondary.wait("Handover", |event| matches!(event, E::Received(PeerMessage::Handover { .. })).then_some(()));
    secondary.drain();
    secondary.order([C::SetGate(Gate::Closed), C::Send(PeerMessage::HandoverTaken { epoch: Epoch(4) }), C::Connect]);
    primary.wait_for(&E::Received(PeerMessage::HandoverTaken { epoch: Epoch(4) }));
    primary.order([C::Hangup, C::Listen]);
    secondary.wait("LinkUp", |event| matches!(event, E::LinkUp).then_some(()));
    secondary.order([C::SetGate(Gate::InStep { epoch: Epoch(4) })]);
    let hands = secondary.hands(1);
    hands.write(file, 6, b" and after").unwrap();
    hands.sync(file).unwrap();
    hands.create(FileId::ROOT, "new").unwrap();
    secondary.drain();
    assert_equal(&secondary, &primary);
    assert!(primary.hands(0).create(FileId::ROOT, "refused").is_err());
}

#[test]
fn messages_of_a_synchronisation_carry_its_end() {
    let (primary, secondary) = in_step();
    let last = primary.engine.link().unwrap().ring.last();
    primary.order([C::Send(PeerMessage::SyncEnd {
        epoch: EPOCH,
        generation: GenerationId(1),
        history: Vec::new(),
        seq: Seq(0),
        count: Default::default(),
    })]);
    let seq = secondary.wait("SyncEnd", |event| match event {
        E::Received(PeerMessage::SyncEnd { seq, .. }) => Some(seq),
        _ => None,
    });
    assert_eq!(seq, Seq(last));
}

#[test]
fn what_is_to_check_must_be_there_unless_the_copy_is_new() {
    let own = free_address();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), own, own, true);
    config.directories[1].to_check = vec!["sub/file".into()];
    let (engine, events) = start(&config);
    // Whether the directories answer is said whenever somebody has looked.
    let said = || events.recv_timeout(Duration::from_secs(60)).unwrap();
    let next = || std::iter::repeat_with(said).find(|event| !matches!(event, E::Responding(_))).unwrap();
    assert!(matches!(next(), E::Started { .. }));
    engine.command(C::SetGate(Gate::Closed));
    engine.command(C::Mount);
    match next() {
        E::MountFailed { why } => assert!(why.contains("sub/file (tocheck) is missing in"), "{why}"),
        other => panic!("{other:?}"),
    }
    engine.command(C::SetGate(Gate::ReadOnly));
    engine.command(C::Mount);
    assert_eq!(next(), E::Mounted, "a new secondary gets its files from the primary");
    engine.command(C::Unmount);
    assert_eq!(next(), E::Unmounted);
    std::fs::create_dir(config.directories[1].backing.join("sub")).unwrap();
    std::fs::write(config.directories[1].backing.join("sub/file"), "").unwrap();
    engine.command(C::SetGate(Gate::Closed));
    engine.command(C::Mount);
    assert_eq!(next(), E::Mounted);
}
