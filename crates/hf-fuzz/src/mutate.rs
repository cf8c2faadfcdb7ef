//! Changes bytes a little.

use crate::random::Random;

/// Longer inputs than this only cost time.
const LONGEST: usize = 64 << 10;

const NUMBERS: [u64; 9] = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0xffff_ffff_ffff_ffff];

/// One to eight changes of `bytes`; `words` are put in as they are, and pieces of `other`.
pub fn mutate(bytes: &mut Vec<u8>, words: &[&str], other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(8) {
        change(bytes, words, other, random);
    }
    bytes.truncate(LONGEST);
}

fn change(bytes: &mut Vec<u8>, words: &[&str], other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random_length(random)).min(bytes.len());
    match random.below(10) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.draw().to_le_bytes()[0];
            }
        }
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            insert(bytes, random.below(bytes.len() + 1), &copy);
        }
        4 => {
            let from = random.below(other.len() + 1);
            let until = (from + random_length(random)).min(other.len());
            insert(bytes, at, &other[from..until]);
        }
        5 | 6 => {
            if let Some(word) = random.pick(words) {
                insert(bytes, at, word.as_bytes());
            }
        }
        7 => {
            let number = NUMBERS[random.below(NUMBERS.len())].wrapping_sub(random.draw() % 2).to_le_bytes();
            let length = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
            bytes[at..at + length].copy_from_slice(&number[..length]);
        }
        8 => insert(bytes, at, NUMBERS[random.below(NUMBERS.len())].to_string().as_bytes()),
        _ => bytes.truncate(at),
    }
}

/// Mostly short.
fn random_length(random: &mut Random) -> usize {
    let most = [4, 16, 64, 1024][random.below(4)];
    random.below(most) + 1
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if bytes.len() + piece.len() <= LONGEST {
        bytes.splice(at..at, piece.iter().copied());
    }
}
