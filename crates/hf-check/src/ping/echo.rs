//! Echo requests and their answers (RFC 792, RFC 4443).

use super::socket::Kind;
use std::io;
use std::net::IpAddr;

/// Octets before the text of an echo message: type, code, checksum, identifier, sequence.
const HEADER: usize = 8;
const COOKIE: usize = 16;
const REQUEST_V4: u8 = 8;
const REQUEST_V6: u8 = 128;
const ANSWER_V4: u8 = 0;
const ANSWER_V6: u8 = 129;

/// What is asked in one look. Its answers are known by 16 random octets, which whoever answers repeats: identifier and sequence alone
/// meet those of other programs that ping from here.
pub(super) struct Question {
    v6: bool,
    cookie: [u8; COOKIE],
}

impl Question {
    /// # Errors
    /// When the kernel has no random numbers.
    pub(super) fn new(address: IpAddr) -> io::Result<Question> {
        let mut cookie = [0; COOKIE];
        let filled = rustix::rand::getrandom(&mut cookie, rustix::rand::GetRandomFlags::NONBLOCK)?;
        if filled < COOKIE {
            return Err(io::Error::other("the kernel has no random numbers"));
        }
        Ok(Question { v6: address.is_ipv6(), cookie })
    }

    /// The message for the socket. `sequence` counts from 0.
    pub(super) fn request(&self, sequence: u32, kind: Kind) -> Vec<u8> {
        let mut message = vec![if self.v6 { REQUEST_V6 } else { REQUEST_V4 }, 0, 0, 0];
        // A datagram socket puts its own identifier here.
        message.extend_from_slice(&self.cookie[..2]);
        message.extend_from_slice(&u16::try_from(sequence).unwrap_or(u16::MAX).to_be_bytes());
        message.extend_from_slice(&self.cookie);
        if kind == Kind::Raw && !self.v6 {
            // In all other cases it is the kernel's business.
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        message
    }

    /// Whether what was received answers one of the requests.
    pub(super) fn is_answered_by(&self, packet: &[u8], kind: Kind) -> bool {
        let answer = if self.v6 { ANSWER_V6 } else { ANSWER_V4 };
        let message = if kind == Kind::Raw && !self.v6 { after_ip_header(packet) } else { Some(packet) };
        message.is_some_and(|message| {
            message.len() >= HEADER + COOKIE
                && message[..2] == [answer, 0]
                && message[HEADER..HEADER + COOKIE] == self.cookie
        })
    }
}

/// A raw socket for IPv4 is given the whole packet.
fn after_ip_header(packet: &[u8]) -> Option<&[u8]> {
    let words = usize::from(packet.first()? & 0x0f);
    packet.get(words * 4..)
}

/// RFC 1071.
fn checksum(message: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in message.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(address: &str) -> Question {
        Question::new(address.parse().expect("an address")).expect("random numbers")
    }

    #[test]
    fn only_an_answer_to_this_very_question_counts() {
        for (address, answer) in [("10.0.0.1", ANSWER_V4), ("fd00::1", ANSWER_V6)] {
            let (asked, other) = (question(address), question(address));
            let mut packet = asked.request(1, Kind::Datagram);
            assert!(!asked.is_answered_by(&packet, Kind::Datagram), "one's own request is no answer");
            packet[0] = answer;
            // The identifier is the socket's, whatever was asked for.
            packet[4] = !packet[4];
            assert!(asked.is_answered_by(&packet, Kind::Datagram));
            assert!(!other.is_answered_by(&packet, Kind::Datagram), "somebody else's ping");
            for len in 0..packet.len() {
                assert!(!asked.is_answered_by(&packet[..len], Kind::Datagram), "{len} octets");
            }
        }
    }

    #[test]
    fn a_raw_packet_has_the_ip_header_before_it() {
        let asked = question("10.0.0.1");
        let mut message = asked.request(0, Kind::Raw);
        message[0] = ANSWER_V4;
        for words in [5u8, 6, 15] {
            let mut packet = vec![0x40 | words];
            packet.resize(usize::from(words) * 4, 0);
            packet.extend_from_slice(&message);
            assert!(asked.is_answered_by(&packet, Kind::Raw));
            assert!(!asked.is_answered_by(&packet[..packet.len() - 1], Kind::Raw));
        }
        assert!(!asked.is_answered_by(&[], Kind::Raw));
    }

    #[test]
    fn the_checksum_of_a_message_with_its_checksum_is_zero() {
        let message = question("10.0.0.1").request(7, Kind::Raw);
        assert_ne!(&message[2..4], [0, 0]);
        assert_eq!(checksum(&message), 0);
        // RFC 1071, the example of section 3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
