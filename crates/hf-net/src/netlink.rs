//! One question to the kernel, and all frames of its answer.

use std::io;
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer};
use netlink_sys::{Socket, SocketAddr};
use socket2::SockRef;

const HEADER_LEN: usize = 16;
/// An answer to a batch repeats at most the frame that it is about, cut off by the kernel at its header when asked to.
const BATCH_ANSWER_LEN: usize = 1 << 16;
/// The kernel answers at once; this only keeps a bug from hanging the heart.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// A dump during which something changed is begun again so often.
const DUMP_TRIES: usize = 5;

/// A netlink socket on which one question is open at a time.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        SockRef::from(&socket).set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends `frame` (with a complete header but for the sequence number) and collects the answer's frames, headers
    /// included, until the acknowledgement or the end of the dump.
    pub(crate) fn ask(&mut self, mut frame: Vec<u8>) -> io::Result<Vec<Vec<u8>>> {
        for _ in 0..DUMP_TRIES {
            self.sequence = self.sequence.wrapping_add(1);
            NetlinkBuffer::new(&mut frame).set_sequence_number(self.sequence);
            self.socket.send_to(&frame, &SocketAddr::new(0, 0), 0)?;
            if let Some(answer) = self.collect()? {
                return Ok(answer);
            }
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "the tables changed during every reading"))
    }

    /// Reserves `count` sequence numbers, the first of which it returns.
    pub(crate) fn sequences(&mut self, count: u32) -> u32 {
        let first = self.sequence.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(count);
        first
    }

    /// Sends a batch whose frames have the last numbers given by [`Netlink::sequences`]. The kernel carries it out before
    /// the call returns, so all its answers are there then: the number of each frame that it acknowledged or refused, with
    /// the error number (negative) or zero.
    pub(crate) fn transact(&mut self, batch: &[u8]) -> io::Result<Vec<(u32, i32)>> {
        let first = NetlinkBuffer::new_checked(batch).map_err(io::Error::other)?.sequence_number();
        let room = self.sequence.wrapping_sub(first);
        self.socket.send_to(batch, &SocketAddr::new(0, 0), 0)?;
        let mut answers = Vec::new();
        loop {
            let mut bytes = Vec::with_capacity(BATCH_ANSWER_LEN);
            match self.socket.recv(&mut bytes, libc::MSG_DONTWAIT) {
                Ok(_) => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(answers),
                Err(error) => return Err(error),
            }
            for frame in split(&bytes)? {
                let head = NetlinkBuffer::new(frame);
                let ours = head.sequence_number().wrapping_sub(first) <= room;
                if ours && head.message_type() == NLMSG_ERROR {
                    answers.push((head.sequence_number(), code(frame)));
                }
            }
        }
    }

    /// `None` if the dump was disturbed by a change.
    fn collect(&mut self) -> io::Result<Option<Vec<Vec<u8>>>> {
        let mut frames = Vec::new();
        let mut disturbed = false;
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            for frame in split(&bytes)? {
                let head = NetlinkBuffer::new(frame);
                // Late answers to a question that was given up.
                if head.sequence_number() != self.sequence {
                    continue;
                }
                disturbed |= head.flags() & NLM_F_DUMP_INTR != 0;
                match head.message_type() {
                    NLMSG_ERROR | NLMSG_DONE => {
                        check(frame)?;
                        return Ok((!disturbed).then_some(frames));
                    }
                    _ => frames.push(frame.to_vec()),
                }
            }
        }
    }
}

/// The frames in one datagram of the kernel.
pub(crate) fn split(mut bytes: &[u8]) -> io::Result<Vec<&[u8]>> {
    let mut frames = Vec::new();
    while bytes.len() >= HEADER_LEN {
        let head = NetlinkBuffer::new_checked(bytes).map_err(io::Error::other)?;
        let len = head.length() as usize;
        frames.push(&bytes[..len]);
        let next = len.next_multiple_of(4).min(bytes.len());
        bytes = &bytes[next..];
    }
    Ok(frames)
}

/// The error number of an acknowledgement or of a dump's end; zero is success.
fn check(frame: &[u8]) -> io::Result<()> {
    let code = code(frame);
    if code < 0 { Err(io::Error::from_raw_os_error(-code)) } else { Ok(()) }
}

fn code(frame: &[u8]) -> i32 {
    frame.get(HEADER_LEN..HEADER_LEN + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_ne_bytes)
}
