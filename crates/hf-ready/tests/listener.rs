//! The listener on loopback, with clients as they are and as they shouldn't be.

use hf_ready::{Limits, Table, serve};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

struct Listener {
    at: SocketAddr,
    feed: Option<PipeWriter>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Listener {
    fn start(limits: Limits) -> Listener {
        // A machine under load may be slow to ask.
        let fresh = if limits.fresh == Limits::default().fresh { Duration::from_secs(3600) } else { limits.fresh };
        let limits = Limits { fresh, ..limits };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address");
        let (reader, feed) = std::io::pipe().expect("a pipe");
        let thread = std::thread::spawn(move || serve(&listener, reader, &limits));
        Listener { at, feed: Some(feed), thread: Some(thread) }
    }

    fn tell(&mut self, ready: &[(&str, &str)]) {
        let mut table = Table::default();
        ready.iter().for_each(|(module, run)| table.add(module.parse().expect("a name"), run));
        self.feed.as_mut().expect("a feed").write_all(table.line().as_bytes()).expect("written");
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.at).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        stream
    }

    fn get(&self, path: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// The table comes by a pipe, the question by a socket: neither waits for the other.
    fn until(&self, path: &str, status: &str) {
        let began = Instant::now();
        loop {
            let answer = self.get(path);
            if answer.starts_with(&format!("HTTP/1.1 {status} ")) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{path} isn't {status}: {answer}");
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.feed.take());
        let ended = self.thread.take().expect("a thread").join().expect("no panic");
        ended.expect("a good end");
    }
}

const READY: &str = "/var/modules/pg/ready.txt";

#[test]
fn it_says_what_the_daemon_said_last() {
    let mut listener = Listener::start(Limits::default());
    assert!(listener.get(READY).starts_with("HTTP/1.1 503 "), "nothing was said yet");
    listener.tell(&[("pg", "1")]);
    listener.until(READY, "200");
    assert!(listener.get(READY).contains("Holdfast-Run: 1\r\n"));
    listener.tell(&[("web", "9")]);
    listener.until(READY, "404");
    listener.until("/var/modules/web/ready.txt", "200");
    listener.until("/health", "200");
}

#[test]
fn a_daemon_that_hangs_makes_nobody_ready() {
    let fresh = Duration::from_millis(300);
    let mut listener = Listener::start(Limits { fresh, ..Limits::default() });
    listener.tell(&[("pg", "1")]);
    listener.until(READY, "503");
    listener.until("/health", "503");
}

#[test]
fn who_asks_slowly_is_sent_away() {
    let patience = Duration::from_millis(500);
    let mut listener = Listener::start(Limits { patience, ..Limits::default() });
    listener.tell(&[("pg", "1")]);
    let mut slow = listener.connect();
    let began = Instant::now();
    // A byte now and then: each of them comes in time, the whole never does.
    let mut bytes = b"GET / HTTP/1.1\r\nHost: ".iter().chain(std::iter::repeat(&b'x'));
    while slow.write_all(&[*bytes.next().expect("endless")]).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60), "it is still listened to");
        std::thread::sleep(Duration::from_millis(20));
    }
    listener.until(READY, "200");
}

/// Ten thousand connections at once, as far as this machine lets one process have so many.
#[test]
fn who_holds_many_connections_keeps_nobody_out() {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum }).expect("more files");
    let limits = Limits { patience: Duration::from_secs(3600), ..Limits::default() };
    let many = files.maximum.map_or(10_000, |most| 10_000.min(most / 2)) as usize;
    assert!(many > 2 * limits.connections, "too few open files are allowed here: {many}");
    let mut listener = Listener::start(limits);
    listener.tell(&[("pg", "1")]);
    listener.until(READY, "200");
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..many {
        let mut stream = listener.connect();
        // It may have been closed already.
        let _ = stream.write_all(b"GET ");
        held.push(stream);
    }
    assert!(listener.get(READY).starts_with("HTTP/1.1 200 "));
    // The oldest were closed: with an end or a reset.
    let closed = held.iter_mut().take(many - limits.connections).all(|stream| stream.read(&mut [0]).unwrap_or(0) == 0);
    assert!(closed);
}

#[test]
fn nonsense_gets_an_answer_and_an_end() {
    let listener = Listener::start(Limits::default());
    for (sent, status) in [("\r\n\r\n".to_owned(), "400"), ("x".repeat(5000), "431")] {
        let mut stream = listener.connect();
        stream.write_all(sent.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}
