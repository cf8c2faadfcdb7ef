//! One question and its answer, HTTP/1.1. What a server sends is strangers' input: everything is bounded in size here, and in time by
//! the caller.

use hf_config::{HttpBody, HttpCheck, Pattern, Target};
use std::io;
use std::net::IpAddr;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// A status line with its headers.
const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 96;
/// Informational answers before the real one.
const INTERIM_MAX: usize = 8;
/// Of a body so much is read and searched.
const BODY_MAX: usize = 256 * 1024;
/// The line before a chunk.
const LINE_MAX: usize = 256;

/// What is asked, and what the answer must be.
pub(super) struct Question {
    request: String,
    status: Vec<(u16, u16)>,
    body: Option<Wanted>,
}

enum Wanted {
    Text(Vec<u8>),
    Pattern(Pattern),
}

/// What isn't as it should be.
#[derive(Debug)]
pub(super) enum Wrong {
    Io(io::Error),
    /// Not HTTP, or more than anybody needs.
    Form(&'static str),
    Status(u16, String),
    /// The body was searched to its end, or as far as it is read.
    Body(&'static str),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Wrong {
        Wrong::Io(error)
    }
}

impl Wrong {
    /// A part of a sentence.
    pub(super) fn about(&self, place: &str) -> String {
        match self {
            Wrong::Io(error) => format!("no answer of {place}: {error}"),
            Wrong::Form(why) => format!("the answer of {place} is not understood: {why}"),
            Wrong::Status(status, wanted) => format!("{place} answers with status {status}, and {wanted} is expected"),
            Wrong::Body(why) => format!("the answer of {place} {why}"),
        }
    }
}

impl Question {
    pub(super) fn new(check: &HttpCheck, pattern: Option<Pattern>) -> Question {
        let usual = if check.tls.is_some() { 443 } else { 80 };
        let host = match &check.host {
            Target::Address(IpAddr::V6(ip)) => format!("[{ip}]"),
            other => other.to_string(),
        };
        let port = if check.port == usual { String::new() } else { format!(":{}", check.port) };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: holdfast\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n",
            check.path
        );
        let body = match (&check.body, pattern) {
            (Some(HttpBody::Text(text)), _) => Some(Wanted::Text(text.clone().into_bytes())),
            (_, pattern) => pattern.map(Wanted::Pattern),
        };
        Question { request, status: check.status.clone(), body }
    }

    /// Asks, and looks at the answer. The body is read only where it matters.
    pub(super) async fn ask(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Wrong> {
        let mut stream = BufReader::new(stream);
        stream.write_all(self.request.as_bytes()).await?;
        stream.flush().await?;
        let head = read_head(&mut stream).await?;
        if !self.status.iter().any(|(first, last)| (*first..=*last).contains(&head.status)) {
            return Err(Wrong::Status(head.status, self.expected()));
        }
        let Some(wanted) = &self.body else {
            return Ok(());
        };
        let body = read_body(&mut stream, &head).await?;
        let found = match wanted {
            Wanted::Text(text) => body.windows(text.len()).any(|part| part == text.as_slice()),
            Wanted::Pattern(pattern) => pattern.matches(&String::from_utf8_lossy(&body)),
        };
        match (found, head.encoded, body.len() < BODY_MAX) {
            (true, ..) => Ok(()),
            (false, true, _) => Err(Wrong::Body("is compressed, though that was not asked for")),
            (false, false, true) => Err(Wrong::Body("has not the text that is expected")),
            (false, false, false) => Err(Wrong::Body("has not the text that is expected in its first 256 KiB")),
        }
    }

    fn expected(&self) -> String {
        let range =
            |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
        self.status.iter().map(range).collect::<Vec<_>>().join(",")
    }
}

struct Head {
    status: u16,
    framing: Framing,
    encoded: bool,
}

enum Framing {
    None,
    Length(u64),
    Chunked,
    ToTheEnd,
}

async fn read_head(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Head, Wrong> {
    for _ in 0..INTERIM_MAX {
        let head = parse(&head_bytes(stream).await?)?;
        if !(100..200).contains(&head.status) || head.status == 101 {
            return Ok(head);
        }
    }
    Err(Wrong::Form("it never comes to the point"))
}

/// Up to the empty line, and no further.
async fn head_bytes(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Vec<u8>, Wrong> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        let room = (HEAD_MAX - before) as u64;
        (&mut *stream).take(room).read_until(b'\n', &mut bytes).await?;
        let line = &bytes[before..];
        match line {
            b"\r\n" | b"\n" if before > 0 => return Ok(bytes),
            [.., b'\n'] => {}
            _ if bytes.len() >= HEAD_MAX => return Err(Wrong::Form("its headers are longer than 16 KiB")),
            _ => return Err(Wrong::Form("it ends before its headers do")),
        }
        if before == 0 && !bytes.starts_with(b"HTTP/1.") {
            return Err(Wrong::Form("that is no HTTP/1"));
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Head, Wrong> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let complete = response.parse(bytes).is_ok_and(|status| status.is_complete());
    let status = response.code.filter(|_| complete).ok_or(Wrong::Form("that is no HTTP/1"))?;
    let value = |name: &str| {
        let of_name = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        of_name.map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
    };
    let framing = match (status, value("transfer-encoding"), value("content-length")) {
        (101 | 204 | 304, ..) => Framing::None,
        (_, Some(coding), _) if coding.ends_with("chunked") => Framing::Chunked,
        (_, None, Some(length)) => Framing::Length(length.parse().map_err(|_| Wrong::Form("its length is no number"))?),
        _ => Framing::ToTheEnd,
    };
    let encoded = value("content-encoding").is_some_and(|coding| !coding.is_empty() && coding != "identity");
    Ok(Head { status, framing, encoded })
}

/// The body, at most [`BODY_MAX`] of it.
async fn read_body(stream: &mut (impl AsyncBufRead + Unpin), head: &Head) -> Result<Vec<u8>, Wrong> {
    let mut body = Vec::new();
    match head.framing {
        Framing::None => {}
        Framing::Chunked => read_chunks(stream, &mut body).await?,
        Framing::ToTheEnd => {
            // Many servers end a TLS connection without saying so; what came counts.
            let read = stream.take(BODY_MAX as u64).read_to_end(&mut body).await;
            read.map(drop).or_else(|error| if is_cut(&error) { Ok(()) } else { Err(error) })?;
        }
        Framing::Length(length) => {
            let length = length.min(BODY_MAX as u64);
            stream.take(length).read_to_end(&mut body).await?;
            if (body.len() as u64) < length {
                return Err(Wrong::Form("it ends too early"));
            }
        }
    }
    Ok(body)
}

async fn read_chunks(stream: &mut (impl AsyncBufRead + Unpin), body: &mut Vec<u8>) -> Result<(), Wrong> {
    while body.len() < BODY_MAX {
        let size = chunk_size(&line(stream).await?)?;
        if size == 0 {
            return Ok(());
        }
        let (before, wanted) = (body.len(), size.min((BODY_MAX - body.len()) as u64));
        (&mut *stream).take(wanted).read_to_end(body).await?;
        if ((body.len() - before) as u64) < wanted {
            return Err(Wrong::Form("it ends too early"));
        }
        if wanted == size && !matches!(line(stream).await?.as_slice(), b"\r\n" | b"\n") {
            return Err(Wrong::Form("a chunk is longer than it says"));
        }
    }
    Ok(())
}

async fn line(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Vec<u8>, Wrong> {
    let mut line = Vec::new();
    stream.take(LINE_MAX as u64).read_until(b'\n', &mut line).await?;
    if line.ends_with(b"\n") { Ok(line) } else { Err(Wrong::Form("the line before a chunk has no end")) }
}

fn chunk_size(line: &[u8]) -> Result<u64, Wrong> {
    match httparse::parse_chunk_size(line) {
        Ok(httparse::Status::Complete((_, size))) => Ok(size),
        _ => Err(Wrong::Form("the size of a chunk is no number")),
    }
}

fn is_cut(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}
