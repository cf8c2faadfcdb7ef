//! A daemon that answers from a script, and the command line as a process.
#![allow(dead_code)] // each test file uses its own part

use std::process::{Command, Output};

use hf_bus::accept;
use hf_wire::bus::{Reply, Request, Role};
use serde_json::Value;
use tempfile::TempDir;

/// How long a command may take to connect.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Answers one command with these replies, and gives what was asked.
pub fn with_daemon(replies: Vec<Reply>, args: &[&str]) -> (Value, Output) {
    answered(replies, args, "admin.sock", Role::Daemon, run)
}

/// As [`with_daemon`], on a terminal of its own.
pub fn with_daemon_on_terminal(replies: Vec<Reply>, args: &[&str]) -> (Value, Output) {
    answered(replies, args, "admin.sock", Role::Daemon, run_on_terminal)
}

/// As [`with_daemon`], but it is the module's heart that answers, and there is no daemon.
pub fn with_heart(replies: Vec<Reply>, module: &str, args: &[&str]) -> (Value, Output) {
    answered(replies, args, &format!("{module}/heart.sock"), Role::Heart, run)
}

type Run = fn(&TempDir, &[&str], &[(&str, &str)]) -> Output;

fn answered(replies: Vec<Reply>, args: &[&str], socket: &str, role: Role, run: Run) -> (Value, Output) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let socket = place.path().join("run").join(socket);
    std::fs::create_dir_all(socket.parent().expect("it lies in a directory")).expect("a directory");
    let listener = runtime.block_on(async { tokio::net::UnixListener::bind(socket) });
    let listener = listener.expect("a socket");
    let asked = runtime.spawn(async move {
        let (stream, _) =
            tokio::time::timeout(PATIENCE, listener.accept()).await.expect("in time").expect("a connection");
        let mut connection = accept(stream, role).await.expect("it says hello");
        let request: Request = connection.receive().await.expect("it asks").expect("it asks something");
        for reply in replies {
            connection.send(&reply).await.expect("it listens");
        }
        serde_json::to_value(request).expect("a request is JSON")
    });
    let output = run(&place, args, &[]);
    (runtime.block_on(asked).expect("the daemon ends well"), output)
}

pub fn run(place: &TempDir, args: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hf-cli-test"))
        .args(args)
        .env_clear()
        .env("SAFEVAR", place.path())
        .env("TZ", "UTC")
        .envs(environment.iter().copied())
        .output()
        .expect("the command runs")
}

/// `script` makes the terminal.
fn run_on_terminal(place: &TempDir, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let command = format!("{} {}", env!("CARGO_BIN_EXE_hf-cli-test"), args.join(" "));
    Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .env("SAFEVAR", place.path())
        .env("TZ", "UTC")
        .envs(environment.iter().copied())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("script (Debian: bsdutils) runs")
}

pub fn without_daemon(args: &[&str], environment: &[(&str, &str)]) -> Output {
    run(&tempfile::tempdir().expect("a temporary directory"), args, environment)
}

pub fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}
