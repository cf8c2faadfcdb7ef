use crate::rng::Rng;

/// What one node's disk holds of the replicated data: operations in the order in which they were applied.
///
/// An operation is a number. A power cut keeps everything that was synced and any prefix of the rest. While a
/// synchronisation overwrites the copy it is neither the old nor the new one: `mixed`.
#[derive(Clone, Debug, Default)]
pub struct Data {
    ops: Vec<u64>,
    durable: usize,
    mixed: bool,
    /// The disk may hold a part of what overwrites it, though memory holds all.
    mixed_on_disk: bool,
    /// Grows when the content is replaced: an fsync of the earlier content says nothing of the new one.
    version: u64,
}

impl Data {
    /// Everything applied, in order.
    pub fn ops(&self) -> &[u64] {
        &self.ops
    }

    /// Whether the copy is half of the old, half of the new.
    pub fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// How many operations are applied: an fsync that begins now makes these durable.
    pub fn mark(&self) -> (u64, usize) {
        (self.version, self.ops.len())
    }

    /// Applies one operation; returns how many are applied now.
    pub fn append(&mut self, op: u64) -> usize {
        self.ops.push(op);
        self.ops.len()
    }

    /// An fsync that began at `mark` ended.
    pub fn synced(&mut self, mark: (u64, usize)) {
        if mark.0 == self.version {
            self.durable = self.durable.max(mark.1);
            self.mixed_on_disk = self.mixed;
        }
    }

    /// Whether the first `count` operations would survive a power cut.
    pub fn is_durable(&self, count: usize) -> bool {
        !self.mixed_on_disk && self.durable >= count
    }

    /// The first foreign zone was written over this copy.
    pub fn begin_mixing(&mut self) {
        self.mixed = true;
        self.mixed_on_disk = true;
    }

    /// The last foreign zone was written: the content is `ops` now, though nothing of it is synced.
    pub fn replace(&mut self, ops: &[u64]) {
        self.ops = ops.to_vec();
        self.durable = 0;
        self.mixed = false;
        self.mixed_on_disk = true;
        self.version += 1;
    }

    /// An administrator said that this copy, half overwritten or not, is the one (`primforce`).
    pub fn accept(&mut self) {
        self.mixed = false;
    }

    /// The power went: what was not synced is there up to some point, or not.
    pub fn power_cut(&mut self, rng: &mut Rng) {
        self.version += 1;
        self.mixed = self.mixed_on_disk;
        if !self.mixed {
            let kept = rng.range(self.durable as u64, self.ops.len() as u64) as usize;
            self.ops.truncate(kept);
        }
        self.durable = self.ops.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_keeps_what_was_synced() {
        for seed in 0..50 {
            let mut data = Data::default();
            data.append(1);
            let mark = data.mark();
            data.append(2);
            data.synced(mark);
            data.power_cut(&mut Rng::new(seed, 0));
            assert_eq!(data.ops()[0], 1);
        }
    }

    #[test]
    fn a_power_cut_can_lose_what_was_not_synced() {
        let lost = (0..50).any(|seed| {
            let mut data = Data::default();
            data.append(1);
            data.power_cut(&mut Rng::new(seed, 0));
            data.ops().is_empty()
        });
        assert!(lost);
    }

    #[test]
    fn a_copy_is_whole_only_after_the_sync_that_follows_the_last_zone() {
        let mut data = Data::default();
        data.begin_mixing();
        data.replace(&[1, 2]);
        let mut cut = data.clone();
        cut.power_cut(&mut Rng::new(1, 0));
        assert!(cut.is_mixed());
        data.synced(data.mark());
        data.power_cut(&mut Rng::new(1, 0));
        assert_eq!((data.is_mixed(), data.ops()), (false, &[1, 2][..]));
    }
}
