use crate::clock::Time;
use crate::facts::{Fact, acknowledges};
use hf_replica::engine::Gate;
use hf_types::{Colour, Epoch, GrantReason, ModuleState};
use hf_wire::bus::RfsRole;

/// What clients were promised, and who had which permission when.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub acked: Vec<Acked>,
    pub nodes: [Seen; 2],
    pub episodes: Vec<Episode>,
}

/// An operation that a client was told is safe.
#[derive(Clone, Debug)]
pub struct Acked {
    pub op: u64,
    pub node: usize,
    pub epoch: Epoch,
    pub at: Time,
    /// Acknowledged without the other copy.
    pub alone: bool,
    pub episode: usize,
    /// An administrator gave it up (`prim` on a copy without it), or it was on a disk that was rolled back.
    pub given_up: bool,
}

/// From one moment at which both copies are equal to the next.
#[derive(Clone, Debug, Default)]
pub struct Episode {
    /// A node went alone by silence (or by an administrator) while the network hid a living other one; or by the word of a disk of an earlier
    /// day, while the other copy might start by its own and nobody could object.
    pub isolated: bool,
    /// Who got a permission to go alone in it.
    pub moved_on: [bool; 2],
}

/// What was last seen of a node.
#[derive(Clone, Debug)]
pub struct Seen {
    pub gate: Gate,
    pub role: RfsRole,
    pub grant: Option<(Epoch, GrantReason)>,
    /// The network hid a living other node when the grant was given.
    pub isolated: bool,
    pub state: ModuleState,
    pub colour: Colour,
    pub vip: bool,
    pub rolled_back: bool,
    /// This heart heard the other node serve since it was started. Only kept for a disk of an earlier day.
    pub heard_serving: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Seen {
            gate: Gate::Closed,
            role: RfsRole::Idle,
            grant: None,
            isolated: false,
            state: ModuleState::Stop,
            colour: Colour::Red,
            vip: false,
            rolled_back: false,
            heard_serving: false,
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger { acked: Vec::new(), nodes: Default::default(), episodes: vec![Episode::default()] }
    }
}

impl Ledger {
    /// The episode that runs.
    pub fn episode(&self) -> &Episode {
        &self.episodes[self.episodes.len() - 1]
    }

    /// Whether both nodes may hold a permission of their own because the network lay between them (guide P4: without
    /// a quorum witness an isolation can split the brain).
    pub fn split(&self) -> bool {
        let episode = self.episode();
        episode.isolated && episode.moved_on == [true, true]
    }

    /// Operations that must be there and are not in `copy`.
    pub fn missing_in(&self, copy: &[u64]) -> Vec<&Acked> {
        let copy = Held::of(copy);
        self.acked.iter().filter(|acked| !acked.given_up && !copy.has(acked.op) && !self.lost_by_split(acked)).collect()
    }

    fn lost_by_split(&self, acked: &Acked) -> bool {
        let episode = &self.episodes[acked.episode];
        acked.alone && episode.isolated && episode.moved_on == [true, true]
    }

    /// Takes a fact in. Called before the invariants see it.
    pub fn learn(&mut self, fact: &Fact, beside: &Beside<'_>) {
        match fact {
            Fact::Gate { node, gate } => self.gate(*node, *gate, beside),
            Fact::Acked { node, epoch, op } => self.ack(*node, *epoch, *op, beside),
            Fact::Role { node, role } => self.nodes[*node].role = *role,
            Fact::Granted { node, epoch, why, .. } => self.granted(*node, *epoch, *why, beside),
            Fact::State { node, state, colour } => {
                (self.nodes[*node].state, self.nodes[*node].colour) = (*state, *colour)
            }
            Fact::Vip { node, set } => self.nodes[*node].vip = *set,
            Fact::Synced { node } => self.synced(*node),
            Fact::PowerCut { node } => {
                let rolled_back = self.nodes[*node].rolled_back;
                self.nodes[*node] = Seen { rolled_back, ..Seen::default() };
            }
            Fact::RolledBack { node } => {
                self.nodes[*node].rolled_back = true;
                // What was on that disk only is on none now.
                self.give_up(&beside.copies.concat());
            }
            Fact::HeartStarts { node } => self.nodes[*node].heard_serving = false,
            Fact::HeardServing { node } => self.nodes[*node].heard_serving = true,
            Fact::Fenced { .. }
            | Fact::Drained { .. }
            | Fact::Kept { .. }
            | Fact::RfsFenced { .. }
            | Fact::Record { .. }
            | Fact::SyncBegins { .. }
            | Fact::PowerOn { .. }
            | Fact::Frozen { .. }
            | Fact::Thawed { .. }
            | Fact::AtRest => {}
        }
    }

    fn gate(&mut self, node: usize, gate: Gate, beside: &Beside<'_>) {
        self.nodes[node].gate = gate;
        if self.nodes[node].rolled_back && acknowledges(gate).is_some() {
            self.give_up(beside.copies[node]);
        }
    }

    fn ack(&mut self, node: usize, epoch: Epoch, op: u64, beside: &Beside<'_>) {
        self.acked.push(Acked {
            op,
            node,
            epoch,
            at: beside.at,
            alone: !matches!(self.nodes[node].gate, Gate::InStep { .. }),
            episode: self.episodes.len() - 1,
            given_up: false,
        });
    }

    fn granted(&mut self, node: usize, epoch: Epoch, why: GrantReason, beside: &Beside<'_>) {
        let hidden = beside.hidden[node];
        let isolated = match why {
            GrantReason::Silence | GrantReason::SyncDelta { .. } => hidden,
            // A person may know that the other one stands still, or not.
            GrantReason::Administrator => hidden || beside.frozen[1 - node],
            // A disk of an earlier day says that there is nobody to ask, the other copy doesn't say so, and nobody could object.
            GrantReason::OutdatedConfirmed
            | GrantReason::Promised
            | GrantReason::Witness
            | GrantReason::Connected
            | GrantReason::NoData => {
                let seen = &self.nodes[node];
                seen.rolled_back && !seen.heard_serving && !beside.resigned[1 - node]
            }
        };
        self.nodes[node].grant = Some((epoch, why));
        self.nodes[node].isolated = isolated;
        let last = self.episodes.len() - 1;
        let episode = &mut self.episodes[last];
        episode.moved_on[node] = true;
        episode.isolated |= isolated;
        if why == GrantReason::Administrator {
            self.give_up(beside.copies[node]);
        }
    }

    /// The copies are equal, or were when the primary sent the last zone: a secondary that stood still may write it long after the primary
    /// went on alone, and what that acknowledged since belongs to the episode that begins here.
    fn synced(&mut self, node: usize) {
        // What both disks say of each other is true again.
        self.nodes.iter_mut().for_each(|seen| seen.rolled_back = false);
        let primary = 1 - node;
        let mut begins = Episode::default();
        if let Gate::Alone { epoch } = self.nodes[primary].gate {
            begins.moved_on[primary] = true;
            begins.isolated = self.nodes[primary].isolated;
            let since = self.acked.iter_mut().filter(|acked| acked.node == primary && acked.epoch == epoch);
            since.for_each(|acked| acked.episode = self.episodes.len());
        }
        self.episodes.push(begins);
    }

    fn give_up(&mut self, copy: &[u64]) {
        let copy = Held::of(copy);
        for acked in &mut self.acked {
            acked.given_up |= !copy.has(acked.op);
        }
    }
}

/// Which operations a copy holds. They are numbered from 1 on without gaps, so a flag each is the quickest set.
struct Held(Vec<bool>);

impl Held {
    fn of(copy: &[u64]) -> Held {
        let mut held = vec![false; copy.iter().max().map_or(0, |last| *last as usize + 1)];
        for op in copy {
            held[*op as usize] = true;
        }
        Held(held)
    }

    fn has(&self, op: u64) -> bool {
        self.0.get(op as usize).copied().unwrap_or(false)
    }
}

/// What the ledger needs to know beside the fact.
pub struct Beside<'a> {
    pub at: Time,
    pub copies: [&'a [u64]; 2],
    pub hidden: [bool; 2],
    pub frozen: [bool; 2],
    /// The copy's record says that the other one is to go on.
    pub resigned: [bool; 2],
}
