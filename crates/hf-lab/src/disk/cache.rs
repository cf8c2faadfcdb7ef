//! The volatile write cache itself: pages that were written and not flushed. No I/O in here.

use std::collections::BTreeMap;

/// Bytes of a page. The file system's block size, so that its writes never need the old content.
pub const PAGE: usize = 4096;

type Page = Box<[u8; PAGE]>;

/// Written, not flushed.
#[derive(Default)]
pub struct Cache {
    pages: BTreeMap<u64, Page>,
}

/// A piece of a request that lies within one page.
struct Piece {
    page: u64,
    within: usize,
    at: usize,
    len: usize,
}

/// Splits `len` bytes from `offset` at page borders.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= len {
            return None;
        }
        let position = offset + at as u64;
        let within = (position % PAGE as u64) as usize;
        let piece = Piece { page: position / PAGE as u64, within, at, len: (PAGE - within).min(len - at) };
        at += piece.len;
        Some(piece)
    })
}

impl Cache {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.pages.len() as u64 * PAGE as u64
    }

    /// Takes a write. `load` fills a page's present content where the write covers only a part of it.
    pub fn write<E>(
        &mut self,
        offset: u64,
        data: &[u8],
        mut load: impl FnMut(u64, &mut [u8; PAGE]) -> Result<(), E>,
    ) -> Result<(), E> {
        for piece in pieces(offset, data.len()) {
            let page = match self.pages.entry(piece.page) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let mut fresh = Box::new([0; PAGE]);
                    if piece.len < PAGE {
                        load(piece.page, &mut fresh)?;
                    }
                    entry.insert(fresh)
                }
            };
            page[piece.within..piece.within + piece.len].copy_from_slice(&data[piece.at..piece.at + piece.len]);
        }
        Ok(())
    }

    /// Lays what is cached over `data`, which was read from the image at `offset`.
    pub fn overlay(&self, offset: u64, data: &mut [u8]) {
        if self.pages.is_empty() || data.is_empty() {
            return;
        }
        let first = offset / PAGE as u64;
        let last = (offset + data.len() as u64 - 1) / PAGE as u64;
        for (&number, page) in self.pages.range(first..=last) {
            let start = number * PAGE as u64;
            let from = start.max(offset);
            let to = (start + PAGE as u64).min(offset + data.len() as u64);
            data[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&page[(from - start) as usize..(to - start) as usize]);
        }
    }

    /// Hands every run of neighbouring pages to `store` in ascending order, and forgets them once all are stored.
    /// On an error everything stays cached: a flush that failed has promised nothing.
    pub fn flush<E>(&mut self, mut store: impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        const LONGEST: usize = 1 << 20;
        let mut run: Vec<u8> = Vec::new();
        let mut start = 0;
        for (&number, page) in &self.pages {
            let offset = number * PAGE as u64;
            if !run.is_empty() && (start + run.len() as u64 != offset || run.len() >= LONGEST) {
                store(start, &run)?;
                run.clear();
            }
            if run.is_empty() {
                start = offset;
            }
            run.extend_from_slice(&page[..]);
        }
        if !run.is_empty() {
            store(start, &run)?;
        }
        self.pages.clear();
        Ok(())
    }

    /// The power is gone.
    pub fn lose(&mut self) {
        self.pages.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// A model of the disk: what is durable, and what a reader sees.
    struct Model {
        durable: Vec<u8>,
        seen: Vec<u8>,
        cache: Cache,
    }

    impl Model {
        fn new() -> Self {
            let bytes = vec![0; 8 * PAGE];
            Self { durable: bytes.clone(), seen: bytes, cache: Cache::default() }
        }

        fn write(&mut self, offset: usize, data: &[u8]) {
            self.seen[offset..offset + data.len()].copy_from_slice(data);
            let durable = &self.durable;
            self.cache
                .write(offset as u64, data, |page, into| {
                    let start = page as usize * PAGE;
                    into.copy_from_slice(&durable[start..start + PAGE]);
                    Ok::<(), Infallible>(())
                })
                .unwrap();
            let mut read = self.durable.clone();
            self.cache.overlay(0, &mut read);
            assert_eq!(read, self.seen);
        }

        fn flush(&mut self) {
            let durable = &mut self.durable;
            self.cache
                .flush(|offset, run| {
                    let offset = offset as usize;
                    durable[offset..offset + run.len()].copy_from_slice(run);
                    Ok::<(), Infallible>(())
                })
                .unwrap();
            assert_eq!(self.durable, self.seen);
        }
    }

    #[test]
    fn what_is_flushed_stays_and_what_is_not_goes() {
        let mut disk = Model::new();
        disk.write(100, b"partial");
        disk.write(PAGE - 3, b"over a border");
        disk.flush();
        let kept = disk.durable.clone();
        disk.write(0, &[7; 3 * PAGE]);
        disk.cache.lose();
        let mut read = disk.durable.clone();
        disk.cache.overlay(0, &mut read);
        assert_eq!(read, kept);
    }

    #[test]
    fn an_overlay_of_a_part_reads_the_right_bytes() {
        let mut disk = Model::new();
        disk.write(2 * PAGE, &(0..=255).cycle().take(2 * PAGE).collect::<Vec<u8>>());
        let mut part = vec![0; PAGE];
        disk.cache.overlay((2 * PAGE + 10) as u64, &mut part);
        assert_eq!(part, disk.seen[2 * PAGE + 10..3 * PAGE + 10]);
    }

    #[test]
    fn a_flush_that_fails_forgets_nothing() {
        let mut disk = Model::new();
        disk.write(0, &[1; PAGE]);
        assert!(disk.cache.flush(|_, _| Err(())).is_err());
        assert_eq!(disk.cache.bytes(), PAGE as u64);
        disk.flush();
    }

    #[test]
    fn runs_are_joined_and_ascending() {
        let mut disk = Model::new();
        for page in [5, 1, 2, 6] {
            disk.write(page * PAGE, &[page as u8; PAGE]);
        }
        let mut runs = Vec::new();
        disk.cache
            .flush(|offset, run| {
                runs.push((offset as usize / PAGE, run.len() / PAGE));
                Ok::<(), Infallible>(())
            })
            .unwrap();
        assert_eq!(runs, [(1, 2), (5, 2)]);
    }
}
