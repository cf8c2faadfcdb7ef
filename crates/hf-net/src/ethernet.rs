//! Ethernet addresses, and a packet socket on one interface.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, SockFilter, Socket, Type};

/// Destination, source, type.
pub(crate) const HEADER_LEN: usize = 14;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    pub(crate) const BROADCAST: MacAddr = MacAddr([0xff; 6]);
    pub(crate) const ZERO: MacAddr = MacAddr([0; 6]);
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The six bytes at `at`.
pub(crate) fn mac_at(frame: &[u8], at: usize) -> Option<MacAddr> {
    frame.get(at..at + 6)?.try_into().ok().map(MacAddr)
}

/// Who sends the frame, as switches see it.
pub(crate) fn set_sender(frame: &mut [u8], sender: MacAddr) {
    frame[6..12].copy_from_slice(&sender.0);
}

/// Joins the parts of a frame.
pub(crate) fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Frames of one Ethernet type on one interface; never blocks.
pub(crate) struct EthernetSocket {
    socket: Socket,
    index: u32,
    ethertype: u16,
}

impl EthernetSocket {
    /// `listening`: receives what passes this filter; otherwise nothing is copied to the socket.
    pub(crate) fn open(index: u32, ethertype: u16, listening: Option<&[SockFilter]>) -> io::Result<Self> {
        // Protocol 0 receives nothing until bound, so frames of other interfaces or past the filter never get in.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        if let Some(filter) = listening {
            socket.attach_filter(filter)?;
            socket.bind(&link_address(index, ethertype))?;
        }
        Ok(Self { socket, index, ethertype })
    }

    /// Lets the interface receive frames to a multicast address, as long as this socket is open.
    pub(crate) fn join(&self, group: MacAddr) -> io::Result<()> {
        self.add_membership(libc::PACKET_MR_MULTICAST, Some(group))
    }

    /// Lets the interface receive every frame, as long as this socket is open.
    pub(crate) fn be_promiscuous(&self) -> io::Result<()> {
        self.add_membership(libc::PACKET_MR_PROMISC, None)
    }

    fn add_membership(&self, kind: libc::c_int, group: Option<MacAddr>) -> io::Result<()> {
        // SAFETY: plain data, valid when zeroed.
        let mut request: libc::packet_mreq = unsafe { std::mem::zeroed() };
        request.mr_ifindex = self.index.cast_signed();
        request.mr_type = kind as u16;
        if let Some(group) = group {
            request.mr_alen = 6;
            request.mr_address[..6].copy_from_slice(&group.0);
        }
        // SAFETY: the pointer and the length are those of a packet_mreq that lives during the call.
        let result = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const request).cast(),
                size_of::<libc::packet_mreq>() as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send_to(frame, &link_address(self.index, self.ethertype)).map(drop)
    }

    /// The next frame that waits, cut to 128 bytes; `None`: there is none.
    pub(crate) fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = [MaybeUninit::<u8>::uninit(); 128];
        loop {
            return match self.socket.recv(&mut bytes) {
                // SAFETY: the kernel has written the first `len` bytes.
                Ok(len) => Ok(Some(bytes[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }
}

impl AsFd for EthernetSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The address of "this Ethernet type on interface `index`".
fn link_address(index: u32, ethertype: u16) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the forms that a sockaddr_storage is made for, plain data, valid when zeroed.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = index.cast_signed();
    address.sll_halen = 6;
    address.sll_addr[..6].copy_from_slice(&MacAddr::BROADCAST.0);
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds a sockaddr_ll of exactly this length.
    unsafe { SockAddr::new(storage, len) }
}

/// A classic BPF program that lets a frame through if one of the alternatives holds: all its words at these offsets have
/// these values.
pub(crate) fn filter(alternatives: &[&[Word]]) -> Vec<SockFilter> {
    const DROP: SockFilter = SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);
    let mut program = Vec::new();
    for words in alternatives {
        // Two instructions a word, then "accept"; a word that differs jumps behind that.
        for (at, word) in words.iter().enumerate() {
            let behind = 2 * (words.len() - at - 1) + 1;
            program.push(SockFilter::new((libc::BPF_LD | libc::BPF_ABS | word.size) as u16, 0, 0, word.offset));
            let jump = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
            program.push(SockFilter::new(jump, 0, behind as u8, word.value));
        }
        program.push(SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX));
    }
    program.push(DROP);
    program
}

/// What stands at an offset of a frame, its Ethernet header included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word {
    size: u32,
    offset: u32,
    value: u32,
}

impl Word {
    pub(crate) fn long(offset: u32, bytes: [u8; 4]) -> Self {
        Self { size: libc::BPF_W, offset, value: u32::from_be_bytes(bytes) }
    }

    pub(crate) fn byte(offset: u32, value: u8) -> Self {
        Self { size: libc::BPF_B, offset, value: value.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    /// The kernel runs the program on whatever socket it is attached to; what it lets through says where the jumps lead.
    fn passes(program: &[SockFilter], frame: &[u8]) -> bool {
        let (here, there) = UnixDatagram::pair().unwrap();
        socket2::SockRef::from(&there).attach_filter(program).unwrap();
        there.set_nonblocking(true).unwrap();
        // A datagram that is filtered out is an error for its sender, or nothing.
        let _filtered = here.send(frame);
        there.recv(&mut [0; 64]).is_ok()
    }

    #[test]
    fn each_alternative_needs_all_its_words_and_none_needs_another() {
        let first = [Word::byte(0, 1), Word::long(4, [5, 6, 7, 8]), Word::byte(9, 9)];
        let second = [Word::byte(0, 2), Word::byte(9, 9)];
        let third = [Word::byte(0, 1), Word::byte(9, 7)];
        let program = filter(&[&first, &second, &third]);
        let frame = |kind: u8, word: u8, last: u8| [kind, 0, 0, 0, word, 6, 7, 8, 0, last, 0, 0];
        for (what, frame, let_through) in [
            ("the first", frame(1, 5, 9), true),
            ("the second", frame(2, 0, 9), true),
            ("the third, which begins as the first", frame(1, 5, 7), true),
            ("the third, where the first's middle word differs", frame(1, 0, 7), true),
            ("the first but for its middle", frame(1, 0, 9), false),
            ("the first but for its end", frame(1, 5, 0), false),
            ("the second but for its end", frame(2, 5, 7), false),
            ("none from the beginning", frame(3, 5, 9), false),
        ] {
            assert_eq!(passes(&program, &frame), let_through, "{what}");
        }
        assert!(!passes(&filter(&[]), &[1]), "no alternative lets nothing through");
    }
}
