//! Runs a program on a replicated directory whose other copy follows, and compares the copies afterwards: for tests with programs that aren't ours.
//!
//! ```text
//! on_pair [--kills N] [--secondary-kills N] PROGRAM ARGUMENT...
//! ```
//!
//! `{}` in an argument is the mounted directory. With `--kills` the primary's process is killed (-9) and replaced so many times while the program
//! runs, with `--secondary-kills` the other one's. Ends with the program's exit code; with another than 0, too, when the program ended before
//! all kills were done or the copies differ. Needs root, and a `TMPDIR` whose file system has file handles.

#[path = "../tests/common/mod.rs"]
#[allow(dead_code)]
mod common;

use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use common::pair::Pair;

#[derive(Default)]
struct Wanted {
    kills: u64,
    secondary_kills: u64,
    command: Vec<String>,
}

fn main() -> ExitCode {
    let Some(wanted) = arguments() else {
        eprintln!("usage: on_pair [--kills N] [--secondary-kills N] PROGRAM ARGUMENT...");
        return ExitCode::from(2);
    };
    let mut pair = Pair::start("second");
    pair.connect();
    pair.synchronise();
    let mount = pair.primary.mount();
    let mount = mount.to_str().expect("a path of ours");
    // Everybody may come in, as programs that change their user need it.
    open_way(&pair);
    let mut arguments = wanted.command.iter().map(|argument| argument.replace("{}", mount));
    let program = arguments.next().expect("checked");
    let mut child = Command::new(program).args(arguments).spawn().expect("the program starts");
    let (died, followed) = kill_while_it_runs(&mut pair, &mut child, &wanted);
    let status = child.wait().expect("our child");
    eprintln!("on_pair: {status}; killed while it ran: the primary {died} times, the secondary {followed} times");
    pair.stop_and_compare();
    eprintln!("on_pair: both copies are equal");
    let enough = died == wanted.kills && followed == wanted.secondary_kills;
    match status.code() {
        Some(0) if enough => ExitCode::SUCCESS,
        Some(0) => {
            eprintln!("on_pair: the program ended too early");
            ExitCode::FAILURE
        }
        code => ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
    }
}

fn arguments() -> Option<Wanted> {
    let mut wanted = Wanted::default();
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--kills" => wanted.kills = rest.next()?.parse().ok()?,
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
    let mount = pair.primary.mount();
    let above = mount.parent().expect("a directory of ours");
    std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o755)).expect("our directory");
}

/// At moments that differ each time, as long as the program runs.
fn kill_while_it_runs(pair: &mut Pair, child: &mut Child, wanted: &Wanted) -> (u64, u64) {
    let (mut died, mut followed) = (0, 0);
    for moment in 0.. {
        if died == wanted.kills && followed == wanted.secondary_kills {
            break;
        }
        std::thread::sleep(Duration::from_millis(40 + moment * 37 % 101));
        if child.try_wait().expect("our child").is_some() {
            break;
        }
        if died < wanted.kills {
            pair.kill_primary();
            died += 1;
        }
        if followed < wanted.secondary_kills {
            pair.kill_secondary();
            followed += 1;
        }
    }
    (died, followed)
}
