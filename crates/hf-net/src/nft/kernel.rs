//! The conversation with the kernel: batches that are carried out as one, and listings.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use thiserror::Error;

use super::attr::{find, number, read, text};
use super::table::{Elements, Family, Message};
use crate::netlink::Netlink;

const HEADER_LEN: usize = 16;
/// Behind the netlink header: family, version, resource.
const NFGEN_LEN: usize = 4;
const SUBSYSTEM: u16 = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8;

/// The kernel refused a batch, and changed nothing.
#[derive(Debug, Error)]
#[error("the kernel refused to {what}; nothing was changed")]
pub struct NftError {
    /// The first message of the batch that it didn't take.
    pub what: String,
    #[source]
    pub source: io::Error,
}

/// A socket to nf_tables. Tables that are made with it as their owner can be changed through it only.
pub(crate) struct Nft(Netlink);

/// A table as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub family: u8,
    pub name: String,
    pub note: Vec<u8>,
    /// The netlink socket that owns it.
    pub owner: Option<u32>,
}

impl Nft {
    pub(crate) fn open() -> io::Result<Self> {
        Netlink::open(NETLINK_NETFILTER).map(Self)
    }

    /// Carries out all messages or none; packets see either everything old or everything new.
    pub(crate) fn commit(&mut self, messages: &[Message]) -> Result<(), NftError> {
        let Some(last) = messages.last() else {
            return Ok(());
        };
        let first = self.0.sequences(messages.len() as u32 + 2);
        let bytes = batch(messages, first);
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source| NftError { what, source }
        };
        let answers = self.0.transact(&bytes).map_err(failed("take a batch"))?;
        for (sequence, code) in &answers {
            if *code != 0 {
                let at = sequence.wrapping_sub(first).wrapping_sub(1) as usize;
                let what = messages.get(at).map_or("take a batch", |message| &message.what);
                return Err(failed(what)(io::Error::from_raw_os_error(-code)));
            }
        }
        let acknowledged = answers.iter().any(|(sequence, _)| *sequence == first.wrapping_add(messages.len() as u32));
        if acknowledged { Ok(()) } else { Err(failed(&last.what)(io::ErrorKind::TimedOut.into())) }
    }

    /// Counts every change of any table.
    pub(crate) fn generation(&mut self) -> io::Result<u32> {
        let answer = self.0.ask(question(libc::NFT_MSG_GETGEN, 0, NLM_F_ACK, &[]))?;
        let found = answer.first().and_then(|frame| number(body(frame), 1));
        found.ok_or_else(|| io::Error::other("no generation in the kernel's answer"))
    }

    pub(crate) fn tables(&mut self) -> io::Result<Vec<Listed>> {
        let answer = self.0.ask(question(libc::NFT_MSG_GETTABLE, 0, NLM_F_DUMP, &[]))?;
        let table = |frame: &Vec<u8>| {
            Some(Listed {
                family: *frame.get(HEADER_LEN)?,
                name: text(body(frame), 1)?,
                note: find(body(frame), 6).unwrap_or_default().to_vec(),
                owner: number(body(frame), 7),
            })
        };
        Ok(answer.iter().filter_map(table).collect())
    }

    /// Chains and rules of a table as the kernel writes them, to be compared with what it wrote another time.
    pub(crate) fn picture(&mut self, family: Family, table: &str) -> io::Result<Vec<Vec<u8>>> {
        let name = super::attr::Attributes::new().text(1, table).into_bytes();
        let mut picture = Vec::new();
        for kind in [libc::NFT_MSG_GETCHAIN, libc::NFT_MSG_GETRULE] {
            let answer = self.0.ask(question(kind, family as u8, NLM_F_DUMP, &name))?;
            // Old kernels list the chains of all tables.
            let ours = answer.iter().map(|frame| body(frame)).filter(|body| text(body, 1).as_deref() == Some(table));
            picture.extend(ours.map(<[u8]>::to_vec));
        }
        Ok(picture)
    }

    /// What a set has in it; `NotFound` without such a set.
    pub(crate) fn elements(&mut self, family: Family, table: &str, set: &str) -> io::Result<Elements> {
        let names = super::attr::Attributes::new().text(1, table).text(2, set).into_bytes();
        let answer = self.0.ask(question(libc::NFT_MSG_GETSETELEM, family as u8, NLM_F_DUMP, &names))?;
        let lists = answer.iter().filter_map(|frame| find(body(frame), 3));
        let value = |element: &[u8], kind| find(find(element, kind)?, 1).map(<[u8]>::to_vec);
        Ok(lists.flat_map(read).filter_map(|(_, element)| Some((value(element, 1)?, value(element, 2)))).collect())
    }
}

fn body(frame: &[u8]) -> &[u8] {
    frame.get(HEADER_LEN + NFGEN_LEN..).unwrap_or_default()
}

/// A frame with its header; the sequence number is put in by who sends it.
fn frame(kind: u16, flags: u16, sequence: u32, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let len = (HEADER_LEN + NFGEN_LEN + attributes.len()) as u32;
    let [high, low] = resource.to_be_bytes();
    [
        &len.to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &sequence.to_ne_bytes(),
        &[0; 4],
        &[family, libc::NFNETLINK_V0 as u8, high, low],
        attributes,
    ]
    .concat()
}

fn question(kind: i32, family: u8, flags: u16, attributes: &[u8]) -> Vec<u8> {
    frame(SUBSYSTEM | kind as u16, NLM_F_REQUEST | flags, 0, family, 0, attributes)
}

/// All messages between their brackets, numbered from `first`; only the last is to be acknowledged, as failures always are.
pub(super) fn batch(messages: &[Message], first: u32) -> Vec<u8> {
    let bracket =
        |kind: i32, sequence| frame(kind as u16, NLM_F_REQUEST, sequence, 0, libc::NFNL_SUBSYS_NFTABLES as u16, &[]);
    let mut bytes = bracket(libc::NFNL_MSG_BATCH_BEGIN, first);
    let mut sequence = first;
    for (at, message) in messages.iter().enumerate() {
        sequence = sequence.wrapping_add(1);
        let ack = if at + 1 == messages.len() { NLM_F_ACK } else { 0 };
        let flags = NLM_F_REQUEST | message.flags | ack;
        let attributes = message.attributes.clone().into_bytes();
        bytes.extend(frame(SUBSYSTEM | message.kind, flags, sequence, message.family as u8, 0, &attributes));
    }
    bytes.extend(bracket(libc::NFNL_MSG_BATCH_END, sequence.wrapping_add(1)));
    bytes
}
