//! `down` leaves nothing, also of a lab whose `up` was killed.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Lab, eventually};

/// What comes at once or never; a machine under load may need longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything by which a lab could be seen later. Other labs may come and go meanwhile, so it is this lab's things, not counts.
struct Traces {
    /// With their start times: another lab may get the number of one that is gone.
    pids: Vec<(i32, String)>,
    namespaces: BTreeSet<PathBuf>,
    /// Every process of the host that is in one of those namespaces, wherever its cgroup: `/proc/PID` and its start time. Numbers of
    /// namespaces are used again at once, so that later the number alone would say nothing.
    members: BTreeSet<(i32, String)>,
    fuse_minors: BTreeSet<String>,
    links: BTreeSet<String>,
}

impl Traces {
    fn of(lab: &Lab) -> Self {
        let pids = lab.pids();
        let mine = namespaces_of(std::process::id() as i32);
        let namespaces = pids.iter().flat_map(|p| namespaces_of(*p));
        let fuse_minors = pids.iter().flat_map(|p| fuse_minors(*p));
        let namespaces: BTreeSet<PathBuf> = namespaces.filter(|n| !mine.contains(n)).collect();
        let started = pids.iter().filter_map(|pid| Some((*pid, start_time(*pid)?))).collect();
        Self {
            members: members(&namespaces),
            namespaces,
            fuse_minors: fuse_minors.collect(),
            pids: started,
            links: links(),
        }
    }

    fn assert_gone(&self, lab: &Lab) {
        for path in [lab.run_dir(), lab.image_dir(), lab.cgroup()] {
            assert!(!path.exists(), "{} is left", path.display());
        }
        for (pid, start) in &self.pids {
            let lives = Path::new(&format!("/proc/{pid}/exe")).exists() && start_time(*pid).as_ref() == Some(start);
            assert!(!lives, "process {pid}");
        }
        // The host's init collects the dead in its own time, and their namespaces with them.
        eventually("nobody is left in a namespace", PATIENCE, || {
            self.members.iter().all(|(pid, start)| start_time(*pid).as_ref() != Some(start))
        });
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&lab.name), "{mounts}");
        for entry in std::fs::read_dir("/sys/block").unwrap().flatten() {
            let backing = entry.path().join("loop/backing_file");
            let text = std::fs::read_to_string(backing).unwrap_or_default();
            assert!(!text.contains(&lab.name), "{:?}: {text}", entry.file_name());
        }
        assert_eq!(links(), self.links, "interfaces of the host");
        let left = live_fuse_connections(lab);
        assert!(left.is_disjoint(&self.fuse_minors), "FUSE connections {left:?}");
    }
}

fn members(namespaces: &BTreeSet<PathBuf>) -> BTreeSet<(i32, String)> {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| !namespaces_of(*pid).is_disjoint(namespaces))
        .filter_map(|pid| Some((pid, start_time(pid)?)))
        .collect()
}

/// Tells processes with the same number apart.
fn start_time(pid: i32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = &text[text.rfind(')')? + 2..];
    fields.split(' ').nth(19).map(str::to_owned)
}

fn namespaces_of(pid: i32) -> BTreeSet<PathBuf> {
    let dir = format!("/proc/{pid}/ns");
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .collect()
}

fn links() -> BTreeSet<String> {
    std::fs::read_dir("/sys/class/net")
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect()
}

fn fuse_minors(pid: i32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    text.lines()
        .filter(|l| l.contains(" - fuse.holdfast-lab "))
        .filter_map(|l| Some(l.split(' ').nth(2)?.split_once(':')?.1.to_owned()))
        .collect()
}

/// Device numbers of FUSE file systems that any process still sees, but for those of other labs: the numbers are used again, and a lab that
/// comes up meanwhile has a mount of its own for each node.
fn live_fuse_connections(lab: &Lab) -> BTreeSet<String> {
    let of_another = |pid: &i32| {
        let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        group.contains("holdfast-lab/") && !group.contains(&format!("holdfast-lab/{}", lab.name))
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter(|pid| !of_another(pid))
        .flat_map(fuse_minors)
        .collect()
}

/// The host's packet filter: the lab's rules live elsewhere.
fn host_rules() -> Vec<u8> {
    let output = std::process::Command::new("/usr/sbin/nft").args(["list", "ruleset"]).output().unwrap();
    output.stdout
}

#[test]
fn down_leaves_nothing() {
    let rules = host_rules();
    let lab = Lab::up("gone", &["--nodes", "3"]);
    lab.ok(&["partition", "node1", "node2"]);
    lab.ok(&["freeze", "node2"]);
    lab.ok(&["power-off", "node3"]);
    let traces = Traces::of(&lab);
    assert!(traces.pids.len() >= 6 && traces.namespaces.len() >= 12);
    assert!(!traces.fuse_minors.is_empty());
    lab.ok(&["down"]);
    traces.assert_gone(&lab);
    assert_eq!(host_rules(), rules);
}

/// A node with systemd is one like any other: it answers, is shut down in good order, cut off, and gone without a trace.
#[test]
fn down_leaves_nothing_of_nodes_with_systemd() {
    let lab = Lab::up("gonesd", &["--nodes", "2", "--init", "systemd"]);
    let answers = || lab.sh("node1", "systemctl is-system-running").stdout.starts_with(b"running");
    eventually("systemd has started its units", PATIENCE, answers);
    lab.ok(&["reboot", "node1"]);
    eventually("systemd has started its units again", PATIENCE, answers);
    let units = lab.sh_ok("node1", "systemctl list-units --type=service --state=running --plain --no-legend");
    assert!(units.contains("systemd-journald") && !units.contains("udev") && !units.contains("cron"), "{units}");
    lab.ok(&["power-off", "node2"]);
    let traces = Traces::of(&lab);
    lab.ok(&["down"]);
    traces.assert_gone(&lab);
}

#[test]
fn down_leaves_nothing_of_an_up_that_was_killed_at_any_moment() {
    for delay_ms in [0, 5, 10, 20, 30, 45, 60, 80, 100, 130, 160, 200, 250] {
        let lab = Lab::unused(&format!("kill{delay_ms}"));
        let mut up = lab.command(&["up", "--no-daemon"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay_ms));
        up.kill().unwrap();
        up.wait().unwrap();
        let traces = Traces::of(&lab);
        let output = lab.run(&["down"]);
        // 2: it was killed before it made anything.
        assert!(matches!(output.status.code(), Some(0 | 2)), "{delay_ms}: {output:?}");
        traces.assert_gone(&lab);
    }
}

#[test]
fn down_leaves_nothing_when_its_helpers_were_killed_before() {
    let lab = Lab::up("helpers", &["--nodes", "1"]);
    let mut writer = lab.background("node1", "while :; do dd if=/dev/zero of=/srv/f bs=1M count=10 conv=fsync; done");
    std::thread::sleep(Duration::from_millis(200));
    let traces = Traces::of(&lab);
    let host = std::fs::read_to_string(lab.cgroup().join("host/cgroup.procs")).unwrap();
    for pid in host.lines().filter_map(|l| l.parse::<i32>().ok()) {
        // SAFETY: a process of this test's own lab.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    lab.ok(&["down"]);
    writer.wait().unwrap();
    traces.assert_gone(&lab);
}
