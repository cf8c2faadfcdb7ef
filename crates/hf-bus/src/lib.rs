//! The bus between our own processes on one node, as bytes: frames of a four-byte big-endian length and JSON, a
//! [`hf_wire::bus::Hello`] first in both directions.
//!
//! [`connect`] and [`accept`] return a [`Connection`] whose hello is already checked. Its [`Reader::receive`] may be
//! dropped at any await (in `select!`) without losing a byte; its [`Writer::send`] may not, which is why a loop that must
//! never wait gives the writer to a task of its own ([`Outbox`]).

mod connection;
mod error;
mod frame;
mod outbox;

pub use connection::{Connection, accept, connect, handshake};
pub use error::BusError;
pub use frame::{Reader, Writer};
pub use outbox::{Outbox, OutboxFull};
