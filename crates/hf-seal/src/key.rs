//! The cluster key and everything derived from it.

use aws_lc_rs::hkdf::{self, KeyType};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Fills its argument with random bytes. The shell passes [`os_rng`], tests pass a seeded one.
pub type Rng = Box<dyn FnMut(&mut [u8]) + Send>;

/// Random bytes of the operating system.
pub fn os_rng() -> Rng {
    let random = SystemRandom::new();
    Box::new(move |out: &mut [u8]| {
        // A node that can't draw a challenge can't prove anything to anybody: it must not go on.
        random.fill(out).expect("the system's random generator failed");
    })
}

/// Why a text isn't a cluster key. Never contains the text.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    #[error("the cluster key is empty: run `cluster config` to make one")]
    Missing,
    #[error("the cluster key has {found} characters where 64 hexadecimal digits belong")]
    Length { found: usize },
    #[error("the cluster key contains something else than a hexadecimal digit at position {position}")]
    Digit { position: usize },
    #[error("the cluster key is all zero: run `cluster config` to make a real one")]
    Zero,
}

/// The 32 bytes that all nodes of a cluster share. Wiped on drop, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ClusterKey([u8; 32]);

impl ClusterKey {
    /// Reads the text of `cluster.key`: 64 hexadecimal digits, white space around them ignored.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Missing);
        }
        if text.len() != 64 {
            return Err(KeyError::Length { found: text.len() });
        }
        let mut bytes = Zeroizing::new([0u8; 32]);
        for (position, digit) in text.bytes().enumerate() {
            let value = hex_value(digit).ok_or(KeyError::Digit { position })?;
            bytes[position / 2] = bytes[position / 2] << 4 | value;
        }
        Self::from_bytes(&bytes)
    }

    /// Takes the key's bytes; an all-zero key is refused, for it is what forgotten memory looks like.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(KeyError::Zero);
        }
        Ok(Self(*bytes))
    }

    /// The key that everybody knows, for a cluster that is to have none: everything works as with a key, and nothing is protected.
    pub fn insecure_plaintext() -> Self {
        Self(*b"holdfast: insecure, known to all")
    }

    /// Draws a new key, for `cluster config`.
    pub fn generate(rng: &mut Rng) -> Self {
        let mut key = Self([0; 32]);
        rng(&mut key.0);
        key
    }

    /// The text to store in `cluster.key` (file mode 0600), wiped when dropped.
    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        Zeroizing::new(text)
    }

    /// The key of one module that has a key of its own (reference 004, 9.6): whoever has only the cluster's knows nothing of it, and
    /// whoever has only the module's neither, unless the cluster's is the one that everybody knows.
    pub fn of_module(&self, module_key: &ClusterKey) -> ClusterKey {
        let key = Secret(Zeroizing::new(module_key.0)).derive(&[b"holdfast module key 1", &self.0]);
        ClusterKey(*key.bytes())
    }

    /// The secret of one purpose. Different purposes know nothing of each other.
    pub(crate) fn purpose(&self, purpose: &str) -> Secret {
        Secret(Zeroizing::new(self.0)).derive(&[b"holdfast purpose 1", purpose.as_bytes()])
    }
}

impl std::fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterKey(hidden)")
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// A derived secret of 32 bytes, wiped on drop.
pub(crate) struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// HKDF-SHA256 expansion. Each part is written with its length in front, so that no two
    /// lists of parts give the same input.
    pub(crate) fn derive(&self, parts: &[&[u8]]) -> Secret {
        let mut out = Zeroizing::new([0u8; 32]);
        self.expand(parts, &mut *out);
        Secret(out)
    }

    /// As [`Secret::derive`], for a value that may be public: a name for this key.
    pub(crate) fn key_id(&self) -> [u8; 8] {
        let mut id = [0; 8];
        self.expand(&[b"key id"], &mut id);
        id
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn expand(&self, parts: &[&[u8]], out: &mut [u8]) {
        let mut info = Vec::new();
        for part in parts {
            info.extend_from_slice(&(part.len() as u64).to_be_bytes());
            info.extend_from_slice(part);
        }
        // The secret is uniformly random already, so HKDF's extract step is not needed.
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &*self.0);
        prk.expand(&[&info], Length(out.len()))
            .and_then(|okm| okm.fill(out))
            .expect("HKDF-SHA256 gives up to 8160 bytes, and at most 32 are asked for");
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways() {
        let text = "00ff".repeat(16);
        let key = ClusterKey::from_hex(&format!(" {text}\n")).unwrap();
        assert_eq!(*key.to_hex(), text);
        assert_eq!(ClusterKey::from_hex(&text.to_uppercase()).unwrap().0, key.0);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert_eq!(ClusterKey::from_hex(" \n").unwrap_err(), KeyError::Missing);
        assert_eq!(ClusterKey::from_hex("ab").unwrap_err(), KeyError::Length { found: 2 });
        let odd = format!("{}g", "0".repeat(63));
        assert_eq!(ClusterKey::from_hex(&odd).unwrap_err(), KeyError::Digit { position: 63 });
        assert_eq!(ClusterKey::from_hex(&"0".repeat(64)).unwrap_err(), KeyError::Zero);
        assert!(ClusterKey::from_hex(&"é".repeat(32)).is_err());
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = ClusterKey::from_hex(&"5a".repeat(32)).unwrap();
        assert_eq!(format!("{key:?}"), "ClusterKey(hidden)");
    }

    #[test]
    fn a_modules_key_needs_both() {
        let key = |byte| ClusterKey::from_bytes(&[byte; 32]).unwrap();
        let of = |cluster, module| key(cluster).of_module(&key(module));
        assert_eq!(of(1, 2), of(1, 2));
        assert!(of(1, 2) != of(1, 3) && of(1, 2) != of(3, 2) && of(1, 2) != of(2, 1));
        assert!(of(1, 2) != key(1) && of(1, 2) != key(2));
    }

    #[test]
    fn purposes_and_parts_do_not_run_into_each_other() {
        let key = ClusterKey::from_bytes(&[7; 32]).unwrap();
        let heart = key.purpose("heart/a");
        assert_ne!(heart.bytes(), key.purpose("heart/b").bytes());
        assert_ne!(heart.derive(&[b"ab", b"c"]).bytes(), heart.derive(&[b"a", b"bc"]).bytes());
        assert_ne!(heart.key_id(), key.purpose("heart/b").key_id());
    }
}
