//! What a dump says of the machine and of Holdfast's own processes at this moment (reference 004, 7.16.2).
//!
//! A dump is made when something is wrong: what can't be read or run is said in its place, and never keeps the rest from being written.

use hf_exec::{Liveness, PidFile};
use hf_host::Paths;
use hf_types::ModuleName;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// How long a program of the system may take, in seconds.
const PATIENCE: &str = "10";
/// Of each thread: where it is in the kernel, what it waits for, what it is doing.
const OF_A_THREAD: [&str; 4] = ["comm", "wchan", "syscall", "stack"];
const OF_A_PROCESS: [&str; 5] = ["status", "limits", "io", "cgroup", "mountinfo"];

/// The processes of a module, and what each is called in the dump.
pub const PROCESSES: [&str; 3] = ["heart", "rfs", "keeper"];

/// The system's log of the last day: the journal's, else the file's.
pub fn log() -> String {
    let journal = ["journalctl", "--no-pager", "--quiet", "--since=-24h", "--lines=5000", "--output=short-iso-precise"];
    said(&journal).unwrap_or_else(|why| {
        let file = said(&["tail", "-n", "5000", "/var/log/syslog"]);
        file.unwrap_or_else(|also| format!("The system's log can't be read.\n{why}\n{also}\n"))
    })
}

/// Who was logged in, and when the machine was started.
pub fn logins() -> String {
    said(&["last", "-x", "-n", "200"]).unwrap_or_else(|why| format!("The logins can't be listed: {why}\n"))
}

/// Network, disks and processes, as programs of the system show them.
pub fn looks() -> String {
    let looks: [&[&str]; 6] = [
        &["ip", "-s", "address"],
        &["ip", "route"],
        &["ip", "neighbour"],
        &["ss", "-anp"],
        &["df", "-h"],
        &["ps", "axo", "pid,ppid,stat,etime,time,rss,wchan:24,args", "--forest"],
    ];
    let mut out = String::new();
    for look in looks {
        let text = said(look).unwrap_or_else(|why| why);
        let _infallible = writeln!(out, "\n==== {}\n{}", look.join(" "), text.trim_end());
    }
    out
}

/// The process of a module that is called `name`: what the kernel says of it and of each of its threads.
pub fn process(paths: &Paths, module: &ModuleName, name: &str) -> String {
    let file = paths.module_run(module).join(format!("{name}.pid"));
    match PidFile::verify(&file) {
        Ok(Liveness::Alive(identity)) => trace(Path::new(&format!("/proc/{}", identity.pid)), name, identity.pid),
        Ok(Liveness::Dead(identity)) => format!("{name} (process {}) is dead.\n", identity.pid),
        Ok(Liveness::Unknown) => format!("{name} does not run.\n"),
        Err(error) => format!("{}\n", hf_host::files::with_causes(&error)),
    }
}

fn trace(proc: &Path, name: &str, pid: i32) -> String {
    let mut out = format!("{name} (process {pid})\n");
    let mut part = |title: &str, path: &Path| {
        let text = fs::read_to_string(path).unwrap_or_else(|error| format!("can't be read: {error}"));
        let _infallible = writeln!(out, "\n==== {title}\n{}", text.trim_end());
    };
    for file in OF_A_PROCESS {
        part(file, &proc.join(file));
    }
    let mut threads: Vec<_> =
        fs::read_dir(proc.join("task")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    threads.sort();
    for thread in threads {
        let number = thread.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in OF_A_THREAD {
            part(&format!("thread {number} {file}"), &thread.join(file));
        }
    }
    out
}

/// What a program prints, ended if it takes too long; or why there is none.
fn said(command: &[&str]) -> Result<String, String> {
    let run = Command::new("timeout").args(["--kill-after=2", PATIENCE]).args(command).stdin(Stdio::null()).output();
    let shown = command.join(" ");
    match run {
        Ok(output) if output.status.success() && output.stdout.is_empty() => Err(format!("{shown}: nothing")),
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(format!("{shown}: {} {}", output.status, String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_every_thread() {
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let (ready, begun) = std::sync::mpsc::channel::<()>();
        let sleeper =
            std::thread::Builder::new().name("hf-sleeper".into()).spawn(move || ready.send(()).map(|()| wait.recv()));
        let sleeper = sleeper.expect("a thread");
        // It gives itself its name.
        begun.recv().expect("it has begun");
        let text = trace(Path::new("/proc/self"), "test", 1);
        assert!(text.contains("hf-sleeper") && text.contains("==== status\n"), "{text}");
        drop(stop);
        assert!(sleeper.join().expect("it ends").is_ok_and(|waited| waited.is_err()));
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::new(place.path().join("safe"), place.path().join("var"));
        assert_eq!(process(&paths, &"pg".parse().expect("a name"), "rfs"), "rfs does not run.\n");
        assert!(said(&["/no/such/program"]).is_err_and(|why| why.starts_with("/no/such/program: ")));
        assert_eq!(said(&["echo", "it"]), Ok("it\n".to_owned()));
    }
}
