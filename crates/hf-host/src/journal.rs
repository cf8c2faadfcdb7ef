//! Log lines as entries of the systemd journal, in its native protocol: one datagram of fields. Nothing waits for it.

use hf_types::Level;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::OnceLock;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Longest text that is sent, in bytes: far below what a datagram holds.
const TEXT_MAX: usize = 32 << 10;

/// The journal's socket.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    /// What this process writes to standard error is in the journal anyway.
    gets_stderr: bool,
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// None: the daemon's own.
    pub module: Option<&'a str>,
    pub process: &'a str,
    pub level: Level,
    pub text: &'a str,
}

/// Sends to the machine's journal, if it has one. True: the line needn't go to standard error as well.
pub fn send(entry: &Entry<'_>) -> bool {
    static JOURNAL: OnceLock<Option<Journal>> = OnceLock::new();
    let journal = JOURNAL.get_or_init(|| Journal::connect(Path::new(SOCKET), stderr_is_the_journals()).ok());
    journal.as_ref().is_some_and(|journal| journal.send(entry) && journal.gets_stderr)
}

impl Journal {
    /// # Errors
    /// When nobody listens there.
    pub fn connect(socket: &Path, gets_stderr: bool) -> io::Result<Journal> {
        let journal = UnixDatagram::unbound()?;
        journal.set_nonblocking(true)?;
        journal.connect(socket)?;
        Ok(Journal { socket: journal, gets_stderr })
    }

    /// Whether the journal has it. One that is full or gone has not.
    pub fn send(&self, entry: &Entry<'_>) -> bool {
        self.socket.send(&datagram(entry)).is_ok()
    }
}

fn datagram(entry: &Entry<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let text = &entry.text[..entry.text.floor_char_boundary(TEXT_MAX)];
    let priority = priority(entry.level).to_string();
    let level = format!("{:?}", entry.level);
    field(&mut out, "MESSAGE", text);
    field(&mut out, "PRIORITY", &priority);
    field(&mut out, "SYSLOG_IDENTIFIER", "holdfast");
    field(&mut out, "HOLDFAST_LEVEL", &level);
    field(&mut out, "HOLDFAST_PROCESS", entry.process);
    if let Some(module) = entry.module {
        field(&mut out, "HOLDFAST_MODULE", module);
    }
    out
}

/// A value of one line as `NAME=VALUE`, any other with its length in front, so that it can't be taken for more fields.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// As syslog counts.
fn priority(level: Level) -> u8 {
    match level {
        Level::C => 2,
        Level::U | Level::E => 5,
        Level::S | Level::I => 6,
        Level::D => 7,
    }
}

/// systemd says in the environment which stream it connected to the journal.
fn stderr_is_the_journals() -> bool {
    let said = std::env::var_os("JOURNAL_STREAM");
    let own = std::io::stderr().as_fd().try_clone_to_owned().map(std::fs::File::from).and_then(|file| file.metadata());
    match (said, own) {
        (Some(said), Ok(own)) => said.as_bytes() == format!("{}:{}", own.dev(), own.ino()).as_bytes(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The fields of a datagram, read as journald does.
    fn fields(mut bytes: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n').expect("a line ends");
            let line = std::str::from_utf8(&bytes[..end]).expect("text");
            bytes = &bytes[end + 1..];
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let (length, rest) = bytes.split_at(8);
                    let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
                    let value = std::str::from_utf8(&rest[..length]).expect("text").to_owned();
                    assert_eq!(rest[length], b'\n');
                    bytes = &rest[length + 1..];
                    (line, value)
                }
            };
            assert!(fields.insert(name.to_owned(), value).is_none(), "{name} twice");
        }
        fields
    }

    #[test]
    fn a_line_arrives_with_its_fields() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("socket");
        assert!(Journal::connect(&path, true).is_err(), "nobody listens");
        let listener = UnixDatagram::bind(&path).expect("a socket");
        let journal = Journal::connect(&path, true).expect("a journal");
        let forged = "Script start_prim\nHOLDFAST_MODULE=other";
        for text in ["Local state PRIM green", forged] {
            let entry = Entry { module: Some("pg"), process: "heart", level: Level::E, text };
            assert!(journal.send(&entry));
            let mut bytes = vec![0; 65_536];
            let length = listener.recv(&mut bytes).expect("a datagram");
            let fields = fields(&bytes[..length]);
            let field = |name: &str| fields.get(name).map(String::as_str);
            assert_eq!(field("MESSAGE"), Some(text));
            assert_eq!((field("PRIORITY"), field("SYSLOG_IDENTIFIER")), (Some("5"), Some("holdfast")));
            assert_eq!((field("HOLDFAST_MODULE"), field("HOLDFAST_LEVEL")), (Some("pg"), Some("E")));
            assert_eq!(field("HOLDFAST_PROCESS"), Some("heart"));
        }
    }

    #[test]
    fn nothing_waits_for_a_journal_that_does_not_read() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("socket");
        let _listener = UnixDatagram::bind(&path).expect("a socket");
        let journal = Journal::connect(&path, true).expect("a journal");
        let text = "x".repeat(TEXT_MAX * 2);
        let entry = Entry { module: None, process: "safeadmin", level: Level::C, text: &text };
        let sent = (0..10_000).take_while(|_| journal.send(&entry)).count();
        assert!((1..10_000).contains(&sent), "{sent}");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(TEXT_MAX);
        let entry = Entry { module: None, process: "rfs", level: Level::I, text: &text };
        let message = fields(&datagram(&entry))["MESSAGE"].clone();
        assert!(message.len() <= TEXT_MAX && message.chars().all(|c| c == 'é'));
    }
}
