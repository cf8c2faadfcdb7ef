//! Serves a directory without replication: for measuring, for tests, for trying things.
//!
//! ```text
//! mount_local keeper SOCKET                       holds mounts until SIGTERM
//! mount_local serve SOCKET BACKING MOUNTPOINT     serves one; may be killed and started again
//! mount_local supervise SOCKET BACKING MOUNTPOINT for tests: starts servers; "kill", "role" and "gate" on standard input
//! mount_local down SOCKET                         unmounts everything
//! ```
//!
//! `THREADS` in the environment: how many threads answer the kernel. `ROLE=secondary`: read-only. SIGUSR2 closes and opens the gate. `MIRROR=DIR`: repeats every operation in a second, empty directory. SIGUSR1 changes the role.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use hf_config::Exclusions;
use hf_fs::backing::Backing;
use hf_fs::front::{Directory, Front, Opened, Role, protect};
use hf_fs::keeper::{self, Client};
use hf_fs::pipeline::{
    Admission, Completion, DiskFault, Gate, GateState, LocalPipeline, Op, Order, Pipeline, Refusal, Seq,
};
use hf_fs::table::Table;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    tracing_to_stderr();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["keeper", socket] => Ok(keeper::run(Path::new(socket))?),
        ["serve", socket, backing, mountpoint] => serve(Path::new(socket), backing, mountpoint),
        ["supervise", rest @ ..] => supervise(rest),
        ["down", socket] => Ok(Client::connect(Path::new(socket))?.exit()?),
        _ => {
            Err("usage: mount_local keeper SOCKET | serve SOCKET BACKING MOUNTPOINT | supervise ... | down SOCKET"
                .into())
        }
    }
}

fn serve(socket: &Path, backing: &str, mountpoint: &str) -> Outcome {
    for failed in protect::protect_process() {
        tracing::warn!("{failed}: {}", failed.source);
    }
    let signals = signals_of_tests()?;
    let threads = std::env::var("THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    let secondary = std::env::var("ROLE").is_ok_and(|role| role == "secondary");
    let directory = Directory {
        mountpoint: PathBuf::from(mountpoint),
        backing: PathBuf::from(backing),
        control: PathBuf::from(format!("{backing}.hold")),
        left_out: Exclusions::default(),
        acl: true,
        range: 2,
        role: if secondary { Role::Secondary } else { Role::Primary },
        threads,
    };
    let mut client = Client::connect(socket)?;
    let opened = Opened::open(&mut client, directory)?;
    let (counter, _) = client.memory(mountpoint, "local", 4096)?;
    let gate = if secondary { GateState::ReadOnly } else { GateState::Open { epoch: 1 } };
    let mirror = std::env::var("MIRROR").ok().map(|dir| open_mirror(&dir)).transpose()?;
    let pipeline = Arc::new(Mirroring { local: LocalPipeline::kept(counter, gate)?, mirror });
    let (front, server) = opened.serve(&mut client, pipeline.clone())?;
    println!("serving {mountpoint}");
    let at = PathBuf::from(mountpoint);
    std::thread::spawn(move || obey(&signals, &front, &pipeline, &at));
    Ok(server.wait()?)
}

/// A server must not be started by a process that has files open in the mount: closing them on the way would wait for the very server.
fn supervise(args: &[&str]) -> Outcome {
    let start = || std::process::Command::new("/proc/self/exe").arg("serve").args(args).spawn();
    let mut server = start()?;
    for line in std::io::stdin().lines() {
        match line?.as_str() {
            "kill" => {
                server.kill()?;
                server.wait()?;
                server = start()?;
            }
            // SAFETY: a child of ours.
            "gate" => drop(unsafe { libc::kill(server.id() as i32, libc::SIGUSR2) }),
            // SAFETY: a child of ours.
            _ => drop(unsafe { libc::kill(server.id() as i32, libc::SIGUSR1) }),
        }
    }
    server.kill()?;
    server.wait()?;
    Ok(())
}

fn signals_of_tests() -> nix::Result<nix::sys::signal::SigSet> {
    let mut signals = nix::sys::signal::SigSet::empty();
    signals.add(nix::sys::signal::Signal::SIGUSR1);
    signals.add(nix::sys::signal::Signal::SIGUSR2);
    signals.thread_block()?;
    Ok(signals)
}

fn obey(signals: &nix::sys::signal::SigSet, front: &Arc<Front>, pipeline: &Mirroring, mountpoint: &Path) {
    let mut epoch = 1;
    while let Ok(signal) = signals.wait() {
        if signal == nix::sys::signal::Signal::SIGUSR2 {
            let gate = pipeline.gate();
            let open = GateState::Open { epoch };
            let waiting = gate.waiting();
            gate.set(if gate.state() == open { GateState::Closed } else { open });
            println!("gate {:?}, {waiting} waited", gate.state());
            continue;
        }
        let changed = match front.role() {
            Role::Primary => {
                front.write_back(mountpoint).expect("the mount is there");
                pipeline.gate().set(GateState::ReadOnly);
                front.set_role(Role::Secondary)
            }
            Role::Secondary => {
                epoch += 1;
                let changed = front.set_role(Role::Primary);
                pipeline.gate().set(GateState::Open { epoch });
                changed
            }
        };
        println!("{:?} {changed:?}", front.role());
    }
}

/// A pipeline that repeats every operation in a second directory at once, in its order, so that tests can compare the two.
struct Mirroring {
    local: LocalPipeline,
    mirror: Option<Mutex<Backing>>,
}

fn open_mirror(dir: &str) -> Result<Mutex<Backing>, Box<dyn std::error::Error>> {
    let control = format!("{dir}.hold");
    let table = Arc::new(Table::create(3)?);
    Ok(Mutex::new(Backing::open(Path::new(dir), Path::new(&control), table)?))
}

impl Pipeline for Mirroring {
    fn gate(&self) -> &Gate {
        self.local.gate()
    }

    fn order(&self) -> &Order {
        self.local.order()
    }

    fn append(&self, admission: &Admission<'_>, op: &Op<'_>, mark: Option<&AtomicU64>) -> Result<Seq, Refusal> {
        let Some(mirror) = &self.mirror else { return self.local.append(admission, op, mark) };
        let mirror = mirror.lock().expect("no panic under this lock");
        let seq = self.local.append(admission, op, mark)?;
        if let Err(error) = mirror.apply(op) {
            eprintln!("DIVERGED {error}: {op:?} {}", error.source);
            std::process::exit(3);
        }
        Ok(seq)
    }

    fn note(&self, admission: &Admission<'_>, mark: Option<&AtomicU64>) -> Result<(), Refusal> {
        self.local.note(admission, mark)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.local.has_room(bytes)
    }

    fn compare_again(&self, why: &str) {
        self.local.compare_again(why);
    }

    fn last(&self) -> Seq {
        self.local.last()
    }

    fn when_received(&self, seq: Seq, done: Completion) {
        self.local.when_received(seq, done);
    }

    fn when_durable(&self, seq: Seq, done: Completion) {
        self.local.when_durable(seq, done);
    }

    fn disk_fault(&self, fault: DiskFault, answer: Completion) {
        self.local.disk_fault(fault, answer);
    }
}

fn tracing_to_stderr() {
    // Only what goes wrong: this is a tool for measuring.
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_writer(std::io::stderr);
    subscriber.init();
}
