use super::{FrameError, PAYLOAD_MAX, VERSION};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const MAGIC: u32 = u32::from_le_bytes(*b"HFR1");

/// Length of a header, in bytes.
pub const HEADER_LEN: usize = 48;

/// See the module. Only [`Header::decode`] makes one from foreign bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    magic: U32,
    version: u8,
    kind: u8,
    dir: U16,
    len: U32,
    crc: U32,
    seq: U64,
    fence: U64,
    id: U64,
    arg: U64,
}

/// Where a frame stands in the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Index of the replicated directory in the module's configuration.
    pub dir: u16,
    /// Place in the stream; 0 for frames of the connection.
    pub seq: u64,
    /// The last name operation before it: it must be applied first.
    pub fence: u64,
}

impl Header {
    pub(super) fn new(kind: u8, id: u64, arg: u64, len: usize) -> Header {
        Header {
            magic: MAGIC.into(),
            version: VERSION,
            kind,
            dir: 0.into(),
            len: u32::try_from(len).unwrap_or(u32::MAX).into(),
            crc: 0.into(),
            seq: 0.into(),
            fence: 0.into(),
            id: id.into(),
            arg: arg.into(),
        }
    }

    /// Takes a header from the first [`HEADER_LEN`] bytes; `None` while there are fewer.
    pub fn decode(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
        let Ok((header, _)) = Header::read_from_prefix(bytes) else {
            return Ok(None);
        };
        if header.magic.get() != MAGIC {
            return Err(FrameError::Magic(header.magic.get()));
        }
        if header.version != VERSION {
            return Err(FrameError::Version(header.version));
        }
        if header.payload_len() > PAYLOAD_MAX {
            return Err(FrameError::TooLong(header.len.get().into()));
        }
        Ok(Some(header))
    }

    /// Length of the payload that follows, in bytes.
    pub fn payload_len(&self) -> usize {
        self.len.get() as usize
    }

    /// Length of header and payload, in bytes.
    pub fn frame_len(&self) -> usize {
        HEADER_LEN + self.payload_len()
    }

    /// Where it stands in the stream.
    pub fn place(&self) -> Place {
        Place { dir: self.dir.get(), seq: self.seq.get(), fence: self.fence.get() }
    }

    /// Gives it its place and, with the checksum of its payload, its own.
    pub fn seal(&mut self, place: Place, payload_crc: u32) {
        self.dir = place.dir.into();
        self.seq = place.seq.into();
        self.fence = place.fence.into();
        self.crc = 0.into();
        self.crc = crc32c::crc32c_append(payload_crc, self.as_bytes()).into();
    }

    /// Was nothing of header or payload damaged?
    pub fn verify(&self, payload: &[u8]) -> Result<(), FrameError> {
        let mut copy = *self;
        copy.seal(self.place(), crc32c::crc32c(payload));
        if copy.crc == self.crc { Ok(()) } else { Err(FrameError::Checksum) }
    }

    /// The number of its kind, for messages.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// The file that it is about, 0 for none.
    pub fn id(&self) -> u64 {
        self.id.get()
    }

    pub(super) fn arg(&self) -> u64 {
        self.arg.get()
    }
}
