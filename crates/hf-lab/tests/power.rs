//! A power cut is a power cut: on the disk, on the wire, and for what waits in a file system nobody answers.

mod common;

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Lab, eventually};

#[test]
fn what_was_synced_survives_and_the_rest_is_lost() {
    let lab = Lab::up("cut", &["--nodes", "1"]);
    let boot_id = || lab.sh_ok("node1", "cat /proc/sys/kernel/random/boot_id");
    let before = boot_id();
    for round in 0..3 {
        lab.sh_ok(
            "node1",
            &format!(
                "cd /srv; echo {round} > synced; sync synced; echo {round} > lost-{round}; \
                 dd if=/dev/zero of=big-{round} bs=1M count=20 status=none"
            ),
        );
        lab.ok(&["power-off", "node1"]);
        assert_eq!(lab.run(&["exec", "node1", "--", "true"]).status.code(), Some(1));
        lab.ok(&["power-on", "node1"]);
        assert_eq!(lab.sh_ok("node1", "cd /srv; cat synced; ls"), format!("{round}\nsynced\n"));
    }
    assert_ne!(boot_id(), before);
}

#[test]
fn the_fast_disk_is_honest_about_fsync_too() {
    let lab = Lab::up("fast", &["--nodes", "1", "--disk", "fast"]);
    lab.sh_ok("node1", "cd /srv; echo yes > synced; sync synced");
    lab.ok(&["power-off", "node1"]);
    lab.ok(&["power-on", "node1"]);
    assert_eq!(lab.sh_ok("node1", "cat /srv/synced"), "yes\n");
}

/// Frames that crossed a switch: when, from which card, and whether TCP said goodbye in them.
struct Frame {
    at: Instant,
    from: [u8; 6],
    goodbye: bool,
}

/// Listens to everything in the namespace of the LAN's switch.
struct Capture {
    frames: Arc<Mutex<Vec<Frame>>>,
    /// How often nothing came for a moment.
    quiet: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Capture {
    fn start(holder: i64) -> Self {
        let frames: Arc<Mutex<Vec<Frame>>> = Arc::default();
        let (stop, quiet) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (into, until, nothing) = (frames.clone(), stop.clone(), quiet.clone());
        let thread = std::thread::spawn(move || capture(holder, &into, &nothing, &until));
        Self { frames, quiet, stop, thread: Some(thread) }
    }

    fn finish(mut self) -> Vec<Frame> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut self.frames.lock().unwrap())
    }
}

fn capture(holder: i64, into: &Mutex<Vec<Frame>>, quiet: &AtomicU32, until: &AtomicBool) {
    let net = std::fs::File::open(format!("/proc/{holder}/ns/net")).unwrap();
    let all = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: plain calls with owned descriptors and buffers of the sizes given.
    unsafe {
        assert_eq!(libc::setns(net.as_raw_fd(), libc::CLONE_NEWNET), 0);
        let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(all));
        assert!(socket >= 0);
        let limit = libc::timeval { tv_sec: 0, tv_usec: 50_000 };
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const limit).cast(),
            size_of::<libc::timeval>() as u32,
        );
        let mut frame = [0u8; 2048];
        while !until.load(Ordering::SeqCst) {
            let got = libc::recv(socket, frame.as_mut_ptr().cast(), frame.len(), 0);
            if got >= 14 {
                let bytes = &frame[..got as usize];
                into.lock().unwrap().push(Frame {
                    at: Instant::now(),
                    from: bytes[6..12].try_into().unwrap(),
                    goodbye: says_goodbye(bytes),
                });
            } else if got < 0 {
                quiet.fetch_add(1, Ordering::SeqCst);
            }
        }
        libc::close(socket);
    }
}

/// FIN or RST in an IPv4 TCP segment.
fn says_goodbye(frame: &[u8]) -> bool {
    let ip = &frame[14..];
    if frame[12..14] != [8, 0] || ip.len() < 40 || ip[9] != 6 {
        return false;
    }
    let header = usize::from(ip[0] & 15) * 4;
    ip.get(header + 13).is_some_and(|flags| flags & 0b101 != 0)
}

#[test]
fn no_frame_leaves_a_node_after_the_cut() {
    let lab = Lab::up("wire", &["--lan", "default"]);
    let json = std::fs::read_to_string(lab.run_dir().join("lab.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let holder = json["lans"][0]["holder"]["pid"].as_i64().unwrap();
    let capture = Capture::start(holder);

    let listen = "perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(LocalPort=>7777,Listen=>1); $c=$s->accept; \
                  print \"connected\\n\"; $|=1; alarm 8; while(sysread($c,$b,99)){} print \"end of file\\n\"'";
    let mut listener = lab.background("node2", &format!("exec {listen}"));
    eventually("node2 listens", Duration::from_secs(60), || {
        lab.sh("node2", "ss -ltn | grep -q :7777").status.success()
    });
    let talk = "perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(\"node2:7777\"); while(1){syswrite($s,\"x\"); select(undef,undef,undef,0.01)}'";
    let mut talker = lab.background("node1", &format!("exec {talk}"));
    let mut pings = lab.background("node1", "exec ping -q -i 0.01 node2");
    let node1 = [2, 0x90, 0, 0, 1, 1];
    let of_node1 = |capture: &Capture| capture.frames.lock().unwrap().iter().filter(|f| f.from == node1).count();
    eventually("frames of node1", Duration::from_secs(60), || of_node1(&capture) > 50);

    lab.ok(&["power-off", "node1"]);
    // What crossed before may wait for the thread that captures.
    let quiet = capture.quiet.load(Ordering::SeqCst);
    eventually("a quiet LAN", Duration::from_secs(60), || capture.quiet.load(Ordering::SeqCst) > quiet + 1);
    let cut = Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    let frames = capture.finish();
    let of_node1 = || frames.iter().filter(|f| f.from == node1);
    assert!(of_node1().count() > 50, "the capture works");
    assert!(of_node1().all(|f| f.at < cut), "frames after the cut");
    assert!(!of_node1().any(|f| f.goodbye), "a machine without power says no goodbye");
    // Its peer doesn't know: the connection is still open there.
    assert!(lab.sh("node2", "ss -tn state established | grep -q :7777").status.success());
    for child in [&mut listener, &mut talker, &mut pings] {
        // Some are dead already.
        let _ = child.kill();
        child.wait().unwrap();
    }
}

/// A FUSE server that answers INIT and then nothing. Its child waits in it, in the state in which a signal no longer helps, and holds the
/// connection open: only aborting the connection ends that.
const DEAF_FUSE: &str = r#"
    open($f, "+<", "/dev/fuse") or die; fcntl($f, 2, 0); mkdir "/srv/m";
    system("mount", "-i", "-t", "fuse", "-o", "fd=".fileno($f).",rootmode=40000,user_id=0,group_id=0", "none", "/srv/m") and die;
    sysread($f, $b, 135168); ($id) = unpack("x8Q", $b);
    syswrite($f, pack("LlQ LLLL SS L L SS L x28", 80, 0, $id, 7, 31, 0, 0, 12, 9, 131072, 1, 0, 0, 0));
    if (!fork) { stat "/srv/m/x"; exit }
    sysread($f, $b, 135168); open($o, ">", "/run/waiting"); sleep 1000;
"#;

#[test]
fn a_file_system_that_nobody_answers_does_not_hold_up_the_cut() {
    let lab = Lab::up("hung", &["--nodes", "1"]);
    for verb in ["power-off", "down"] {
        let mut hung = lab.command(&["exec", "node1", "--", "perl", "-e", DEAF_FUSE]).spawn().unwrap();
        eventually("somebody waits in FUSE", Duration::from_secs(60), || {
            lab.sh("node1", "test -e /run/waiting").status.success()
        });
        let started = Instant::now();
        let argv: &[&str] = if verb == "down" { &["down"] } else { &["power-off", "node1"] };
        lab.ok(argv);
        assert!(started.elapsed() < Duration::from_secs(60), "{verb}");
        if verb == "power-off" {
            lab.ok(&["power-on", "node1"]);
        }
        hung.wait().unwrap();
    }
}

#[test]
fn two_nodes_lose_power_in_the_same_moment_and_commands_for_two_nodes_run_at_once() {
    let lab = Lab::up("both", &[]);
    lab.ok(&["power-off", "node2", "node1"]);
    let powers = || -> Vec<String> {
        let status = lab.status();
        let machines = status["machines"].as_array().unwrap().clone();
        machines.iter().map(|m| m["power"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(powers(), ["off", "off", "on"]);
    std::thread::scope(|scope| {
        for node in ["node1", "node2"] {
            scope.spawn(|| lab.ok(&["power-on", node]));
        }
    });
    assert_eq!(powers(), ["on", "on", "on"]);
    assert!(lab.reaches("node1", "node2"));
    assert_eq!(lab.run(&["power-off", "node1", "node1"]).status.code(), Some(2));
    assert_eq!(lab.run(&["power-off", "node1", "nobody"]).status.code(), Some(2));
    assert_eq!(powers(), ["on", "on", "on"]);
}
