//! Sequences inside a payload: entries of a directory, extended attributes. Checked whole when a frame is decoded, so that going
//! through them can't fail.

use super::codec::{Reader, Short};
use super::{NAME_MAX, TARGET_MAX, VALUE_MAX, is_name};

/// A name in a listed directory, with what can't change while the file lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub name: &'a [u8],
    pub id: u64,
    /// The `S_IFMT` part of the mode.
    pub kind: u32,
    /// Of devices; else 0.
    pub rdev: u64,
    /// Of symbolic links; else empty.
    pub target: &'a [u8],
}

/// Entries of a directory, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries<'a>(&'a [u8]);

/// Extended attributes, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairs<'a>(&'a [u8]);

/// Appends one entry to a listing.
pub fn push_entry(out: &mut Vec<u8>, entry: &Entry<'_>) {
    out.extend_from_slice(&entry.id.to_le_bytes());
    out.extend_from_slice(&entry.kind.to_le_bytes());
    out.extend_from_slice(&entry.rdev.to_le_bytes());
    out.extend_from_slice(&(entry.name.len() as u16).to_le_bytes());
    out.extend_from_slice(&(entry.target.len() as u16).to_le_bytes());
    out.extend_from_slice(entry.name);
    out.extend_from_slice(entry.target);
}

/// Appends one extended attribute.
pub fn push_pair(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(value);
}

fn read_entry<'a>(reader: &mut Reader<'a>) -> Result<Entry<'a>, Short> {
    let (id, kind, rdev) = (reader.u64()?, reader.u32()?, reader.u64()?);
    let (name_len, target_len) = (reader.u16()? as usize, reader.u16()? as usize);
    let (name, target) = (reader.bytes(name_len)?, reader.bytes(target_len)?);
    Ok(Entry { name, id, kind, rdev, target })
}

fn read_pair<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), Short> {
    let (name_len, value_len) = (reader.u16()? as usize, reader.u32()? as usize);
    Ok((reader.bytes(name_len)?, reader.bytes(value_len)?))
}

/// May these bytes be the target of a symbolic link?
pub(super) fn is_target(target: &[u8]) -> bool {
    (1..=TARGET_MAX).contains(&target.len()) && !target.contains(&0)
}

/// May these bytes name an extended attribute?
pub(super) fn is_attribute(name: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && !name.contains(&0)
}

impl<'a> Entries<'a> {
    /// Bytes of [`push_entry`].
    pub fn check(bytes: &'a [u8]) -> Result<Entries<'a>, &'static str> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let entry = read_entry(&mut reader).map_err(|Short| "an entry is cut off")?;
            if !is_name(entry.name) {
                return Err("an entry's name is not one component of a path");
            }
            if !entry.target.is_empty() && !is_target(entry.target) {
                return Err("a symbolic link's target is not valid");
            }
        }
        Ok(Entries(bytes))
    }

    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    pub fn iter(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || read_entry(&mut reader).ok())
    }
}

impl<'a> Pairs<'a> {
    /// Bytes of [`push_pair`].
    pub fn check(bytes: &'a [u8]) -> Result<Pairs<'a>, &'static str> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (name, value) = read_pair(&mut reader).map_err(|Short| "an attribute is cut off")?;
            if !is_attribute(name) || value.len() > VALUE_MAX {
                return Err("an extended attribute is not valid");
            }
        }
        Ok(Pairs(bytes))
    }

    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || read_pair(&mut reader).ok())
    }
}
