//! The loop: one thread, a bounded number of connections, each with a bounded life.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::answer;
use crate::request::{self, HEAD_MAX, Head};
use crate::table::Table;

/// Longest line of the daemon in bytes: a thousand modules are fewer.
const LINE_MAX: usize = 256 * 1024;
/// Accepted in one turn of the loop, so that those who are connected get theirs.
const ACCEPT_MAX: usize = 64;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// After an answer, what a client still sends is read away for so long: closing at once could take the answer back.
const LINGER: Duration = Duration::from_millis(500);
/// After a failure to accept that isn't the client's.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How much strangers may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. When one more comes, the oldest goes: who holds many open keeps nobody out.
    pub connections: usize,
    /// From the connection's beginning to its whole request, and again for the answer to be taken.
    pub patience: Duration,
    /// What the daemon said last counts for so long.
    pub fresh: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections: 256, patience: Duration::from_secs(5), fresh: Duration::from_secs(10) }
    }
}

/// Serves until `feed` ends. An error is one of the listening socket, of the feed, or of memory: the daemon starts another listener.
pub fn serve(listener: &TcpListener, feed: impl Read + AsFd, limits: &Limits) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    // It listens already: this makes the queue longer, so that a flood doesn't keep others waiting for their second try.
    rustix::net::listen(listener, BACKLOG)?;
    rustix::io::ioctl_fionbio(&feed, true)?;
    let mut server = Server { listener, feed, limits, line: Vec::new(), table: None, clients: Vec::new(), pause: None };
    while server.turn()? {}
    Ok(())
}

struct Server<'l, F> {
    listener: &'l TcpListener,
    feed: F,
    limits: &'l Limits,
    /// What of the daemon's next line has come.
    line: Vec<u8>,
    table: Option<(Table, Instant)>,
    /// The oldest first.
    clients: Vec<Client>,
    pause: Option<Instant>,
}

struct Client {
    stream: TcpStream,
    until: Instant,
    stage: Stage,
}

enum Stage {
    Reading(Vec<u8>),
    Writing {
        answer: Vec<u8>,
        written: usize,
    },
    /// The answer is out; what still comes means nothing.
    Closing,
    Over,
}

impl<F: Read + AsFd> Server<'_, F> {
    /// Waits and looks once; false when the daemon is gone.
    fn turn(&mut self) -> io::Result<bool> {
        let (told, called, ready) = self.wait()?;
        if told && !self.hear()? {
            return Ok(false);
        }
        let table = self.table.as_ref().filter(|(_, at)| at.elapsed() < self.limits.fresh).map(|(table, _)| table);
        let now = Instant::now();
        for (client, ready) in self.clients.iter_mut().zip(ready) {
            client.go_on(ready, now, table, self.limits.patience);
        }
        self.clients.retain(|client| !matches!(client.stage, Stage::Over));
        if called {
            self.accept(now);
        }
        Ok(true)
    }

    /// Whether the feed, the listener and each client have something.
    fn wait(&mut self) -> io::Result<(bool, bool, Vec<bool>)> {
        let now = Instant::now();
        let resting = self.pause.is_some_and(|until| until > now);
        let next = self.clients.iter().map(|client| client.until).chain(self.pause.filter(|_| resting)).min();
        // A moment longer than needed, so that whoever is waited for is over then.
        let wait = next.map(|at| at.saturating_duration_since(now) + Duration::from_millis(1));
        let mut fds = vec![PollFd::new(&self.feed, PollFlags::IN)];
        fds.push(PollFd::new(self.listener, if resting { PollFlags::empty() } else { PollFlags::IN }));
        fds.extend(self.clients.iter().map(|client| PollFd::new(&client.stream, client.stage.wants())));
        let timeout = wait.map(|wait| Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let (feed, listener) = (ready.next().unwrap_or(false), ready.next().unwrap_or(false));
        Ok((feed, listener && !resting, ready.collect()))
    }

    /// Reads what the daemon says; false at its end.
    fn hear(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        loop {
            match self.feed.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => self.take(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let table = std::str::from_utf8(&line[..end]).ok().and_then(|line| Table::parse(line).ok());
            let table = table.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
            self.table = Some((table, Instant::now()));
        }
        if self.line.len() > LINE_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPT_MAX {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {
                }
                // No memory for it, say: it would come back at once.
                Err(_) => {
                    self.pause = Some(now + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, stream: TcpStream, now: Instant) {
        // A socket that can't be set up is of no use to anybody.
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.clients.len() >= self.limits.connections {
            self.clients.remove(0);
        }
        self.clients.push(Client { stream, until: now + self.limits.patience, stage: Stage::Reading(Vec::new()) });
    }
}

impl Stage {
    fn wants(&self) -> PollFlags {
        match self {
            Stage::Reading(_) | Stage::Closing => PollFlags::IN,
            Stage::Writing { .. } => PollFlags::OUT,
            Stage::Over => PollFlags::empty(),
        }
    }
}

impl Client {
    fn go_on(&mut self, ready: bool, now: Instant, table: Option<&Table>, patience: Duration) {
        if self.until <= now {
            self.give_up(now, table, patience);
        } else if ready {
            match &self.stage {
                Stage::Reading(_) => self.read(now, table, patience),
                Stage::Writing { .. } => {}
                Stage::Closing => self.read_away(),
                Stage::Over => {}
            }
        } else {
            return;
        }
        self.write(now);
    }

    /// Who was too slow to ask is told so; who was too slow to listen isn't.
    fn give_up(&mut self, now: Instant, table: Option<&Table>, patience: Duration) {
        self.stage = match &self.stage {
            Stage::Reading(_) => {
                self.until = now + patience;
                Stage::Writing { answer: answer::to(&Head::Incomplete, table), written: 0 }
            }
            Stage::Writing { .. } | Stage::Closing | Stage::Over => Stage::Over,
        };
    }

    fn read(&mut self, now: Instant, table: Option<&Table>, patience: Duration) {
        let Stage::Reading(head) = &mut self.stage else { return };
        let mut buffer = [0; HEAD_MAX];
        match self.stream.read(&mut buffer[head.len()..]) {
            Ok(0) => self.stage = Stage::Over,
            Ok(count) => {
                let from = head.len();
                head.extend_from_slice(&buffer[from..from + count]);
                let read = request::read(head);
                if read != Head::Incomplete {
                    self.until = now + patience;
                    self.stage = Stage::Writing { answer: answer::to(&read, table), written: 0 };
                }
            }
            Err(error) if is_later(&error) => {}
            Err(_) => self.stage = Stage::Over,
        }
    }

    fn write(&mut self, now: Instant) {
        let Stage::Writing { answer, written } = &mut self.stage else { return };
        while *written < answer.len() {
            match self.stream.write(&answer[*written..]) {
                Ok(0) => {
                    self.stage = Stage::Over;
                    return;
                }
                Ok(count) => *written += count,
                Err(error) if is_later(&error) => return,
                Err(_) => {
                    self.stage = Stage::Over;
                    return;
                }
            }
        }
        self.until = now + LINGER;
        let said = self.stream.shutdown(std::net::Shutdown::Write);
        self.stage = if said.is_ok() { Stage::Closing } else { Stage::Over };
    }

    fn read_away(&mut self) {
        match self.stream.read(&mut [0; 4096]) {
            Ok(0) => self.stage = Stage::Over,
            Ok(_) => {}
            Err(error) if is_later(&error) => {}
            Err(_) => self.stage = Stage::Over,
        }
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
