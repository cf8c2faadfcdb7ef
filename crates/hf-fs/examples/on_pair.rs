//! Runs a program on a replicated directory whose other copy follows, and compares the copies afterwards: for tests with programs that aren't ours.
//!
//! ```text
//! on_pair [--kills N] [--secondary-kills N] [--swaps N] PROGRAM ARGUMENT...
//! ```
//!
//! `{}` in an argument is the mounted directory. With `--kills` the primary's process is killed (-9) and replaced so many times while the program
//! runs, with `--secondary-kills` the other one's; a program that ends well before all kills were done is run again, at most [`ROUNDS`] times in all.
//! With `--swaps` the copies are compared and the roles change places after it, and it runs again on what is the primary then, so many times.
//! Ends with the program's exit code; with another than 0, too, when that was not enough or the copies differ. Needs root, and a `TMPDIR` whose file system has file handles.

#[path = "../tests/common/mod.rs"]
#[allow(dead_code)]
mod common;

use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::Duration;

use common::pair::Pair;

/// How often the program runs at most: how long it takes depends on the machine.
const ROUNDS: u32 = 10;

#[derive(Default)]
struct Wanted {
    kills: u64,
    secondary_kills: u64,
    swaps: u64,
    command: Vec<String>,
}

fn main() -> ExitCode {
    let Some(wanted) = arguments() else {
        eprintln!("usage: on_pair [--kills N] [--secondary-kills N] [--swaps N] PROGRAM ARGUMENT...");
        return ExitCode::from(2);
    };
    let mut pair = Pair::start("second");
    pair.connect();
    pair.synchronise();
    // Everybody may come in, as programs that change their user need it.
    open_way(&pair);
    let (kills, secondary_kills, swaps) = (wanted.kills, wanted.secondary_kills, wanted.swaps);
    let mut left = wanted;
    let mut status = round(&mut pair, &mut left);
    for _ in 1..ROUNDS {
        if !status.success() || left.is_done() {
            break;
        }
        if left.swaps > 0 {
            pair.assert_same();
            pair.swap();
            left.swaps -= 1;
        }
        status = round(&mut pair, &mut left);
    }
    let (died, followed) = (kills - left.kills, secondary_kills - left.secondary_kills);
    eprintln!("on_pair: {status}; killed while it ran: the primary {died} times, the secondary {followed} times");
    eprintln!("on_pair: the roles changed places {} times", swaps - left.swaps);
    pair.stop_and_compare();
    eprintln!("on_pair: both copies are equal");
    match status.code() {
        Some(0) if left.is_done() => ExitCode::SUCCESS,
        Some(0) => {
            eprintln!("on_pair: the program ended too early");
            ExitCode::FAILURE
        }
        code => ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
    }
}

impl Wanted {
    fn is_done(&self) -> bool {
        self.kills == 0 && self.secondary_kills == 0 && self.swaps == 0
    }
}

/// The program once, from its start to its end; takes the kills that were done from what is left.
fn round(pair: &mut Pair, left: &mut Wanted) -> ExitStatus {
    let mount = pair.primary.mount();
    let mount = mount.to_str().expect("a path of ours");
    let arguments: Vec<String> = left.command.iter().map(|argument| argument.replace("{}", mount)).collect();
    let mut child = Command::new(&arguments[0]).args(&arguments[1..]).spawn().expect("the program starts");
    kill_while_it_runs(pair, &mut child, left);
    child.wait().expect("our child")
}

fn arguments() -> Option<Wanted> {
    let mut wanted = Wanted::default();
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--kills" => wanted.kills = rest.next()?.parse().ok()?,
            "--swaps" => wanted.swaps = rest.next()?.parse().ok()?,
            "--secondary-kills" => wanted.secondary_kills = rest.next()?.parse().ok()?,
            _ => {
                wanted.command = std::iter::once(argument).chain(rest).collect();
                return Some(wanted);
            }
        }
    }
    None
}

fn open_way(pair: &Pair) {
    use std::os::unix::fs::PermissionsExt;
    for mount in [pair.primary.mount(), pair.secondary.mount()] {
        let above = mount.parent().expect("a directory of ours");
        std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o755)).expect("our directory");
    }
}

/// At moments that differ each time, as long as the program runs.
fn kill_while_it_runs(pair: &mut Pair, child: &mut Child, left: &mut Wanted) {
    for moment in 0.. {
        if left.kills == 0 && left.secondary_kills == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(40 + moment * 37 % 101));
        if child.try_wait().expect("our child").is_some() {
            return;
        }
        if left.kills > 0 {
            pair.kill_primary();
            left.kills -= 1;
        }
        if left.secondary_kills > 0 {
            pair.kill_secondary();
            left.secondary_kills -= 1;
        }
    }
}
