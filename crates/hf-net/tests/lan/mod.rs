//! A LAN in network namespaces: stations on a bridge, each a thread with a namespace of its own. The namespaces have
//! no names and end with their threads, so nothing is left behind, whatever a test dies of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

type Job = Box<dyn FnOnce() + Send>;

/// A machine on the LAN: a thread that runs what it is given.
pub struct Station {
    jobs: Sender<Job>,
    thread_id: i32,
}

impl Station {
    fn new(name: &str) -> Self {
        let (jobs, inbox) = channel::<Job>();
        let (tell, told) = channel();
        let body = move || {
            // SAFETY: changes the namespace of this thread only; it shares no assumption with others.
            let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "these tests need root: {}", std::io::Error::last_os_error());
            // SAFETY: takes nothing, can't fail.
            tell.send(unsafe { libc::gettid() }).unwrap();
            for job in inbox {
                job();
            }
        };
        std::thread::Builder::new().name(format!("hfnt-{name}")).spawn(body).unwrap();
        Self { jobs, thread_id: told.recv().expect("a namespace of its own") }
    }

    /// Runs `job` on the station and waits for its result.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        let job = move || tell.send(job()).expect("somebody waits for this");
        self.jobs.send(Box::new(job)).expect("the station lives");
        told.recv().expect("the job on the station failed, see above")
    }

    /// Runs `ip ARGS`, the tests' way to set the scene.
    pub fn ip(&self, args: &str) {
        let args = args.to_owned();
        self.run(move || {
            let output = Command::new("ip").args(args.split(' ')).output().unwrap();
            assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
        });
    }
}

/// A bridge with stations 10.77.0.1 and fd77::1, 10.77.0.2 and fd77::2, ... at it, each on its `eth0`.
pub struct Lan {
    #[allow(dead_code, reason = "not every test file asks the switch")]
    pub switch: Station,
    pub stations: Vec<Station>,
}

/// The addresses that move.
#[allow(dead_code, reason = "not every test file that uses a LAN needs it")]
pub const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x99));
#[allow(dead_code, reason = "not every test file that uses a LAN needs it")]
pub const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 99));

impl Lan {
    pub fn new(count: usize) -> Self {
        let switch = Station::new("switch");
        switch.ip("link add br0 type bridge");
        switch.ip("link set br0 up");
        let stations: Vec<_> = (1..=count)
            .map(|number| {
                let station = Station::new(&format!("node{number}"));
                let peer = station.thread_id;
                switch.ip(&format!("link add port{number} type veth peer name eth0 netns {peer}"));
                switch.ip(&format!("link set port{number} master br0 up"));
                station.ip("link set lo up");
                station.ip(&format!("addr add 10.77.0.{number}/24 dev eth0"));
                station.ip(&format!("addr add fd77::{number}/64 dev eth0 nodad"));
                station.ip("link set eth0 up");
                station
            })
            .collect();
        let lan = Self { switch, stations };
        (1..=count).for_each(|number| lan.wait_until_forwarding(number));
        lan
    }

    /// A bridge forwards from a port only when it has heard of its carrier, which takes the kernel up to a second.
    fn wait_until_forwarding(&self, number: usize) {
        let end = Instant::now() + Duration::from_secs(60);
        let shown = move || {
            let args = ["-details", "link", "show"];
            let output = Command::new("ip").args(args).arg(format!("port{number}")).output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        while !self.switch.run(shown).contains("state forwarding") {
            assert!(Instant::now() < end, "the switch doesn't forward from port {number}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Pulls (`"down"`) or plugs (`"up"`) the cable of a station; the first is number 1.
    #[allow(dead_code, reason = "not every test file that uses a LAN needs it")]
    pub fn cable(&self, number: usize, state: &str) {
        self.switch.ip(&format!("link set port{number} {state}"));
    }
}
