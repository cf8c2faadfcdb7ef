//! Two nodes as processes, each with a keeper and a mount, and what the core would tell them.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hf_replica::engine::{EngineCommand as C, EngineEvent as E, Gate, PeerMessage};
use hf_types::{Epoch, Incarnation, Seq};

use super::{assert_same, example, wait_until};

pub struct Node {
    dir: tempfile::TempDir,
    keeper: Child,
    process: Child,
    commands: ChildStdin,
    events: Receiver<E>,
    arguments: Vec<String>,
    renamed: bool,
}

pub struct Pair {
    pub primary: Node,
    pub secondary: Node,
    pub epoch: u64,
}

/// [`super::load`] in another process: this one starts servers.
pub struct OtherLoad(Child);

impl OtherLoad {
    /// Says how many rounds were done.
    pub fn end(mut self) -> u64 {
        drop(self.0.stdin.take());
        let mut rounds = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut rounds).unwrap();
        assert!(self.0.wait().unwrap().success(), "an application saw an error");
        rounds.trim().parse().unwrap()
    }
}

fn spawn(dir: &Path, arguments: &[String], renamed: bool) -> (Child, ChildStdin, Receiver<E>) {
    let mut process = Command::new(example("engine_node"));
    if !renamed {
        process.env("UNRENAMED", "1");
    }
    let mut process =
        process.arg("run").arg(dir).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let commands = process.stdin.take().unwrap();
    let says = BufReader::new(process.stdout.take().unwrap());
    let (sender, events) = channel();
    std::thread::spawn(move || {
        for line in says.lines().map_while(Result::ok) {
            if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                return;
            }
        }
    });
    (process, commands, events)
}

impl Node {
    fn start(own: SocketAddr, peer: SocketAddr, order: &str, kind: &str, left_out: &[&str]) -> Node {
        Node::with_name(own, peer, order, kind, left_out, true)
    }

    fn with_name(own: SocketAddr, peer: SocketAddr, order: &str, kind: &str, left_out: &[&str], renamed: bool) -> Node {
        let dir = tempfile::Builder::new().prefix("hf-pair-").tempdir().unwrap();
        std::fs::create_dir(dir.path().join("mnt")).unwrap();
        let socket = dir.path().join("keeper.sock");
        let keeper = Command::new(example("engine_node")).arg("keeper").arg(&socket).spawn().unwrap();
        wait_until("the keeper listens", || socket.exists());
        let mut arguments = [own.to_string(), peer.to_string(), order.into(), kind.into()].to_vec();
        arguments.extend(left_out.iter().map(|pattern| (*pattern).to_owned()));
        let (process, commands, events) = spawn(dir.path(), &arguments, renamed);
        let mut node = Node { dir, keeper, process, commands, events, arguments, renamed };
        node.wait("Started", |event| matches!(event, E::Started { takeover: false, .. }).then_some(()));
        node
    }

    pub fn mount(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// Where the data is; only while it isn't mounted.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn order(&mut self, commands: impl IntoIterator<Item = C>) {
        for command in commands {
            writeln!(self.commands, "{}", serde_json::to_string(&command).unwrap()).unwrap();
        }
    }

    pub fn wait<T>(&mut self, what: &str, wanted: impl Fn(&E) -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(60);
        let mut before = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self
                .events
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("{what} didn't come ({:?}): {before:?}", self.process.try_wait()));
            if let Some(found) = wanted(&event) {
                return found;
            }
            assert!(!matches!(event, E::Fault(_) | E::MountFailed { .. } | E::SyncFailed { .. }), "{event:?}");
            before.push(event);
        }
    }

    pub fn wait_for(&mut self, event: &E) {
        self.wait(&format!("{event:?}"), |other| (other == event).then_some(()));
    }

    /// kill -9, and a successor at once.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        (self.process, self.commands, self.events) = spawn(self.dir.path(), &self.arguments, self.renamed);
        self.wait("Started", |event| matches!(event, E::Started { takeover: true, .. }).then_some(()));
    }

    pub fn drain(&mut self) {
        self.order([C::Drain]);
        self.wait("Drained", |event| matches!(event, E::Drained { .. }).then_some(()));
    }

    pub fn stop(&mut self) {
        self.order([C::SetGate(Gate::Closed), C::Hangup, C::Unmount]);
        self.wait_for(&E::Unmounted);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _killed = self.process.kill();
        let _reaped = self.process.wait();
        // SIGTERM: it unmounts.
        // SAFETY: our own child, not reaped yet.
        unsafe { libc::kill(self.keeper.id() as i32, libc::SIGTERM) };
        // Unmounting waits for who waits for a server that isn't there (a test that failed): without the keeper they get an error.
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end && matches!(self.keeper.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _killed = self.keeper.kill();
        let _reaped = self.keeper.wait();
        // Twice: our mount, and a file system of its own.
        for path in [self.mount(), self.data(), self.mount(), self.data()] {
            let path = std::ffi::CString::new(path.into_os_string().into_encoded_bytes()).unwrap();
            // SAFETY: a path. The cover, and what the keeper could not unmount.
            unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

impl Pair {
    /// Both mounted and in step.
    pub fn start(kind: &str) -> Pair {
        Pair::leaving_out(kind, &[])
    }

    /// What matches one of these patterns isn't replicated.
    pub fn leaving_out(kind: &str, left_out: &[&str]) -> Pair {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (a, b) = (free(), free());
        let (primary, secondary) =
            (Node::start(a, b, "first", kind, left_out), Node::start(b, a, "other", kind, left_out));
        Pair::mounted(primary, secondary)
    }

    /// The first one's directory is a file system of its own, from this image.
    pub fn on_disk(kind: &str, image: &Path) -> Pair {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (a, b) = (free(), free());
        let (primary, secondary) = (Node::start(a, b, "first", kind, &[]), Node::start(b, a, "other", kind, &[]));
        let mount = Command::new("mount").args(["-o", "loop"]).args([image, &primary.mount()]).status().unwrap();
        assert!(mount.success());
        Pair::mounted(primary, secondary)
    }

    /// `mountover="off"`.
    pub fn unrenamed(kind: &str) -> Pair {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (a, b) = (free(), free());
        let primary = Node::with_name(a, b, "first", kind, &[], false);
        let secondary = Node::with_name(b, a, "other", kind, &[], false);
        std::fs::write(primary.mount().join("before"), b"text").unwrap();
        Pair::mounted(primary, secondary)
    }

    fn mounted(primary: Node, secondary: Node) -> Pair {
        let mut pair = Pair { primary, secondary, epoch: 3 };
        pair.primary.order([C::SetGate(Gate::Closed), C::Mount]);
        pair.secondary.order([C::SetGate(Gate::ReadOnly), C::Mount]);
        pair.primary.wait_for(&E::Mounted);
        pair.secondary.wait_for(&E::Mounted);
        pair
    }

    /// Applications on the primary's mount.
    pub fn load(&self) -> OtherLoad {
        let mut load = Command::new(example("load"));
        let load = load.arg(self.primary.mount()).stdin(Stdio::piped()).stdout(Stdio::piped());
        OtherLoad(load.spawn().unwrap())
    }

    fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    pub fn connect(&mut self) {
        self.secondary.order([C::Listen]);
        let epoch = self.epoch();
        self.primary.order([C::SetGate(Gate::Alone { epoch }), C::Connect]);
        self.primary.wait_for(&E::LinkUp);
        self.secondary.wait_for(&E::LinkUp);
    }

    pub fn synchronise(&mut self) {
        let epoch = self.epoch();
        self.primary.order([C::SetGate(Gate::Syncing { epoch }), C::StartSync(hf_types::SyncWish::default())]);
        self.primary.wait("SyncSent", |event| matches!(event, E::SyncSent { .. }).then_some(()));
        self.primary.order([C::SetGate(Gate::InStep { epoch })]);
    }

    fn go_on(&mut self) {
        self.primary.wait("LinkUp", |event| matches!(event, E::LinkUp).then_some(()));
        self.secondary.wait("LinkUp", |event| matches!(event, E::LinkUp).then_some(()));
        let epoch = self.epoch();
        self.secondary.order([C::Send(PeerMessage::Hello {
            version: 1,
            incarnation: Incarnation(1),
            primary: false,
            epoch,
            records: Vec::new(),
            applied: Seq(1),
            wish: hf_types::SyncWish::default(),
            common: None,
        })]);
        let goes_on = self.primary.wait("Hello", |event| match event {
            E::Received(PeerMessage::Hello { applied, .. }) => Some(*applied != Seq(0)),
            _ => None,
        });
        assert!(goes_on, "the stream can't go on");
        self.primary.order([C::SetGate(Gate::InStep { epoch })]);
    }

    /// The primary's process dies and goes on in step.
    pub fn kill_primary(&mut self) {
        self.primary.kill();
        self.primary.order([C::SetGate(Gate::Closed), C::Mount]);
        self.primary.wait_for(&E::Mounted);
        self.primary.order([C::Connect]);
        self.go_on();
    }

    /// The secondary's process dies and follows again.
    pub fn kill_secondary(&mut self) {
        self.secondary.kill();
        self.secondary.order([C::SetGate(Gate::ReadOnly), C::Mount]);
        self.secondary.wait_for(&E::Mounted);
        self.secondary.order([C::Listen]);
        self.go_on();
    }

    /// The roles change places; nothing is compared.
    pub fn swap(&mut self) {
        self.hand_over();
        self.open_in_step();
    }

    /// A swap up to where the new primary still lets nothing in.
    pub fn hand_over(&mut self) {
        self.epoch += 1;
        let epoch = self.epoch();
        self.primary.drain();
        self.primary.order([C::SetGate(Gate::ReadOnly), C::Send(PeerMessage::Handover { epoch, seq: Seq(0) })]);
        let handover = |event: &E| matches!(event, E::Received(PeerMessage::Handover { .. })).then_some(());
        self.secondary.wait("Handover", handover);
        self.secondary.drain();
        self.secondary.order([C::SetGate(Gate::Closed), C::Send(PeerMessage::HandoverTaken { epoch }), C::Connect]);
        self.primary.wait_for(&E::Received(PeerMessage::HandoverTaken { epoch }));
        self.primary.order([C::Hangup, C::Listen]);
        std::mem::swap(&mut self.primary, &mut self.secondary);
        self.primary.wait("LinkUp", |event| matches!(event, E::LinkUp).then_some(()));
        self.secondary.wait("LinkUp", |event| matches!(event, E::LinkUp).then_some(()));
    }

    /// The end of a swap.
    pub fn open_in_step(&mut self) {
        let epoch = self.epoch();
        self.primary.order([C::SetGate(Gate::InStep { epoch })]);
    }

    /// Both mounts show the same.
    pub fn assert_same(&mut self) {
        self.primary.drain();
        self.secondary.drain();
        assert_same(&self.primary.mount(), &self.secondary.mount());
    }

    /// Both give their mounts back.
    pub fn stop(&mut self) {
        self.primary.stop();
        self.secondary.stop();
    }

    /// So do both directories below the mounts.
    pub fn stop_and_compare(mut self) {
        self.primary.drain();
        self.secondary.drain();
        self.stop();
        assert_same(&self.primary.dir.path().join("data"), &self.secondary.dir.path().join("data"));
    }
}
