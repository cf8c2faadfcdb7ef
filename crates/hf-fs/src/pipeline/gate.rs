//! The gate before all modifications: open under an epoch, closed (who comes waits), read-only, or stopped.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Refusal;

/// What the gate says. In the word: the kind in the two lowest bits, the epoch above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// Modifications are admitted under this epoch (0 to 2^62 - 1).
    Open { epoch: u64 },
    /// Who comes is parked until the gate opens or is refused.
    Closed,
    /// Every modification gets EROFS (P8).
    ReadOnly,
    /// Every modification gets EIO: the mount is going away.
    Stopped,
}

impl GateState {
    fn pack(self) -> u64 {
        match self {
            GateState::Open { epoch } => epoch << 2,
            GateState::Closed => 1,
            GateState::ReadOnly => 2,
            GateState::Stopped => 3,
        }
    }

    fn unpack(word: u64) -> GateState {
        match word & 3 {
            0 => GateState::Open { epoch: word >> 2 },
            1 => GateState::Closed,
            2 => GateState::ReadOnly,
            _ => GateState::Stopped,
        }
    }
}

/// A modification that came while the gate was closed; called with what the gate says then.
pub type Parked = Box<dyn FnOnce(Result<Admission<'_>, Refusal>) + Send>;

/// See the module. Whoever opens it runs the parked modifications on its own thread.
pub struct Gate {
    word: AtomicU64,
    inside: AtomicU64,
    parked: Mutex<VecDeque<Parked>>,
}

/// The permission for one modification. While it lives, [`Gate::drain`] waits.
pub struct Admission<'a> {
    gate: &'a Gate,
    epoch: u64,
}

impl Admission<'_> {
    /// The epoch under which it was admitted.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.gate.leave();
    }
}

impl Gate {
    /// A gate in this state.
    pub fn new(state: GateState) -> Gate {
        Gate { word: AtomicU64::new(state.pack()), inside: AtomicU64::new(0), parked: Mutex::new(VecDeque::new()) }
    }

    /// What it says now.
    pub fn state(&self) -> GateState {
        GateState::unpack(self.word.load(Ordering::SeqCst))
    }

    /// Admits, refuses, or says `Ok(None)`: closed, use [`Gate::park`].
    ///
    /// Counting first and looking second makes [`Gate::drain`] sound: who saw the gate open was counted before it closed.
    pub fn admit(&self) -> Result<Option<Admission<'_>>, Refusal> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        let state = self.state();
        if let GateState::Open { epoch } = state {
            return Ok(Some(Admission { gate: self, epoch }));
        }
        self.leave();
        match state {
            GateState::ReadOnly => Err(Refusal::ReadOnly),
            GateState::Stopped => Err(Refusal::Stopping),
            GateState::Open { .. } | GateState::Closed => Ok(None),
        }
    }

    /// Is an operation of this epoch still to be taken?
    pub fn is_open_for(&self, epoch: u64) -> bool {
        // A gate that closed for back-pressure or a drain lets those inside finish; only another epoch or role doesn't.
        !matches!(self.state(), GateState::Open { epoch: now } if now != epoch)
            && !matches!(self.state(), GateState::ReadOnly | GateState::Stopped)
    }

    /// Keeps a modification until the gate isn't closed any more; calls it at once if it isn't.
    pub fn park(&self, parked: Parked) {
        let mut list = self.parked.lock().expect("no panic under this lock");
        if self.state() == GateState::Closed {
            list.push_back(parked);
            return;
        }
        drop(list);
        self.serve(parked);
    }

    /// Changes the state and, unless it is closed then, serves what was parked, in order, on this thread.
    pub fn set(&self, state: GateState) {
        self.put(state);
        self.serve_parked();
    }

    /// Changes the state only: what is parked stays so until [`Gate::serve_parked`].
    pub fn put(&self, state: GateState) {
        let _list = self.parked.lock().expect("no panic under this lock");
        self.word.store(state.pack(), Ordering::SeqCst);
    }

    /// Serves what is parked, in order, on this thread, until nothing is left or the gate is closed again.
    pub fn serve_parked(&self) {
        loop {
            let mut list = self.parked.lock().expect("no panic under this lock");
            if self.state() == GateState::Closed {
                return;
            }
            let Some(parked) = list.pop_front() else { return };
            drop(list);
            self.serve(parked);
        }
    }

    /// Waits until no modification is inside. Close the gate first. False when `limit` passed before.
    pub fn drain(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        // Those who leave tell nobody, which keeps their path short; they are inside for microseconds.
        while self.inside.load(Ordering::SeqCst) != 0 {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        true
    }

    /// How many modifications wait at the closed gate.
    pub fn waiting(&self) -> usize {
        self.parked.lock().expect("no panic under this lock").len()
    }

    fn serve(&self, parked: Parked) {
        match self.admit() {
            Ok(Some(admission)) => parked(Ok(admission)),
            Err(refusal) => parked(Err(refusal)),
            Ok(None) => self.park(parked),
        }
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn states_survive_packing() {
        for state in [
            GateState::Open { epoch: 0 },
            GateState::Open { epoch: 77 },
            GateState::Closed,
            GateState::ReadOnly,
            GateState::Stopped,
        ] {
            assert_eq!(GateState::unpack(state.pack()), state);
        }
    }

    #[test]
    fn parked_ones_come_in_when_it_opens_and_are_refused_when_it_turns_read_only() {
        let gate = Gate::new(GateState::Closed);
        assert!(gate.admit().unwrap().is_none());
        let seen = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..2 {
            let seen = seen.clone();
            gate.park(Box::new(move |a| seen.lock().unwrap().push(a.map(|a| a.epoch()))));
        }
        assert_eq!(gate.waiting(), 2);
        gate.set(GateState::Open { epoch: 5 });
        assert_eq!(*seen.lock().unwrap(), [Ok(5), Ok(5)]);
        gate.set(GateState::Closed);
        let refused = seen.clone();
        gate.park(Box::new(move |a| refused.lock().unwrap().push(a.map(|a| a.epoch()))));
        gate.set(GateState::ReadOnly);
        assert_eq!(seen.lock().unwrap()[2], Err(Refusal::ReadOnly));
        assert_eq!(gate.admit().err(), Some(Refusal::ReadOnly));
    }

    #[test]
    fn drain_waits_for_those_inside() {
        let gate = Gate::new(GateState::Open { epoch: 1 });
        let inside = gate.admit().unwrap().unwrap();
        gate.set(GateState::Closed);
        assert!(!gate.drain(Duration::from_millis(10)));
        assert!(gate.is_open_for(1), "those inside finish");
        drop(inside);
        assert!(gate.drain(Duration::from_millis(10)));
        gate.set(GateState::Open { epoch: 2 });
        assert!(!gate.is_open_for(1));
    }
}
