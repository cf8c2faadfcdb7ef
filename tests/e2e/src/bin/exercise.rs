//! `exercise run FILE SEED`: random operations on one file, each known beforehand from the seed; what was read must be what was written. After a
//! barrier it says how many operations were done by then: so many are acknowledged. Ends when FILE.stop is there.
//! `exercise verify FILE SEED ACKNOWLEDGED`: the file is as it was after some operation that is not before the last acknowledged one.

use anyhow::{Context, bail, ensure};
use e2e::Random;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Largest size of the file, and of one write, in bytes.
const FILE_MAX: u64 = 192 << 10;
const WRITE_MAX: u64 = 12 << 10;
/// Operations between two barriers.
const BARRIER: u64 = 7;
/// How far a copy may be ahead of what is known to be acknowledged: an operation takes a round trip, so this is seconds.
const AHEAD: u64 = 5_000;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["run", file, seed] => run(Path::new(file), seed.parse()?),
        ["verify", file, seed, acknowledged] => verify(Path::new(file), seed.parse()?, acknowledged.parse()?),
        _ => bail!("use: exercise run FILE SEED | exercise verify FILE SEED ACKNOWLEDGED"),
    }
}

enum Op {
    Write { at: u64, data: Vec<u8> },
    Resize(u64),
    Punch { at: u64, len: u64 },
}

/// The file as it has to be, and what comes next.
struct Model {
    random: Random,
    content: Vec<u8>,
}

impl Model {
    fn new(seed: u64) -> Model {
        Model { random: Random::new(seed), content: Vec::new() }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random.draw() % limit.max(1)
    }

    fn next(&mut self) -> Op {
        let len = self.content.len() as u64;
        match self.below(10) {
            0 => Op::Resize(self.below(FILE_MAX)),
            1 if len > 0 => {
                let at = self.below(len);
                Op::Punch { at, len: 1 + self.below(len - at) }
            }
            _ => {
                let (size, byte) = (1 + self.below(WRITE_MAX), self.random.draw() as u8);
                // Behind the end, too, so that holes come.
                let at = self.below((len + WRITE_MAX).min(FILE_MAX - size));
                Op::Write { at, data: (0..size).map(|n| byte ^ (n as u8).wrapping_mul(31)).collect() }
            }
        }
    }

    fn carry_out(&mut self, op: &Op) {
        match op {
            Op::Write { at, data } => {
                let (from, to) = (*at as usize, *at as usize + data.len());
                if self.content.len() < to {
                    self.content.resize(to, 0);
                }
                self.content[from..to].copy_from_slice(data);
            }
            Op::Resize(size) => self.content.resize(*size as usize, 0),
            Op::Punch { at, len } => self.content[*at as usize..(at + len) as usize].fill(0),
        }
    }
}

fn run(path: &Path, seed: u64) -> anyhow::Result<()> {
    let stop = path.with_extension("stop");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    // Its name is there before the first operation counts.
    file.sync_all()?;
    let mut model = Model::new(seed);
    for done in 1.. {
        let op = model.next();
        on_disk(&file, &op).with_context(|| format!("operation {done}"))?;
        model.carry_out(&op);
        if done % BARRIER == 0 {
            file.sync_data().with_context(|| format!("the barrier after operation {done}"))?;
            writeln!(std::io::stdout(), "{done}")?;
            compare(&file, &model).with_context(|| format!("after operation {done}"))?;
            if stop.exists() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn on_disk(file: &File, op: &Op) -> anyhow::Result<()> {
    match op {
        Op::Write { at, data } => file.write_all_at(data, *at)?,
        Op::Resize(size) => file.set_len(*size)?,
        Op::Punch { at, len } => {
            fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, *at, *len)?;
        }
    }
    Ok(())
}

fn compare(file: &File, model: &Model) -> anyhow::Result<()> {
    let size = file.metadata()?.len();
    ensure!(size == model.content.len() as u64, "the file has {size} bytes, not {}", model.content.len());
    let mut content = vec![0; model.content.len()];
    file.read_exact_at(&mut content, 0)?;
    let differs = content.iter().zip(&model.content).position(|(is, should)| is != should);
    ensure!(differs.is_none(), "the file differs at byte {differs:?}");
    Ok(())
}

fn verify(path: &Path, seed: u64, acknowledged: u64) -> anyhow::Result<()> {
    let content = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mut model = Model::new(seed);
    for done in 0..=acknowledged + AHEAD {
        if done >= acknowledged && model.content == content {
            println!("as after operation {done}");
            return Ok(());
        }
        let op = model.next();
        model.carry_out(&op);
    }
    bail!("{} is not what it was after any operation from {acknowledged} on", path.display())
}
