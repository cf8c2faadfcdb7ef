//! The client's own record: one line when a number is sent, one when COMMIT returned for it.
//!
//! `s N T` sent, `a N T` acknowledged; T is the boot clock in microseconds, the same on every node of a lab.

use anyhow::Context;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Microseconds of the clock that all namespaces of a machine share.
pub fn now_us() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    t.tv_sec as u64 * 1_000_000 + t.tv_nsec as u64 / 1000
}

pub struct Journal(File);

impl Journal {
    pub fn open(path: &Path) -> anyhow::Result<Journal> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Journal(file.with_context(|| format!("opening the journal {}", path.display()))?))
    }

    pub fn sent(&mut self, number: i64) -> anyhow::Result<u64> {
        self.line('s', number)
    }

    pub fn acknowledged(&mut self, number: i64) -> anyhow::Result<u64> {
        self.line('a', number)
    }

    fn line(&mut self, kind: char, number: i64) -> anyhow::Result<u64> {
        let at = now_us();
        self.0.write_all(format!("{kind} {number} {at}\n").as_bytes()).context("writing the journal")?;
        Ok(at)
    }
}

/// A journal read back.
#[derive(Default)]
pub struct Entries {
    pub sent: BTreeSet<i64>,
    pub acknowledged: BTreeSet<i64>,
    /// Times of acknowledgements in order, microseconds.
    pub times_us: Vec<u64>,
}

impl Entries {
    pub fn read(path: &Path) -> anyhow::Result<Entries> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading the journal {}", path.display()))?;
        let mut entries = Entries::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let (kind, number, at) = (words.next(), words.next(), words.next());
            let number: i64 = number.unwrap_or_default().parse().with_context(|| format!("journal line {line:?}"))?;
            match kind {
                Some("s") => drop(entries.sent.insert(number)),
                Some("a") => {
                    entries.acknowledged.insert(number);
                    entries.times_us.push(at.unwrap_or_default().parse()?);
                }
                _ => anyhow::bail!("the journal {} holds a line that is not ours: {line:?}", path.display()),
            }
        }
        Ok(entries)
    }
}
