//! Netlink attributes: length, type, value, filled up to four bytes; numbers of nf_tables are big-endian.

/// Marks an attribute that holds attributes.
const NESTED: u16 = 1 << 15;
/// The bits of a type that are flags.
const FLAGS: u16 = 0xc000;
const HEADER_LEN: usize = 4;

/// Attributes being written one behind the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        // Nothing of ours comes near 64 KiB: the longest are the 256 elements of a map, 44 bytes each.
        let len = (HEADER_LEN + value.len()) as u16;
        self.0.extend(len.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn long(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// With the zero at its end that the kernel wants.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(crate) fn nested(self, kind: u16, inner: Attributes) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The attributes in `bytes`, without their flags; what is cut off at the end is left out.
pub(crate) fn read(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let [a, b, c, d, rest @ ..] = bytes {
        let len = usize::from(u16::from_ne_bytes([*a, *b]));
        let Some(value) = len.checked_sub(HEADER_LEN).and_then(|len| rest.get(..len)) else {
            break;
        };
        found.push((u16::from_ne_bytes([*c, *d]) & !FLAGS, value));
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The first attribute of a type.
pub(crate) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    read(bytes).into_iter().find(|(of, _)| *of == kind).map(|(_, value)| value)
}

pub(crate) fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    find(bytes, kind)?.try_into().ok().map(u32::from_be_bytes)
}

pub(crate) fn text(bytes: &[u8], kind: u16) -> Option<String> {
    let value = find(bytes, kind)?;
    Some(String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_written_is_read() {
        let inner = Attributes::new().number(3, 0x1234_5678);
        let bytes = Attributes::new().text(1, "abcd").nested(2, inner).bytes(4, &[9]).into_bytes();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(text(&bytes, 1).as_deref(), Some("abcd"));
        assert_eq!(number(find(&bytes, 2).unwrap(), 3), Some(0x1234_5678));
        assert_eq!(find(&bytes, 4), Some(&[9][..]));
        assert_eq!(find(&bytes, 5), None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_bytes_are_those_of_the_kernel() {
        let bytes = Attributes::new().nested(1, Attributes::new().number(2, 7)).bytes(3, &[1, 2]).into_bytes();
        assert_eq!(bytes, [12, 0, 1, 0x80, 8, 0, 2, 0, 0, 0, 0, 7, 6, 0, 3, 0, 1, 2, 0, 0]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&bytes);
        }
    }
}
