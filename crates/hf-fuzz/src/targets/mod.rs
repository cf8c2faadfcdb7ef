//! What is given wrong input.

mod bus;
mod frame;
mod package;
mod rules;
mod sealed;
mod xml;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;

/// Something that reads bytes of strangers.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// Good inputs.
    pub examples: fn() -> Vec<Vec<u8>>,
    /// Pieces that inputs are made of.
    pub words: &'static [&'static str],
    /// Takes an input, and tells different ways to answer apart; panics where something doesn't hold that must.
    pub take: fn(&[u8]) -> u64,
}

/// All of them.
pub fn all() -> Vec<Target> {
    let mut all = vec![xml::MODULE, xml::CLUSTER, rules::RULES];
    all.extend(frame::ALL);
    all.extend([bus::BUS, sealed::DATAGRAM, sealed::LINK, package::PACKAGE]);
    all
}

/// A number for an answer.
fn answer(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// An error as a way to answer: its words without the numbers and names in them.
fn shape(error: &str) -> String {
    let letters = error.chars().filter(|letter| letter.is_ascii_lowercase() || *letter == ' ');
    letters.take(60).collect()
}

/// The lines of a file with bytes in hexadecimal.
fn hex(text: &str) -> Vec<Vec<u8>> {
    let digit = |digits: &[u8]| std::str::from_utf8(digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok());
    text.lines().map(|line| line.trim().as_bytes().chunks(2).filter_map(digit).collect()).collect()
}

/// The files of a directory of this repository whose names end so.
fn files(directory: &str, end: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(directory);
    let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
    let mut paths: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(end)).collect();
    paths.sort();
    let files: Vec<_> = paths.iter().filter_map(|path| std::fs::read(path).ok()).collect();
    assert!(!files.is_empty(), "no examples in {}", directory.display());
    files
}
