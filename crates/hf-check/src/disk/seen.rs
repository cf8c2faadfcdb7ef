//! A line from the process that looks.

/// What it saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Bytes for everybody, without what is kept for root.
    pub(super) free: u64,
    pub(super) total: u64,
    pub(super) read_only: bool,
    /// What failed and why; empty if nothing did.
    pub(super) error: String,
    /// The number of the error; 0 if none.
    pub(super) errno: i32,
    pub(super) grew: Option<Grew>,
}

/// The directory that grew most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grew {
    pub(super) dir: String,
    pub(super) bytes: u64,
    /// Since when.
    pub(super) seconds: u64,
}

impl Seen {
    /// Fields with tabs between them; texts have no control characters.
    pub(super) fn line(&self) -> String {
        let Seen { free, total, read_only, error, errno, grew } = self;
        let mut line = format!("{free}\t{total}\t{}\t{errno}\t{}", u8::from(*read_only), plain(error));
        if let Some(Grew { dir, bytes, seconds }) = grew {
            line += &format!("\t{bytes}\t{seconds}\t{}", plain(dir));
        }
        line
    }

    pub(super) fn parse(line: &str) -> Option<Seen> {
        let fields: Vec<&str> = line.split('\t').collect();
        let (seen, rest) = fields.split_at_checked(5)?;
        let [free, total, read_only, errno, error] = seen else { return None };
        let grew = match rest {
            [] => None,
            [bytes, seconds, dir] => {
                Some(Grew { dir: (*dir).to_owned(), bytes: bytes.parse().ok()?, seconds: seconds.parse().ok()? })
            }
            _ => return None,
        };
        Some(Seen {
            free: free.parse().ok()?,
            total: total.parse().ok()?,
            read_only: *read_only == "1",
            error: (*error).to_owned(),
            errno: errno.parse().ok()?,
            grew,
        })
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
