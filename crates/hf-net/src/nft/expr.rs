//! The expressions of a rule. Numbers and names: linux/netfilter/nf_tables.h.

use super::attr::Attributes;

const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
/// Where a verdict is put.
const VERDICT_REGISTER: u32 = 0;
const LOOKUP_INVERTED: u32 = 1;
const CSUM_INET: u32 = 1;
const REJECT_TCP_RESET: u32 = 1;
const EXTHDR_IPV6: u32 = 0;

/// One of the sixteen registers of four bytes; longer values take those behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register(u8);

impl Register {
    /// Where keys of hashes are put together, twenty bytes at most.
    pub(crate) const KEY: Register = Register(0);
    /// Where everything else is compared.
    pub(crate) const WORK: Register = Register(8);
    /// Beside [`Register::WORK`].
    pub(crate) const DEVICE: Register = Register(12);

    /// The one `words` behind.
    pub(crate) fn behind(self, words: u8) -> Self {
        Self(self.0 + words)
    }

    /// NFT_REG32_00 is number 8.
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// The header from whose first byte is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// Bytes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub base: Base,
    pub offset: u32,
    pub len: u32,
}

impl Field {
    pub(crate) const fn new(base: Base, offset: u32, len: u32) -> Self {
        Self { base, offset, len }
    }
}

/// What the kernel knows of a packet beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meta {
    /// The type of Ethernet, two bytes, big-endian.
    Protocol = 1,
    /// Index of the interface of arrival, four bytes of this machine's order.
    InInterface = 4,
    OutInterface = 5,
    /// NFPROTO_IPV4 or NFPROTO_IPV6, one byte.
    NfProto = 15,
    /// The protocol above IP, one byte, extension headers skipped.
    L4Proto = 16,
    /// PACKET_HOST, PACKET_OTHERHOST, ..., one byte.
    PacketType = 19,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal = 0,
    NotEqual = 1,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Drop,
    Accept,
    /// Goes to the chain and doesn't come back.
    Goto(String),
}

/// One step of a rule. A comparison or look-up that fails ends the rule, and the next one's turn comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expr {
    LoadMeta {
        key: Meta,
        to: Register,
    },
    SetMeta {
        key: Meta,
        from: Register,
    },
    Load {
        field: Field,
        to: Register,
    },
    /// Overwrites bytes of the packet; `checksum`: an internet checksum at this offset from the same base is corrected.
    Write {
        field: Field,
        from: Register,
        checksum: Option<u32>,
    },
    /// Two bytes of an IPv6 fragment header, at `offset`. Fails when the packet has none.
    LoadFragment {
        offset: u32,
        to: Register,
    },
    And {
        register: Register,
        mask: Vec<u8>,
    },
    Compare {
        register: Register,
        how: Comparison,
        with: Vec<u8>,
    },
    Immediate {
        to: Register,
        value: Vec<u8>,
    },
    /// Fails unless the set has it; `inverted`: unless it hasn't.
    Lookup {
        set: String,
        key: Register,
        inverted: bool,
    },
    /// Fails unless the map has it.
    Map {
        map: String,
        key: Register,
        to: Register,
    },
    /// Bob Jenkins' hash of `len` bytes, brought to 0..`modulus`.
    Hash {
        from: Register,
        len: u32,
        to: Register,
        modulus: u32,
        seed: u32,
    },
    /// ESTABLISHED, ... as bits, four bytes of this machine's order.
    LoadConnectionState {
        to: Register,
    },
    /// Sends the packet to a neighbour, whose MAC the kernel knows or asks for; takes one off its time to live.
    Forward {
        device: Register,
        neighbour: Register,
        nfproto: u8,
    },
    RejectWithReset,
    Verdict(Verdict),
}

impl Expr {
    /// NFTA_LIST_ELEM of a rule's expressions.
    pub(super) fn encode(&self) -> Attributes {
        let (name, data) = self.data();
        Attributes::new().text(EXPR_NAME, name).nested(EXPR_DATA, data)
    }

    fn data(&self) -> (&'static str, Attributes) {
        let new = Attributes::new;
        match self {
            Expr::LoadMeta { key, to } => ("meta", new().number(1, to.number()).number(2, *key as u32)),
            Expr::SetMeta { key, from } => ("meta", new().number(2, *key as u32).number(3, from.number())),
            Expr::Load { field, to } => ("payload", place(new().number(1, to.number()), *field)),
            Expr::Write { field, from, checksum } => {
                let kind = if checksum.is_some() { CSUM_INET } else { 0 };
                let written = place(new(), *field).number(5, from.number()).number(6, kind);
                ("payload", written.number(7, checksum.unwrap_or(0)))
            }
            Expr::LoadFragment { offset, to } => {
                let part = new().number(1, to.number()).bytes(2, &[super::FRAGMENT_HEADER]);
                ("exthdr", part.number(3, *offset).number(4, 2).number(6, EXTHDR_IPV6))
            }
            Expr::And { register, mask } => {
                let part = new().number(1, register.number()).number(2, register.number());
                let part = part.number(3, mask.len() as u32).nested(4, value(mask));
                ("bitwise", part.nested(5, value(&vec![0; mask.len()])))
            }
            Expr::Compare { register, how, with } => {
                ("cmp", new().number(1, register.number()).number(2, *how as u32).nested(3, value(with)))
            }
            Expr::Immediate { to, value: bytes } => ("immediate", new().number(1, to.number()).nested(2, value(bytes))),
            Expr::Lookup { set, key, inverted } => {
                let part = new().text(1, set).number(2, key.number());
                ("lookup", if *inverted { part.number(5, LOOKUP_INVERTED) } else { part })
            }
            Expr::Map { map, key, to } => ("lookup", new().text(1, map).number(2, key.number()).number(3, to.number())),
            Expr::Hash { from, len, to, modulus, seed } => {
                let part = new().number(1, from.number()).number(2, to.number()).number(3, *len);
                ("hash", part.number(4, *modulus).number(5, *seed).number(7, 0))
            }
            Expr::LoadConnectionState { to } => ("ct", new().number(1, to.number()).number(2, 0)),
            Expr::Forward { device, neighbour, nfproto } => {
                let part = new().number(1, device.number()).number(2, neighbour.number());
                ("fwd", part.number(3, u32::from(*nfproto)))
            }
            Expr::RejectWithReset => ("reject", new().number(1, REJECT_TCP_RESET).bytes(2, &[0])),
            Expr::Verdict(verdict) => ("immediate", new().number(1, VERDICT_REGISTER).nested(2, verdict_data(verdict))),
        }
    }
}

fn place(part: Attributes, field: Field) -> Attributes {
    part.number(2, field.base as u32).number(3, field.offset).number(4, field.len)
}

/// NFTA_DATA_VALUE.
pub(super) fn value(bytes: &[u8]) -> Attributes {
    Attributes::new().bytes(DATA_VALUE, bytes)
}

fn verdict_data(verdict: &Verdict) -> Attributes {
    let code = |code: i32| Attributes::new().number(VERDICT_CODE, code.cast_unsigned());
    let inner = match verdict {
        Verdict::Drop => code(libc::NF_DROP),
        Verdict::Accept => code(libc::NF_ACCEPT),
        Verdict::Goto(chain) => code(libc::NFT_GOTO).text(VERDICT_CHAIN, chain),
    };
    Attributes::new().nested(DATA_VERDICT, inner)
}
