//! What a package holds, as a stream of plain records: the form in which the process that decodes a package hands it to the one
//! that may write.
//!
//! ```text
//! 'F' executable(u8) name-length(u16) name size(u64) contents    a file
//! 'D' name-length(u16) name                                      a directory
//! 'E' length(u16) sentence                                       refused; nothing follows
//! 'Z'                                                            complete
//! ```
//! Numbers are big-endian. Who reads trusts nothing of it: names and limits are judged again.

use std::io::{self, Read, Write};

/// Longest name and longest sentence, in bytes.
pub(crate) const TEXT_MAX: usize = 8 * 1024;

/// One record; a file's contents follow in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    File { name: String, bytes: u64, executable: bool },
    Directory { name: String },
    Refused { why: String },
    End,
}

pub(crate) fn write(out: &mut impl Write, record: &Record) -> io::Result<()> {
    match record {
        Record::File { name, bytes, executable } => {
            out.write_all(&[b'F', u8::from(*executable)])?;
            write_text(out, name)?;
            out.write_all(&bytes.to_be_bytes())
        }
        Record::Directory { name } => {
            out.write_all(b"D")?;
            write_text(out, name)
        }
        Record::Refused { why } => {
            out.write_all(b"E")?;
            write_text(out, why)
        }
        Record::End => out.write_all(b"Z"),
    }
}

fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    let length = u16::try_from(text.len()).ok().filter(|_| text.len() <= TEXT_MAX);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a name is too long"))?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(text.as_bytes())
}

pub(crate) fn read(from: &mut impl Read) -> io::Result<Record> {
    let [tag] = take::<1>(from)?;
    match tag {
        b'F' => {
            let [executable] = take::<1>(from)?;
            let name = read_text(from)?;
            Ok(Record::File { name, bytes: u64::from_be_bytes(take::<8>(from)?), executable: executable != 0 })
        }
        b'D' => Ok(Record::Directory { name: read_text(from)? }),
        b'E' => Ok(Record::Refused { why: read_text(from)? }),
        b'Z' => Ok(Record::End),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "an unknown record")),
    }
}

fn take<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_text(from: &mut impl Read) -> io::Result<String> {
    let length = usize::from(u16::from_be_bytes(take::<2>(from)?));
    if length > TEXT_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a name is too long"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a name isn't UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        let records = [
            Record::Directory { name: "bin".to_owned() },
            Record::File { name: "bin/start_prim".to_owned(), bytes: 1 << 40, executable: true },
            Record::Refused { why: "no".to_owned() },
            Record::End,
        ];
        let mut stream = Vec::new();
        for record in &records {
            write(&mut stream, record).unwrap();
        }
        let mut from = stream.as_slice();
        for record in &records {
            assert_eq!(read(&mut from).unwrap(), *record);
        }
        assert!(from.is_empty() && read(&mut from).is_err());
    }
}
