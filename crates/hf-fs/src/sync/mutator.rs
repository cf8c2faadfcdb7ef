//! For tests: applications that do anything.

use crate::backing::{Change, New};
use crate::link::harness::Hands;
use crate::pipeline::{Attrs, FileId, Stamp};

/// Small numbers that differ from run to run by their seed only.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        let seed = self.roll(256) as u8;
        (0..len).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect()
    }
}

/// Does what an application might do at random; errors (a name that is there, a directory that is full...) are its own.
pub struct Mutator {
    pub hands: Hands,
    dice: Dice,
    dirs: Vec<FileId>,
    files: Vec<FileId>,
}

impl Mutator {
    pub fn new(hands: Hands, seed: u64) -> Mutator {
        Mutator { hands, dice: Dice(seed | 1), dirs: vec![FileId::ROOT], files: Vec::new() }
    }

    fn dir(&mut self) -> FileId {
        self.dirs[self.dice.roll(self.dirs.len() as u64) as usize]
    }

    fn file(&mut self) -> FileId {
        match self.files.len() as u64 {
            0 => FileId::ROOT,
            n => self.files[self.dice.roll(n) as usize],
        }
    }

    fn name(&mut self) -> String {
        format!("n{}", self.dice.roll(12))
    }

    pub fn step(&mut self) {
        let (dir, file, name) = (self.dir(), self.file(), self.name());
        let hands = self.hands.clone();
        let attrs = Attrs {
            mode: [0o644, 0o600, 0o4755, 0o2711][self.dice.roll(4) as usize],
            uid: self.dice.roll(3) as u32,
            gid: self.dice.roll(3) as u32,
        };
        match self.dice.roll(20) {
            0..=2 => self.files.extend(hands.make(dir, &name, &New::File, attrs)),
            3 => self.dirs.extend(hands.make(dir, &name, &New::Directory, Attrs { mode: attrs.mode | 0o700, ..attrs })),
            4 => drop(hands.make(dir, &name, &New::Symlink(self.name().as_bytes()), attrs)),
            5 => drop(hands.make(dir, &name, &New::Special { kind: libc::S_IFIFO, rdev: 0 }, attrs)),
            6..=9 => {
                let longest = if self.dice.roll(4) == 0 { 700_000 } else { 9000 };
                let (offset, len) = (self.dice.roll(3 << 20), self.dice.roll(longest));
                let data = self.dice.bytes(len + 1);
                drop(hands.write(file, offset, &data));
            }
            10 => drop(hands.truncate(file, self.dice.roll(3 << 20))),
            11 => {
                let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                drop(hands.allocate(file, mode, self.dice.roll(2 << 20), 1 + self.dice.roll(1 << 20)));
            }
            12 => drop(hands.link(file, dir, &name)),
            13 | 14 => drop(hands.remove(dir, &name)),
            15 | 16 => {
                let (to, new_name) = (self.dir(), self.name());
                drop(hands.rename((dir, &name), (to, &new_name), self.dice.roll(4) == 0));
            }
            17 => {
                let mtime = Some(Stamp { sec: self.dice.roll(2_000_000_000) as i64, nsec: 5 });
                let change = Change { owner: Some((attrs.uid, attrs.gid)), mode: Some(attrs.mode), mtime, atime: None };
                drop(hands.set_attr(file, change));
            }
            18 => drop(hands.set_xattr(file, &format!("user.x{}", self.dice.roll(3)), &self.dice.bytes(20))),
            _ => drop(hands.remove_xattr(file, &format!("user.x{}", self.dice.roll(3)))),
        }
    }
}
