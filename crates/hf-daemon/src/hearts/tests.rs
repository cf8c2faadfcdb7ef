//! With a fake heart: this test binary itself, started through a script that looks like our program.

use super::*;
use crate::event::{Event, HeartEvent};
use hf_types::{Colour, Incarnation, ModuleState, Ticket};
use hf_wire::bus::{HeartToDaemon, ModuleStatus, Role};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

/// Not a test: the fake heart. Says who it is in the reason of its state; ends in good order at `stop`, dies at `forcestop`.
#[test]
#[ignore]
fn fake_heart() {
    let Ok(arguments) = std::env::var("HF_FAKE_HEART") else {
        return;
    };
    let paths = Paths::from_environment();
    let module: ModuleName = std::env::var("SAFEMODULE").unwrap().parse().unwrap();
    let _pid = hf_exec::PidFile::acquire(&paths.pid_file(&module, "heart")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(beat(&paths, &module, &arguments));
}

async fn beat(paths: &Paths, module: &ModuleName, arguments: &str) {
    let socket = paths.heart_socket(module);
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut daemon) = hf_bus::accept(stream, Role::Heart).await else {
            continue; // it died while it was connecting
        };
        daemon.send(&status(module, arguments)).await.unwrap();
        while let Ok(Some(message)) = daemon.receive::<DaemonToHeart>().await {
            match message {
                DaemonToHeart::Control { command: Command::Stop, .. } => {
                    daemon.send(&HeartToDaemon::Stopped { restart: None, why: None, reboot: false }).await.unwrap();
                    std::fs::remove_file(&socket).unwrap();
                    return;
                }
                DaemonToHeart::Control { command: Command::Forcestop, .. } => std::process::abort(),
                DaemonToHeart::Control { ticket, .. } => {
                    let answer = HeartToDaemon::Answer { ticket, result: Ok(()) };
                    daemon.send(&answer).await.unwrap();
                }
                DaemonToHeart::Peer(_)
                | DaemonToHeart::Node { .. }
                | DaemonToHeart::Reread { .. }
                | DaemonToHeart::Errd { .. }
                | DaemonToHeart::Rfssync { .. }
                | DaemonToHeart::Set { .. } => {}
            }
        }
    }
}

fn status(module: &ModuleName, arguments: &str) -> HeartToDaemon {
    let pid = std::process::id();
    let session = rustix::process::getsid(None).unwrap().as_raw_nonzero();
    let variable = |name| std::env::var(name).unwrap_or_default();
    let why = format!("{pid}|{session}|{arguments}|{}|{}", variable("HOLDFAST_NODE"), variable("NOTIFY_SOCKET"));
    HeartToDaemon::Status {
        incarnation: Incarnation(u64::from(pid)),
        epoch: hf_types::Epoch(0),
        status: ModuleStatus {
            node: "n1".parse().unwrap(),
            module: module.clone(),
            id: 1,
            state: ModuleState::Wait,
            colour: Colour::Magenta,
            resources: Vec::new(),
            why: Some(why),
            sync: None,
        },
    }
}

struct Node {
    paths: Paths,
    program: PathBuf,
    _dir: tempfile::TempDir,
}

impl Node {
    fn new() -> Node {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("holdfast");
        let test = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\nHF_FAKE_HEART=\"$*\" exec {} --exact hearts::tests::fake_heart --ignored --nocapture >/dev/null\n",
            test.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Node { paths: Paths::new(dir.path().join("safe"), dir.path().join("var")), program, _dir: dir }
    }

    fn daemon(&self) -> Daemon {
        let (events, inbox) = mpsc::channel(100);
        let hearts = Hearts::new(self.paths.clone(), self.program.clone(), events);
        Daemon { hearts, inbox, run: 0 }
    }
}

struct Daemon {
    hearts: Hearts,
    inbox: mpsc::Receiver<Event>,
    run: u64,
}

impl Daemon {
    fn start(&mut self) {
        let caller = Caller("a test".to_owned());
        self.hearts.spawn(&"n1".parse().unwrap(), &module(), Command::Start, &caller).unwrap();
    }

    fn order(&mut self, command: Command) {
        let by = Caller::system();
        self.hearts.send(&module(), &DaemonToHeart::Control { ticket: Ticket(7), command, by });
    }

    /// The next thing that the loop would see.
    async fn next(&mut self) -> HeartEvent {
        let event = tokio::time::timeout(PATIENCE, self.inbox.recv()).await;
        let Ok(Some(Event::Heart { module, run, event })) = event else {
            panic!("no event of a heart");
        };
        assert!(self.hearts.is_current(&module, run));
        self.run = run;
        event
    }

    /// Connects, and what the heart says of itself.
    async fn meet(&mut self) -> String {
        let HeartEvent::Connected(outbox) = self.next().await else {
            panic!("not connected");
        };
        self.hearts.connected(&module(), outbox);
        let HeartEvent::Message(HeartToDaemon::Status { status, .. }) = self.next().await else {
            panic!("no status");
        };
        status.why.unwrap()
    }

    async fn end(&mut self) -> bool {
        let HeartEvent::Gone { stopped } = self.next().await else {
            panic!("not gone");
        };
        self.hearts.forget(&module());
        stopped
    }
}

fn module() -> ModuleName {
    "pg".parse().unwrap()
}

#[tokio::test]
async fn a_heart_gets_its_arguments_a_session_of_its_own_and_what_was_said_before_it_listened() {
    let node = Node::new();
    let mut daemon = node.daemon();
    daemon.start();
    daemon.order(Command::Swap);
    let said = daemon.meet().await;
    let words: Vec<&str> = said.split('|').collect();
    assert_eq!(words[0], words[1], "leader of its own session");
    assert_eq!(words[2..], ["heart pg --first start --by a test", "n1", ""]);
    let HeartEvent::Message(answer) = daemon.next().await else {
        panic!("no answer");
    };
    assert_eq!(answer, HeartToDaemon::Answer { ticket: Ticket(7), result: Ok(()) });
    daemon.order(Command::Forcestop);
    assert!(!daemon.end().await, "an abort is a death");
}

#[tokio::test]
async fn an_end_that_was_announced_is_told_from_a_death() {
    let node = Node::new();
    let mut daemon = node.daemon();
    daemon.start();
    daemon.meet().await;
    daemon.order(Command::Stop);
    let said = daemon.next().await;
    assert!(matches!(said, HeartEvent::Message(HeartToDaemon::Stopped { restart: None, .. })));
    assert!(daemon.end().await);
    assert!(!node.paths.heart_socket(&module()).exists());
}

#[test]
fn a_heart_outlives_the_daemon_and_is_found_again() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let node = Node::new();
    let first = runtime();
    let before = first.block_on(async {
        let mut daemon = node.daemon();
        daemon.start();
        daemon.meet().await
    });
    drop(first);
    runtime().block_on(async {
        let mut daemon = node.daemon();
        assert_eq!(daemon.hearts.adopt_all(), [module()]);
        assert_eq!(daemon.meet().await, before, "the same process");
        daemon.start();
        assert_eq!(daemon.run, 1, "no second heart beside the first");
        daemon.order(Command::Forcestop);
        assert!(!daemon.end().await);
        assert_eq!(node.daemon().hearts.adopt_all(), []);
    });
    assert!(node.paths.heart_socket(&module()).exists(), "how a later daemon knows of the death");
}

#[tokio::test]
async fn a_pid_file_of_another_boot_or_process_is_no_heart() {
    let node = Node::new();
    let pid = node.paths.pid_file(&module(), "heart");
    std::fs::create_dir_all(pid.parent().unwrap()).unwrap();
    let me = hf_exec::Identity::of_self().unwrap();
    let later = hf_exec::Identity { start_ticks: me.start_ticks + 1, ..me.clone() };
    let elsewhere = hf_exec::Identity { boot_id: "another".to_owned(), ..me };
    for identity in [later, elsewhere] {
        std::fs::write(&pid, identity.to_string()).unwrap();
        assert_eq!(node.daemon().hearts.adopt_all(), []);
    }
}
