//! Probes on this machine's loopback.

use hf_check::{Aside, Found, Look, Pace, PingProbe, Probe, Report, Runner, TcpProbe};
use hf_config::{Target, TcpCheck, When};
use hf_types::ResourceValue;
use std::net::{TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn runner() -> (Runner, Receiver<Report>) {
    let (sender, reports) = channel();
    let runner = Runner::spawn(move |report| drop(sender.send(report))).expect("a thread");
    (runner, reports)
}

fn next(reports: &Receiver<Report>, resource: &str) -> Report {
    loop {
        let report = reports.recv_timeout(PATIENCE).expect("a report");
        if report.resource == resource {
            return report;
        }
    }
}

fn tcp(target: Target, port: u16, timeout_ms: u64) -> Box<dyn Probe> {
    let (ident, when, action, interval_ms) = ("x".to_owned(), When::Prim, None, 100);
    Box::new(TcpProbe::new(&TcpCheck { ident, when, action, target, port, interval_ms, timeout_ms }))
}

fn address(text: &str) -> Target {
    Target::Address(text.parse().expect("an address"))
}

#[test]
fn a_port_is_up_while_somebody_listens() {
    let (runner, reports) = runner();
    for ip in ["127.0.0.1", "::1"] {
        let listener = TcpListener::bind((ip, 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        runner.start("tcp.x".to_owned(), 1, tcp(address(ip), port, 30_000));
        assert_eq!(next(&reports, "tcp.x").found, Found::up());
        drop(listener);
        let down = (0..100).map(|_| next(&reports, "tcp.x").found).find(|found| *found != Found::up());
        let why = down.expect("it is seen to go").why;
        assert!(why.ends_with(&format!(":{port} refuses connections")), "{why}");
        runner.stop("tcp.x");
    }
}

#[test]
fn a_name_is_looked_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (runner, reports) = runner();
    runner.start("tcp.x".to_owned(), 1, tcp(Target::Name("localhost".to_owned()), port, 30_000));
    assert_eq!(next(&reports, "tcp.x").found, Found::up(), "one of its addresses is enough");
    runner.start("tcp.y".to_owned(), 2, tcp(Target::Name("no-such-machine.invalid".to_owned()), port, 10_000));
    let found = next(&reports, "tcp.y").found;
    assert_eq!(found.value, ResourceValue::Down);
    assert!(found.why.starts_with("the name no-such-machine.invalid can't be looked up ("), "{}", found.why);
}

/// A listener whose queue is full answers nothing, as a machine behind a firewall.
#[test]
fn a_service_that_does_not_answer_is_down_after_the_time_out() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address").into()).expect("a port");
    socket.listen(0).expect("listens");
    let there = socket.local_addr().expect("its address").as_socket().expect("an IP address");
    let fill: Vec<_> =
        (0..8).filter_map(|_| std::net::TcpStream::connect_timeout(&there, Duration::from_millis(200)).ok()).collect();
    assert!(fill.len() < 8, "the queue never fills up");
    let (runner, reports) = runner();
    runner.start("tcp.x".to_owned(), 1, tcp(Target::Address(there.ip()), there.port(), 300));
    let found = next(&reports, "tcp.x").found;
    assert_eq!(found, Found::down(format!("{there} did not answer within 300 ms")));
}

#[test]
fn this_machine_answers_a_ping() {
    let (runner, reports) = runner();
    for ip in ["127.0.0.1", "::1"] {
        runner.start("ping.x".to_owned(), 1, Box::new(PingProbe::to(address(ip), Duration::from_secs(1), PATIENCE)));
        assert_eq!(next(&reports, "ping.x").found, Found::up(), "{ip}");
    }
}

/// Hangs at every look: on its thread aside, or in the future itself.
struct Hanging {
    aside: Option<Aside<()>>,
}

impl Probe for Hanging {
    fn pace(&self) -> Pace {
        Pace::Every { interval: Duration::from_millis(10), limit: Duration::from_millis(50) }
    }

    fn look(&mut self) -> Look<'_> {
        Box::pin(async move {
            match &mut self.aside {
                Some(aside) => aside.run(|| std::thread::sleep(PATIENCE)).await.map_or(Found::up(), |()| Found::up()),
                None => std::future::pending().await,
            }
        })
    }
}

#[test]
fn what_hangs_is_down_and_holds_nobody_up() {
    let (runner, reports) = runner();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    runner.start("disk.a".to_owned(), 1, Box::new(Hanging { aside: Some(Aside::default()) }));
    runner.start("disk.b".to_owned(), 2, Box::new(Hanging { aside: None }));
    runner.start("tcp.x".to_owned(), 3, tcp(address("127.0.0.1"), port, 30_000));
    for _ in 0..3 {
        for resource in ["disk.a", "disk.b"] {
            let late = Found::down("the check was not over after 50 ms");
            assert_eq!(next(&reports, resource).found, late);
        }
        assert_eq!(next(&reports, "tcp.x").found, Found::up());
    }
    // All of them end with the runner, and nothing is waited for.
    let began = Instant::now();
    drop(runner);
    while reports.recv_timeout(PATIENCE).is_ok() {}
    assert!(began.elapsed() < PATIENCE / 2, "the thread did not end");
}

struct Broken;

impl Probe for Broken {
    fn pace(&self) -> Pace {
        Pace::Every { interval: Duration::from_millis(10), limit: PATIENCE }
    }

    fn look(&mut self) -> Look<'_> {
        Box::pin(async { panic!("a fault of the probe: this is part of a test") })
    }
}

#[test]
fn a_probe_with_a_fault_says_nothing_about_what_it_looks_at() {
    let (runner, reports) = runner();
    runner.start("tcp.x".to_owned(), 1, Box::new(Broken));
    for _ in 0..2 {
        assert_eq!(next(&reports, "tcp.x").found.value, ResourceValue::Unknown);
    }
}

/// Tells when it is dropped.
struct Noted(UdpSocket, std::net::SocketAddr);

impl Drop for Noted {
    fn drop(&mut self) {
        drop(self.0.send_to(b"gone", self.1));
    }
}

impl Probe for Noted {
    fn pace(&self) -> Pace {
        Pace::OnEvents
    }

    fn look(&mut self) -> Look<'_> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_probe_that_is_stopped_or_replaced_is_gone_with_all_that_it_held() {
    let (runner, reports) = runner();
    let hears = UdpSocket::bind("127.0.0.1:0").expect("a port");
    hears.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let noted = || {
        let speaks = UdpSocket::bind("127.0.0.1:0").expect("a port");
        Box::new(Noted(speaks, hears.local_addr().expect("its address")))
    };
    let mut buffer = [0; 8];
    runner.start("tcp.x".to_owned(), 1, noted());
    runner.start("tcp.x".to_owned(), 2, noted());
    assert_eq!(hears.recv(&mut buffer).expect("the first is gone"), 4);
    runner.stop("tcp.x");
    assert_eq!(hears.recv(&mut buffer).expect("the second is gone"), 4);
    assert!(reports.try_recv().is_err(), "they never looked to the end");
}
