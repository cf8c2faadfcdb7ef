//! Processes are counted, and their end is told at once.

mod place;

use hf_exec::{Monitor, Target};
use hf_types::ProcCount;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A loaded machine may need long; nothing here waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// `sleep` under a name that nothing else has.
struct Program {
    _place: place::Place,
    path: PathBuf,
    name: String,
}

impl Program {
    fn new(name: &str) -> Program {
        let place = place::Place::new();
        let name = format!("{name}{}", std::process::id() % 100_000);
        let path = place.path(&name);
        std::fs::copy("/bin/sleep", &path).expect("a copy of sleep");
        Program { _place: place, path, name }
    }

    /// Started anew while the copy's descriptor may still be open in another test's child.
    fn run(&self, argument: &str) -> Child {
        let end = Instant::now() + PATIENCE;
        loop {
            match Command::new(&self.path).arg(argument).spawn() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                other => return other.expect("it runs"),
            }
        }
    }

    fn target(&self, name: &str, argument: Option<&'static str>) -> Target {
        let comm = self.name.clone();
        Target {
            name: name.to_owned(),
            fits_name: Box::new(move |name| name == comm),
            fits_command: argument.map(|argument| Box::new(move |text: &str| text.ends_with(argument)) as _),
        }
    }
}

fn monitor(targets: Vec<Target>) -> (Monitor, Receiver<(u64, Vec<ProcCount>)>) {
    let (told, heard) = channel();
    let monitor = Monitor::start(move |look, counts| drop(told.send((look, counts)))).expect("a thread");
    monitor.targets(targets);
    (monitor, heard)
}

fn counts(heard: &Receiver<(u64, Vec<ProcCount>)>) -> (u64, Vec<u32>) {
    let (look, counts) = heard.recv_timeout(PATIENCE).expect("an answer");
    (look, counts.iter().map(|count| count.count).collect())
}

fn end(mut child: Child) {
    child.kill().expect("a signal");
    child.wait().expect("its end");
}

#[test]
fn a_death_is_told_without_another_look() {
    let program = Program::new("mondie");
    let (one, two) = (program.run("1001"), program.run("1002"));
    let (monitor, heard) = monitor(vec![program.target("both", None), program.target("second", Some("1002"))]);
    // A process that was started a moment ago has not its own name yet.
    let mut look = 0;
    loop {
        look += 1;
        monitor.look(look, vec!["both".to_owned(), "second".to_owned()]);
        if counts(&heard) == (look, vec![2, 1]) {
            break;
        }
    }
    end(two);
    assert_eq!(counts(&heard), (look, vec![1, 0]));
    let began = Instant::now();
    end(one);
    assert_eq!(counts(&heard), (look, vec![0, 0]));
    eprintln!("told after {:?}", began.elapsed());
}

#[test]
fn a_zombie_runs_no_more_and_nothing_is_told_of_what_is_let_go() {
    let program = Program::new("monzom");
    let mut child = program.run("1003");
    let (monitor, heard) = monitor(vec![program.target("it", None)]);
    let mut look = 0;
    loop {
        look += 1;
        monitor.look(look, vec!["it".to_owned()]);
        if counts(&heard) == (look, vec![1]) {
            break;
        }
    }
    monitor.look(look + 1, Vec::new());
    assert_eq!(counts(&heard), (look + 1, vec![]));
    child.kill().expect("a signal");
    while std::fs::read_to_string(Path::new("/proc").join(child.id().to_string()).join("stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    monitor.look(look + 2, vec!["it".to_owned()]);
    assert_eq!(counts(&heard), (look + 2, vec![0]));
    child.wait().expect("its end");
}

#[test]
fn the_processes_of_a_target_are_found() {
    let program = Program::new("monfind");
    let child = program.run("1004");
    let (monitor, _heard) = monitor(vec![program.target("it", Some("1004"))]);
    let pid = child.id().cast_signed();
    let end_at = Instant::now() + PATIENCE;
    loop {
        let (told, answer) = channel();
        monitor.find(vec!["it".to_owned(), "nothing".to_owned()], move |found| drop(told.send(found)));
        let found = answer.recv_timeout(PATIENCE).expect("an answer");
        assert_eq!(found.len(), 1, "{found:?}");
        if found[0].pids == [pid] {
            break;
        }
        assert!(Instant::now() < end_at, "{found:?}");
    }
    end(child);
}
