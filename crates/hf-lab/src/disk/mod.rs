//! A disk that loses at a power cut what was never flushed.
//!
//! An image file is served as the one file of a FUSE mount by a process of ours (`server`), and a loop device stands over that file. Writes
//! stay in the server's memory (`cache`); only the loop device's flush, which arrives as FSYNC, puts them into the image. So what
//! the kernel wrote back but nobody flushed is lost with the power, as on a disk with a volatile write cache.
//! Why this and not a block driver: docs/design/0001-volatile-disk.md.

pub mod cache;
pub mod control;
pub mod loopdev;
pub mod server;

use std::fs::File;
use std::path::Path;

use crate::error::{Context, Result};
use crate::process::run_tool;

/// Size of a node's disk. Sparse: it takes what is written.
pub const SIZE_BYTES: u64 = 4 << 30;

/// Makes a fresh ext4 image of `SIZE_BYTES`. About 15 ms: the file is sparse, so nothing needs zeroing.
pub fn make_image(path: &Path) -> Result<()> {
    let what = || format!("making the disk image {}", path.display());
    let file = File::create(path).context(what)?;
    file.set_len(SIZE_BYTES).context(what)?;
    let text = path.to_string_lossy();
    run_tool(
        "mkfs.ext4",
        &["-q", "-F", "-b", "4096", "-J", "size=64", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", &text],
        "",
        None,
    )
}
