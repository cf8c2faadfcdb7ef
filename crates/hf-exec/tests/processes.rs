//! Cgroups, pid files, watches and the process table, with real processes. Needs root.

mod place;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hf_exec::{
    CgroupError, Enclosure, Identity, Liveness, ModuleCgroup, PidFile, PidFileError, ProcessWatch, ScriptSpec,
    WatchError, comm_of, holders_below, own_cgroup, run,
};
use hf_types::ScriptOutcome;
use place::{Place, eventually, lives, pid_in};

/// Killed when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `None`, said aloud, where this machine has no cgroup2 at all.
fn cgroup_parent() -> Option<PathBuf> {
    let parent = own_cgroup();
    if parent.is_none() {
        println!("no cgroup2 here: only the fallback is tested");
    }
    parent
}

fn name(of: &str) -> String {
    format!("hfex-{}-{of}", std::process::id())
}

/// Leaves a daemon behind that has made a session of its own, as good daemons do.
fn daemon_script(place: &Place) -> PathBuf {
    let pid = place.path("daemon");
    place.script(
        "start_prim",
        &format!(
            "setsid sh -c 'echo $$ > {0}; exec sleep 600' &\nwhile [ ! -s {0} ]; do sleep 0.01; done",
            pid.display()
        ),
    )
}

#[tokio::test]
async fn a_cgroup_holds_all_that_a_script_leaves_behind() {
    let Some(parent) = cgroup_parent() else { return };
    let place = Place::new();
    let cgroup = ModuleCgroup::create(Some(&parent), &name("all")).unwrap();
    assert_eq!(cgroup.enclosure(), Enclosure::Cgroup2);
    assert!(cgroup.is_empty().unwrap());
    let spec = ScriptSpec { path: daemon_script(&place), cgroup: Some(&cgroup), ..ScriptSpec::default() };
    assert_eq!(run(&spec).await.outcome, ScriptOutcome::Exited(0));
    let daemon = pid_in(&place.path("daemon"));
    assert_eq!(cgroup.processes().unwrap(), [daemon]);
    assert!(!cgroup.is_empty().unwrap());

    cgroup.freeze().unwrap();
    let events = cgroup.path().unwrap().join("cgroup.events");
    eventually("frozen", || fs::read_to_string(&events).unwrap().contains("frozen 1"));
    cgroup.thaw().unwrap();
    eventually("thawed", || fs::read_to_string(&events).unwrap().contains("frozen 0"));

    let again = ModuleCgroup::create(Some(&parent), &name("all")).unwrap();
    let error = again.remove().unwrap_err();
    assert!(matches!(&error, CgroupError::Occupied { pids, .. } if *pids == [daemon]), "{error}");

    cgroup.kill_and_wait(Duration::from_secs(60)).await.unwrap();
    assert!(!lives(daemon));
    let path = cgroup.path().unwrap().to_owned();
    cgroup.remove().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn processes_in_a_cgroup_of_the_application_are_found() {
    let Some(parent) = cgroup_parent() else { return };
    let mut sleeper = Sleeper::new();
    let cgroup = ModuleCgroup::create(Some(&parent), &name("nested")).unwrap();
    let below = cgroup.path().unwrap().join("app/worker");
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join("cgroup.procs"), sleeper.pid().to_string()).unwrap();
    assert_eq!(cgroup.processes().unwrap(), [sleeper.pid()]);
    cgroup.terminate().unwrap();
    sleeper.0.wait().unwrap();
    eventually("empty", || cgroup.is_empty().unwrap());
    cgroup.remove().unwrap();
}

#[tokio::test]
async fn without_cgroup2_sessions_stand_in() {
    let place = Place::new();
    let cgroup = ModuleCgroup::create(Some(&place.0), "module").unwrap();
    assert_eq!(cgroup.enclosure(), Enclosure::Sessions);
    assert_eq!(cgroup.path(), None);
    assert!(!place.path("module").exists(), "no plain directory is made");
    let body = format!("sleep 600 & echo $! > {}", place.path("child").display());
    let spec = ScriptSpec { path: place.script("start_prim", &body), cgroup: Some(&cgroup), ..ScriptSpec::default() };
    assert_eq!(run(&spec).await.outcome, ScriptOutcome::Exited(0));
    let child = pid_in(&place.path("child"));
    assert_eq!(cgroup.processes().unwrap(), [child]);
    cgroup.freeze().unwrap();
    eventually("stopped", || fs::read_to_string(format!("/proc/{child}/stat")).unwrap().contains(") T "));
    cgroup.thaw().unwrap();
    cgroup.kill_and_wait(Duration::from_secs(60)).await.unwrap();
    assert!(!lives(child));
    cgroup.remove().unwrap();
}

#[test]
fn names_that_climb_are_no_cgroups() {
    for name in ["", "..", "a/b", ".hidden", "a\nb"] {
        let error = ModuleCgroup::create(own_cgroup().as_deref(), name).unwrap_err();
        assert!(matches!(error, CgroupError::Name { .. }), "{error}");
    }
}

#[test]
fn a_pid_file_names_one_process() {
    let place = Place::new();
    let path = place.path("heart.pid");
    assert_eq!(PidFile::verify(&path).unwrap(), Liveness::Unknown);
    let file = PidFile::acquire(&path).unwrap();
    let me = Identity::of_self().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{} {} {}\n", me.pid, me.start_ticks, me.boot_id));
    assert_eq!(PidFile::verify(&path).unwrap(), Liveness::Alive(me.clone()));

    let error = PidFile::acquire(&path).unwrap_err();
    assert!(matches!(&error, PidFileError::Held { holder: Some(holder), .. } if *holder == me), "{error}");
    drop(file);
    PidFile::acquire(&path).unwrap();

    // The same number, but started at another time, or before the last boot.
    for other in [
        Identity { start_ticks: me.start_ticks + 1, ..me.clone() },
        Identity { boot_id: "00000000-0000-0000-0000-000000000000".to_owned(), ..me.clone() },
    ] {
        fs::write(&path, format!("{other}\n")).unwrap();
        assert_eq!(PidFile::verify(&path).unwrap(), Liveness::Dead(other));
    }
    for torn in ["", "17", "17 4", "-5 4 x", "0 4 x", "a b c", "17 4 x y", "17 \u{fffd}"] {
        fs::write(&path, torn).unwrap();
        assert_eq!(PidFile::verify(&path).unwrap(), Liveness::Unknown, "{torn:?}");
    }
}

#[test]
fn a_dead_process_and_a_zombie_are_dead() {
    let mut sleeper = Sleeper::new();
    let identity = Identity::of(sleeper.pid()).unwrap();
    assert!(identity.is_alive().unwrap());
    sleeper.0.kill().unwrap();
    eventually("a zombie counts as dead", || !identity.is_alive().unwrap());
    sleeper.0.wait().unwrap();
    assert!(!identity.is_alive().unwrap());
    assert_eq!(Identity::of(sleeper.pid()).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_death_is_seen_at_once() {
    let mut sleeper = Sleeper::new();
    let watch = ProcessWatch::open(Identity::of(sleeper.pid()).unwrap()).unwrap();
    assert!(watch.is_alive().unwrap());
    let early = tokio::time::timeout(Duration::from_millis(100), watch.exited()).await;
    assert!(early.is_err(), "it still lives");
    watch.terminate().unwrap();
    tokio::time::timeout(Duration::from_secs(60), watch.exited()).await.unwrap().unwrap();
    assert!(!watch.is_alive().unwrap());
    sleeper.0.wait().unwrap();
    watch.kill().unwrap();
    let error = ProcessWatch::open(watch.identity().clone()).unwrap_err();
    assert!(matches!(error, WatchError::Gone { .. }), "{error}");
}

#[test]
fn another_process_with_the_same_number_is_not_watched() {
    let sleeper = Sleeper::new();
    let mut identity = Identity::of(sleeper.pid()).unwrap();
    identity.start_ticks += 1;
    assert!(matches!(ProcessWatch::open(identity), Err(WatchError::Gone { .. })));
}

#[test]
fn who_holds_a_directory_is_named() {
    let place = Place::new();
    let held = place.path("held");
    fs::create_dir(&held).unwrap();
    fs::write(held.join("file"), "x").unwrap();
    fs::create_dir(place.path("held2")).unwrap();
    assert_eq!(holders_below(&held), []);
    let by_cwd = Sleeper(Command::new("sleep").arg("600").current_dir(&held).spawn().unwrap());
    let file = fs::File::open(held.join("file")).unwrap();
    let by_file = Sleeper(Command::new("sleep").arg("601").stdin(file).spawn().unwrap());
    let _beside = Sleeper(Command::new("sleep").arg("602").current_dir(place.path("held2")).spawn().unwrap());
    let mut holders = holders_below(&held);
    holders.sort_by_key(|holder| holder.pid);
    let mut expected = vec![(by_cwd.pid(), held.clone()), (by_file.pid(), held.join("file"))];
    expected.sort();
    let found: Vec<_> = holders.iter().map(|holder| (holder.pid, holder.path.clone())).collect();
    assert_eq!(found, expected);
    assert!(holders.iter().all(|holder| holder.comm == "sleep"));
    assert_eq!(comm_of(by_cwd.pid()).as_deref(), Some("sleep"));
}
