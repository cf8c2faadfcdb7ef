/// Bytes before the first slot.
pub(super) const HEADER: u64 = 4096;
/// Bytes of a slot.
pub(super) const SLOT: usize = 256;
const SLOT_HEADER: usize = 28;
/// Bytes of a line in one slot.
pub(super) const PAYLOAD: usize = SLOT - SLOT_HEADER;
/// Fewest slots of a ring: the longest line must fit.
pub(super) const MIN_SLOTS: u64 = 64;

const MAGIC: [u8; 8] = *b"HFRING01";
const HEADER_USED: usize = 8 + 8 + 8 + 8 + 36 + 4;

/// The header of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Drawn at random when the file was made: another file at the same path has another one.
    pub ring: u64,
    pub slots: u64,
    /// Every sequence below this one was written whole.
    pub published: u64,
    /// Boot id under which the last writer opened the ring.
    pub boot: [u8; 36],
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_USED] {
        let mut bytes = [0; HEADER_USED];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.ring.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.slots.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.published.to_le_bytes());
        bytes[32..68].copy_from_slice(&self.boot);
        let sum = crc32c::crc32c(&bytes[..68]);
        bytes[68..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// None for anything that is no header of ours, or torn.
    pub fn decode(bytes: &[u8; HEADER_USED]) -> Option<Header> {
        let sum = u32::from_le_bytes(bytes[68..].try_into().ok()?);
        if bytes[..8] != MAGIC || sum != crc32c::crc32c(&bytes[..68]) {
            return None;
        }
        Some(Header {
            ring: le64(&bytes[8..])?,
            slots: le64(&bytes[16..])?,
            published: le64(&bytes[24..])?,
            boot: bytes[32..68].try_into().ok()?,
        })
    }

    pub const fn empty_buffer() -> [u8; HEADER_USED] {
        [0; HEADER_USED]
    }

    pub fn place(&self, seq: u64) -> u64 {
        HEADER + (seq % self.slots) * SLOT as u64
    }
}

/// One slot, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub seq: u64,
    /// Number of the line that this is a part of.
    pub line: u64,
    pub part: u16,
    pub parts: u16,
    pub payload: Vec<u8>,
}

impl Slot {
    pub fn encode(&self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        let length = self.payload.len().min(PAYLOAD);
        bytes[4..12].copy_from_slice(&self.seq.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.line.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.part.to_le_bytes());
        bytes[22..24].copy_from_slice(&self.parts.to_le_bytes());
        bytes[24..28].copy_from_slice(&(length as u32).to_le_bytes());
        bytes[SLOT_HEADER..SLOT_HEADER + length].copy_from_slice(&self.payload[..length]);
        let sum = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// None if the slot is empty or torn.
    pub fn decode(bytes: &[u8]) -> Option<Slot> {
        let bytes: &[u8; SLOT] = bytes.first_chunk()?;
        let sum = u32::from_le_bytes(bytes[..4].try_into().ok()?);
        let length = u32::from_le_bytes(bytes[24..28].try_into().ok()?) as usize;
        let slot = Slot {
            seq: le64(&bytes[4..])?,
            line: le64(&bytes[12..])?,
            part: u16::from_le_bytes(bytes[20..22].try_into().ok()?),
            parts: u16::from_le_bytes(bytes[22..24].try_into().ok()?),
            payload: bytes.get(SLOT_HEADER..SLOT_HEADER + length)?.to_vec(),
        };
        (slot.seq != 0 && sum == crc32c::crc32c(&bytes[4..])).then_some(slot)
    }
}

fn le64(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|b| u64::from_le_bytes(*b))
}
