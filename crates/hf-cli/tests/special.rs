//! The special commands, on real processes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hf-cli-test");
/// Less than any program here sleeps, more than a machine under load needs.
const PATIENCE: Duration = Duration::from_secs(60);

fn special(args: &[&str]) -> Output {
    Command::new(PROGRAM).arg("-r").args(args).output().expect("the command runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn boundcmd_gives_the_exit_code_or_two() {
    let code = |args: &[&str]| special(args).status.code();
    assert_eq!(code(&["boundcmd", "5", "/bin/sh", "-c", "exit 7"]), Some(7));
    assert_eq!(code(&["boundcmd", "5", "/bin/sh", "-c", "kill -9 $$"]), Some(137));
    assert_eq!(code(&["boundcmd", "5", "/no/such/program"]), Some(127));
    assert_eq!(code(&["boundcmd", "soon", "/bin/true"]), Some(2));
    assert_eq!(out(&special(&["boundcmd", "5", "/bin/echo", "a  b"])), "a  b\n");
}

#[test]
fn boundcmd_ends_what_takes_too_long_with_its_children() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let pid = place.path().join("pid");
    let script = format!("trap '' TERM; sleep 600 & echo $! > {}; wait; wait", pid.display());
    let begun = Instant::now();
    let ended = special(&["boundcmd", "0.3", "/bin/sh", "-c", &script]);
    assert_eq!(ended.status.code(), Some(2), "{}", err(&ended));
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let child: i32 = fs::read_to_string(pid).expect("it wrote its child").trim().parse().expect("a number");
    assert!(ends_soon(child), "its child is left behind");
}

/// A killed process needs a moment to die.
fn ends_soon(pid: i32) -> bool {
    let begun = Instant::now();
    while lives(pid) && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    !lives(pid)
}

fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be dead already, which is what the tests are about.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program of this name that sleeps.
fn sleeper(place: &std::path::Path, name: &str, argument: &str) -> Running {
    let program = place.join(name);
    if !program.exists() {
        fs::copy("/bin/sleep", &program).expect("a copy of sleep");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let begun = Instant::now();
    loop {
        match Command::new(&program).arg(argument).spawn() {
            Ok(child) => return Running(child),
            // Another thread of this test forks while the copy is still open for writing.
            Err(error) if begun.elapsed() < PATIENCE => assert_eq!(error.raw_os_error(), Some(26)),
            Err(error) => panic!("{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_for_name(running: &Running, name: &str) {
    let comm = format!("/proc/{}/comm", running.0.id());
    let end = Instant::now() + PATIENCE;
    while fs::read_to_string(&comm).is_ok_and(|text| text.trim() != name) {
        assert!(Instant::now() < end, "it never became {name}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn processtree_kills_who_is_meant_and_nobody_else() {
    let place = tempfile::tempdir().expect("a temporary directory");
    // Longer than the 15 characters that the kernel keeps.
    let (mut meant, mut other) =
        (sleeper(place.path(), "hftest-application", "601"), sleeper(place.path(), "hftest-application", "602"));
    for running in [&meant, &other] {
        wait_for_name(running, "hftest-applicat");
    }
    let listed = out(&special(&["processtree", "list", "hftest-application"]));
    assert_eq!(listed.lines().count(), 2, "{listed}");
    // The expression stands in the command line of the command itself, too.
    let listed = out(&special(&["processtree", "list", "all", "hftest-application 601"]));
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.contains(&format!("(parent={})", std::process::id())), "{listed}");

    let killed = special(&["processtree", "kill", "hftest-application", " 601$"]);
    assert_eq!(killed.status.code(), Some(0), "{}", err(&killed));
    assert!(meant.0.try_wait().expect("its end").is_some(), "it lives");
    assert!(other.0.try_wait().expect("its life").is_none(), "another one was killed");
    assert_eq!(special(&["processtree", "kill", "hftest-nobody"]).status.code(), Some(0));
}

#[test]
fn processtree_kills_who_ignores_the_request() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mark = place.path().join("stubborn");
    let script = format!("trap '' TERM; touch {}; while :; do sleep 0.1; done", mark.display());
    let mut stubborn = Running(Command::new("/bin/sh").args(["-c", &script]).spawn().expect("a shell"));
    while !mark.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = special(&["processtree", "kill", "all", &mark.display().to_string()]);
    assert_eq!(killed.status.code(), Some(0), "{}", err(&killed));
    assert!(stubborn.0.try_wait().expect("its end").is_some());
}

#[test]
fn processtree_never_kills_everybody() {
    for args in [&["processtree", "kill", "all"][..], &["processtree", "kill"], &["processtree", "kill", "all", "("]] {
        assert_eq!(special(args).status.code(), Some(2), "{args:?}");
    }
    let all = out(&special(&["processtree", "list", "all"]));
    assert!(all.lines().count() > 3 && all.contains("(parent="), "{all}");
}

#[test]
fn gencron_changes_the_users_crontab() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let crontab = place.path().join("crontab");
    let table = place.path().join("table");
    let body = format!(
        "#!/bin/sh\n[ \"$2\" = admin ] || exit 9\nif [ \"$3\" = -l ]; then cat {0}; else cat > {0}; fi\n",
        table.display()
    );
    fs::write(&crontab, body).expect("a stand-in for crontab");
    fs::set_permissions(&crontab, fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::write(&table, "5 0 * * * $HOME/bin/daily.job\n").expect("a table");
    let gencron = |verb: &str, user: &str| {
        let path = format!("{}:/usr/bin:/bin", place.path().display());
        let args = ["-r", "gencron", verb, user, "daily.job", "-c", "SafeKit configuration for AM"];
        Command::new(PROGRAM).args(args).env("PATH", path).status().expect("the command runs").code()
    };
    assert_eq!(gencron("del", "admin"), Some(0));
    let disabled = "# SafeKit configuration for AM: 5 0 * * * $HOME/bin/daily.job\n";
    assert_eq!(fs::read_to_string(&table).expect("the table"), disabled);
    assert_eq!(gencron("add", "admin"), Some(0));
    assert_eq!(fs::read_to_string(&table).expect("the table"), "5 0 * * * $HOME/bin/daily.job\n");
    assert_eq!(gencron("del", "nobody"), Some(1));
    assert_eq!(gencron("remove", "admin"), Some(2));
}

#[test]
fn a_command_is_found_by_the_name_of_its_link_and_in_safebin() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let bin = place.path().join("private/bin");
    fs::create_dir_all(&bin).expect("a directory");
    symlink(PROGRAM, bin.join("boundcmd")).expect("a link");
    let status = Command::new(bin.join("boundcmd")).args(["5", "/bin/sh", "-c", "exit 4"]).status().expect("it runs");
    assert_eq!(status.code(), Some(4));

    fs::write(bin.join("own"), "#!/bin/sh\necho \"$SAFE $SAFEMODULE $SAFEUSERBIN $1\"\nexit 5\n").expect("a script");
    fs::set_permissions(bin.join("own"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let mut command = Command::new(PROGRAM);
    command.args(["-r", "own", "x y"]).env("SAFE", place.path()).env("SAFEMODULE", "pg");
    let output = command.output().expect("it runs");
    let safe = place.path().display();
    assert_eq!(
        (out(&output), output.status.code()),
        (format!("{safe} pg {safe}/private/modules/pg/bin x y\n"), Some(5))
    );

    let unknown = special(&["nonsense"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(err(&unknown).contains("no special command nonsense: there are boundcmd"), "{}", err(&unknown));
}

#[test]
fn errdpoll_running_writes_every_process() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let status = Command::new(PROGRAM).args(["-r", "errdpoll_running"]).env("SAFEVAR", place.path()).status();
    assert!(status.expect("it runs").success());
    let text = fs::read_to_string(place.path().join("errdpoll_reserrd")).expect("the file");
    let own = format!("{} ", std::process::id());
    assert!(text.lines().any(|line| line.starts_with(&own) && line.contains("(parent=")), "{text}");
}
