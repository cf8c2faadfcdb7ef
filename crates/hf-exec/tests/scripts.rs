//! Real scripts with bad habits. Needs root.

mod place;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use hf_exec::{Ran, ScriptSpec, run, run_or_kill, run_watched, truncate_userlog};
use hf_types::ScriptOutcome;
use place::{Place, chmod, eventually, lives, pid_in};

const SECOND: Duration = Duration::from_secs(1);
/// Long enough for a script to have begun, also on a machine under load.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Less than the scripts here sleep.
const PATIENCE: Duration = Duration::from_secs(15);

fn spec(place: &Place, body: &str) -> ScriptSpec<'static> {
    ScriptSpec {
        path: place.script("start_prim", body),
        log_file: Some(place.path("userlog.ulog")),
        timeout: Some(20 * SECOND),
        ..ScriptSpec::default()
    }
}

fn log(place: &Place) -> String {
    fs::read_to_string(place.path("userlog.ulog")).unwrap()
}

fn refusal(ran: Ran) -> String {
    match ran.outcome {
        ScriptOutcome::Refused(reason) => reason,
        other => panic!("{other:?} where a refusal belongs"),
    }
}

#[tokio::test]
async fn the_exit_code_comes_back_and_the_output_is_in_the_log() {
    let place = Place::new();
    let mut spec = spec(&place, "echo out; echo err >&2; exit 7");
    spec.args = vec!["STOP".to_owned(), "ALONE".to_owned(), "a\nb".to_owned()];
    assert_eq!(run(&spec).await.outcome, ScriptOutcome::Exited(7));
    let text = log(&place);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("----- 20") && lines[0].ends_with(" start_prim STOP ALONE a\\nb -----"), "{text}");
    assert_eq!(lines[1..], ["out", "err"]);
    run(&spec).await;
    assert_eq!(log(&place).lines().count(), 6, "the second run is appended");
}

#[tokio::test]
async fn a_signal_comes_back() {
    let place = Place::new();
    assert_eq!(run(&spec(&place, "kill -9 $$")).await.outcome, ScriptOutcome::Signalled(9));
}

#[tokio::test]
async fn without_logging_nothing_is_written() {
    let place = Place::new();
    let mut spec = spec(&place, "echo lost");
    spec.log_file = None;
    assert_eq!(run(&spec).await.outcome, ScriptOutcome::Exited(0));
    assert!(!place.path("userlog.ulog").exists());
}

#[tokio::test]
async fn a_missing_script_is_no_error() {
    let place = Place::new();
    let spec = ScriptSpec { path: place.path("poststop"), ..spec(&place, "") };
    let ran = run(&spec).await;
    assert_eq!(ran.outcome, ScriptOutcome::Missing);
    assert!(ran.outcome.is_success());
    assert!(!place.path("userlog.ulog").exists(), "no header for what didn't run");
}

#[tokio::test]
async fn the_environment_is_clean_and_no_shell_reads_the_arguments() {
    let place = Place::new();
    // SAFETY: the other tests of this binary read no environment of this process.
    unsafe { std::env::set_var("HFEX_LEAK", "secret") };
    let mut spec = spec(&place, "env; echo \"[$1]\"; pwd; umask; cat");
    spec.env = vec![("SAFEMODULE".to_owned(), "a b; c".to_owned())];
    spec.args = vec!["$(echo x) `id` ; rm *".to_owned()];
    run(&spec).await;
    let text = log(&place);
    assert!(!text.contains("HFEX_LEAK"), "{text}");
    let lines: Vec<_> = text.lines().collect();
    for line in [
        "SAFEMODULE=a b; c",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG=C.UTF-8",
        "[$(echo x) `id` ; rm *]",
        "/",
        "0022",
    ] {
        assert!(lines.contains(&line), "{line} is missing in {text}");
    }
    spec.env = vec![("PATH".to_owned(), "/opt/app/bin:/bin".to_owned()), ("LANG".to_owned(), "de_DE".to_owned())];
    spec.path = place.script("stop_prim", "/usr/bin/env");
    run(&spec).await;
    assert!(log(&place).contains("PATH=/opt/app/bin:/bin\n") && log(&place).contains("LANG=de_DE\n"));
}

/// Raises everything that is raised in a heart, in a process of its own: the test binary itself, run again.
#[test]
fn nothing_special_is_inherited() {
    const MARK: &str = "HFEX_RAISED";
    if std::env::var_os(MARK).is_some() {
        raised();
        return;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["nothing_special_is_inherited", "--exact", "--nocapture"])
        .env(MARK, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

fn raised() {
    let place = Place::new();
    // A machine that doesn't let root lower it (a container) lets it be raised.
    fs::write("/proc/self/oom_score_adj", "-900").or_else(|_| fs::write("/proc/self/oom_score_adj", "500")).unwrap();
    let leaked = fs::File::open("/dev/zero").unwrap();
    // SAFETY: plain system calls on this process, which runs nothing but this test.
    unsafe {
        assert_eq!(libc::setpriority(libc::PRIO_PROCESS, 0, -10), 0);
        let parameter = libc::sched_param { sched_priority: 5 };
        if libc::sched_setscheduler(0, libc::SCHED_RR, &parameter) != 0 {
            // A control group without real-time share refuses even root; the rest is tried all the same.
            assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EPERM));
        }
        assert_eq!(libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE), 0);
        libc::signal(libc::SIGTERM, libc::SIG_IGN);
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut blocked);
        libc::pthread_sigmask(libc::SIG_SETMASK, &blocked, std::ptr::null_mut());
        libc::umask(0o077);
        let fd = std::os::fd::AsRawFd::as_raw_fd(&leaked);
        assert_eq!(libc::fcntl(fd, libc::F_SETFD, 0), 0, "no longer close-on-exec");
    }
    let body = "exec /usr/bin/python3 -c '
import os
print(\"oom\", open(\"/proc/self/oom_score_adj\").read().strip())
print(\"nice\", os.nice(0), \"policy\", os.sched_getscheduler(0))
print(\"session\", os.getsid(0) == os.getpid() == os.getpgrp())
for line in open(\"/proc/self/status\"):
    if line.startswith((\"SigBlk\", \"VmLck\")): print(line.split()[0], int(line.split()[1], 16))
    if line.startswith(\"SigIgn\"): print(\"ignored\", int(line.split()[1], 16) & 0x4001)
print(\"open\", sorted(int(fd) for fd in os.listdir(\"/proc/self/fd\") if os.path.exists(\"/proc/self/fd/\" + fd)))
print(\"umask %o\" % os.umask(0))
'";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ran = runtime.block_on(run(&spec(&place, body)));
    let text = log(&place);
    assert_eq!(ran.outcome, ScriptOutcome::Exited(0), "{text}");
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "oom 0",
            "nice 0 policy 0",
            "session True",
            "VmLck: 0",
            "SigBlk: 0",
            "ignored 0",
            "open [0, 1, 2]",
            "umask 22"
        ],
        "{text}"
    );
}

#[tokio::test]
async fn a_script_that_runs_out_of_time_is_asked_to_end() {
    let place = Place::new();
    let mut spec = spec(&place, "trap 'echo asked; exit 0' TERM; while :; do sleep 0.05; done");
    spec.timeout = Some(TIMEOUT);
    let ran = run(&spec).await;
    assert_eq!(ran.outcome, ScriptOutcome::TimedOut);
    assert!(ran.duration >= spec.timeout.unwrap() && ran.duration < PATIENCE, "{:?}", ran.duration);
    assert!(log(&place).contains("asked"));
}

#[tokio::test]
async fn a_script_that_ignores_the_request_is_killed_with_its_children() {
    let place = Place::new();
    let body = format!(
        "trap '' TERM; sleep 600 & echo $! > {}; echo $$ > {}; while :; do sleep 1; done",
        place.path("child").display(),
        place.path("script").display()
    );
    let mut spec = spec(&place, &body);
    spec.timeout = Some(TIMEOUT);
    spec.term_grace = Some(SECOND / 2);
    let ran = run(&spec).await;
    assert_eq!(ran.outcome, ScriptOutcome::TimedOut);
    assert!(ran.duration >= TIMEOUT + SECOND / 2 && ran.duration < PATIENCE, "{:?}", ran.duration);
    for pid in [pid_in(&place.path("child")), pid_in(&place.path("script"))] {
        eventually("the group is dead", || !lives(pid));
    }
}

/// The leader goes at once, a child of it stays: the child gets its grace, then SIGKILL.
#[tokio::test]
async fn children_that_outlive_the_script_at_its_time_out_are_killed_too() {
    let place = Place::new();
    let body = format!("(trap '' TERM; sleep 600) & echo $! > {}; wait", place.path("child").display());
    let mut spec = spec(&place, &body);
    spec.timeout = Some(TIMEOUT);
    spec.term_grace = Some(SECOND / 2);
    assert_eq!(run(&spec).await.outcome, ScriptOutcome::TimedOut);
    let child = pid_in(&place.path("child"));
    eventually("the child is dead", || !lives(child));
}

#[tokio::test]
async fn a_script_can_be_killed_from_outside() {
    let place = Place::new();
    let body = format!("trap '' TERM; echo $$ > {}; sleep 600", place.path("pid").display());
    let spec = spec(&place, &body);
    let pid = place.path("pid");
    let kill = async {
        while !fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ran = run_or_kill(&spec, kill).await;
    assert_eq!(ran.outcome, ScriptOutcome::Signalled(9));
    assert!(ran.duration < PATIENCE);
    assert!(!lives(pid_in(&place.path("pid"))));
}

#[tokio::test]
async fn nobody_waits_for_a_daemon_that_holds_the_log() {
    let place = Place::new();
    let body = format!(
        "(echo starting; sleep 0.3; echo running; exec sleep 600) & echo $! > {}; echo started",
        place.path("daemon").display()
    );
    let start = Instant::now();
    assert_eq!(run(&spec(&place, &body)).await.outcome, ScriptOutcome::Exited(0));
    assert!(start.elapsed() < PATIENCE, "waited {:?} for the daemon", start.elapsed());
    let daemon = pid_in(&place.path("daemon"));
    assert!(lives(daemon), "it lives on");
    eventually("its later output is in the log", || log(&place).contains("running"));
    // SAFETY: signals the process that this test's script has started.
    unsafe { libc::kill(daemon, libc::SIGKILL) };
}

#[tokio::test]
async fn what_others_could_have_written_is_not_run() {
    let place = Place::new();
    let ran_mark = place.path("ran");
    let body = format!("touch {}", ran_mark.display());

    let mut spec = spec(&place, &body);
    chmod(&spec.path, 0o777);
    let reason = refusal(run(&spec).await);
    assert!(reason.contains("start_prim") && reason.contains("0777") && reason.contains("chmod go-w"), "{reason}");
    chmod(&spec.path, 0o775);
    assert!(refusal(run(&spec).await).contains("0775"));
    chmod(&spec.path, 0o755);

    let below = place.path("below");
    fs::create_dir(&below).unwrap();
    let other = place.script("below/start_prim", &body);
    chmod(&below, 0o1777);
    spec.path = other;
    let reason = refusal(run(&spec).await);
    assert!(reason.contains("below\"") && reason.contains("1777"), "{reason}");

    // The file is good, but the link to it lies where others can put another.
    let good = place.script("good", &body);
    symlink(&good, below.join("link")).unwrap();
    spec.path = below.join("link");
    assert!(refusal(run(&spec).await).contains("1777"));
    // The link is good, but what it points to isn't.
    symlink(below.join("start_prim"), place.path("link")).unwrap();
    spec.path = place.path("link");
    assert!(refusal(run(&spec).await).contains("1777"));

    chmod(&below, 0o755);
    std::os::unix::fs::chown(&below, Some(1000), None).unwrap();
    assert!(refusal(run(&spec).await).contains("user 1000"));
    std::os::unix::fs::chown(&below, Some(0), None).unwrap();

    assert!(!ran_mark.exists(), "none of them ran");
    assert_eq!(run(&spec).await.outcome, ScriptOutcome::Exited(0));
    assert!(ran_mark.exists());
}

#[tokio::test]
async fn what_is_no_program_is_refused() {
    let place = Place::new();
    let mut spec = spec(&place, "true");
    chmod(&spec.path, 0o644);
    assert!(refusal(run(&spec).await).contains("chmod +x"));
    spec.path = place.0.clone();
    assert!(refusal(run(&spec).await).contains("not an executable file"));
    spec.path = "bin/start_prim".into();
    assert!(refusal(run(&spec).await).contains("not an absolute path"));
    spec.path = place.script("nowhere", "true");
    fs::write(&spec.path, "#!/no/such/interpreter\n").unwrap();
    assert!(refusal(run(&spec).await).contains("can't be started"));
}

#[tokio::test]
async fn a_log_that_is_a_link_is_not_followed() {
    let place = Place::new();
    let spec = spec(&place, "echo overwritten");
    fs::write(place.path("victim"), "precious").unwrap();
    symlink(place.path("victim"), place.path("userlog.ulog")).unwrap();
    let ran = run(&spec).await;
    assert_eq!(ran.outcome, ScriptOutcome::Exited(0), "it runs without a log");
    assert!(ran.not_logged.expect("a reason").contains("userlog.ulog"));
    assert_eq!(fs::read_to_string(place.path("victim")).unwrap(), "precious");
}

#[test]
fn the_log_is_emptied_when_it_has_reached_its_limit() {
    let place = Place::new();
    let path = place.path("userlog.ulog");
    assert!(!truncate_userlog(&path, 1).unwrap(), "there is none");
    fs::write(&path, [b'x'; 1023]).unwrap();
    assert!(!truncate_userlog(&path, 1).unwrap());
    fs::write(&path, [b'x'; 1024]).unwrap();
    assert!(truncate_userlog(&path, 1).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    assert_eq!(fs::read(place.path("userlog.ulog.1")).unwrap(), [b'x'; 1024], "the former one is kept");
    fs::write(&path, [b'y'; 3000]).unwrap();
    assert!(truncate_userlog(&path, 1).unwrap());
    assert_eq!(fs::read(place.path("userlog.ulog.1")).unwrap(), [b'y'; 2048], "its end, and no more");
}

#[tokio::test]
async fn each_run_has_a_file_of_its_own() {
    let place = Place::new();
    fs::write(place.path("userlog.ulog"), "of another run\n").unwrap();
    let mut spec = spec(&place, "echo mine");
    spec.args = ["force", "PRIM", "STOP", "stop"].map(str::to_owned).to_vec();
    let (first, second) = (run(&spec).await, run(&spec).await);
    let saved: Vec<_> = [first, second].into_iter().map(|ran| ran.log.unwrap().save(1).unwrap()).collect();
    for path in &saved {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("userlog_2") && name.contains("_start_prim_force"), "{name}");
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() == 2 && lines[0].ends_with("start_prim force PRIM STOP stop -----"), "{text}");
        assert_eq!(lines[1], "mine");
    }
    assert_ne!(saved[0], saved[1]);
    assert_eq!(log(&place).lines().count(), 5, "the user log has both");
}

#[tokio::test]
async fn old_files_of_runs_go() {
    let place = Place::new();
    let spec = spec(&place, "head -c 700 /dev/zero | tr '\\0' x");
    let mut saved = Vec::new();
    for _ in 0..3 {
        saved.push(run(&spec).await.log.unwrap().save(2).unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let there: Vec<bool> = saved.iter().map(|path| path.exists()).collect();
    assert_eq!(there, [false, true, true], "two of 760 bytes fit into 2 KiB, three don't");
    assert!(place.path("userlog.ulog").exists());
}

#[tokio::test]
async fn it_is_said_where_a_script_hangs() {
    let place = Place::new();
    let mut spec = spec(&place, "sleep 601 & wait");
    spec.hang_after = Some(3 * SECOND / 4);
    spec.timeout = Some(3 * SECOND);
    let hangs = std::sync::Mutex::new(Vec::new());
    let ran = run_watched(&spec, std::future::pending(), |hang| hangs.lock().unwrap().push(hang)).await;
    assert_eq!(ran.outcome, ScriptOutcome::TimedOut);
    let hangs = hangs.into_inner().unwrap();
    assert!(hangs.len() >= 2, "after three quarters of a second and again: {hangs:?}");
    assert!(hangs.iter().all(|hang| hang.command == "sleep 601" && hang.state == 'S'), "{hangs:?}");
    assert!(hangs[0].to_string().starts_with("has been running for 0 s: process "), "{}", hangs[0]);
}
