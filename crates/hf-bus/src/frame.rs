use crate::BusError;
use bytes::{Buf, BufMut, BytesMut};
use hf_wire::bus::FRAME_MAX;
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const LENGTH: usize = 4;

/// The reading half: whole messages out of a byte stream.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    buffer: BytesMut,
    max: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads frames of at most [`FRAME_MAX`] bytes.
    pub fn new(from: R) -> Reader<R> {
        Reader::with_limit(from, FRAME_MAX)
    }

    /// Reads frames of at most `max` bytes.
    pub fn with_limit(from: R, max: usize) -> Reader<R> {
        Reader { from, buffer: BytesMut::new(), max }
    }

    pub(crate) fn set_limit(&mut self, max: usize) {
        self.max = max;
    }

    /// The next message; none when the other end closed between two frames. Cancel safe: what came stays in the buffer.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, BusError> {
        match self.receive_bytes().await? {
            None => Ok(None),
            Some(frame) => serde_json::from_slice(&frame).map(Some).map_err(BusError::Json),
        }
    }

    async fn receive_bytes(&mut self) -> Result<Option<BytesMut>, BusError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            let read = self.from.read_buf(&mut self.buffer);
            if read.await.map_err(BusError::Read)? == 0 {
                return match self.buffer.len() {
                    0 => Ok(None),
                    got => Err(BusError::HalfFrame { got }),
                };
            }
        }
    }

    /// Takes a whole frame out of the buffer. The length is judged before anything is reserved for it.
    fn take_frame(&mut self) -> Result<Option<BytesMut>, BusError> {
        let Some(head) = self.buffer.first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > self.max {
            return Err(BusError::TooLong { length, max: self.max });
        }
        if self.buffer.len() < LENGTH + length {
            self.buffer.reserve(LENGTH + length - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(LENGTH);
        Ok(Some(self.buffer.split_to(length)))
    }
}

/// The writing half.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes frames of at most [`FRAME_MAX`] bytes.
    pub fn new(to: W) -> Writer<W> {
        Writer { to }
    }

    pub(crate) fn into_inner(self) -> W {
        self.to
    }

    /// Writes one message and flushes. Not cancel safe: a dropped call may leave half a frame behind.
    pub async fn send<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), BusError> {
        let frame = encode(message)?;
        self.to.write_all(&frame).await.map_err(BusError::Write)?;
        self.to.flush().await.map_err(BusError::Write)
    }
}

/// A message as one frame.
pub(crate) fn encode<T: Serialize + ?Sized>(message: &T) -> Result<BytesMut, BusError> {
    let json = serde_json::to_vec(message).map_err(BusError::Encode)?;
    let length = json.len();
    if length > FRAME_MAX {
        return Err(BusError::MessageTooLong { length, max: FRAME_MAX });
    }
    let mut frame = BytesMut::with_capacity(LENGTH + length);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX)); // FRAME_MAX fits in 32 bits
    frame.extend_from_slice(&json);
    Ok(frame)
}
