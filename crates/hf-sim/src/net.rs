use crate::clock::{MS, Time};
use crate::rng::Rng;

/// How a lane carries what goes from one node to the other.
#[derive(Clone, Debug)]
pub struct Direction {
    /// Nothing passes: a partition holds (a number, because partitions may overlap).
    pub blocked: u32,
    /// Datagrams lost, in a thousand.
    pub loss: u64,
    /// Shortest and longest time on the way; different for each datagram, so that they overtake each other.
    pub delay: (Time, Time),
}

impl Default for Direction {
    fn default() -> Self {
        Direction { blocked: 0, loss: 0, delay: (MS / 20, MS) }
    }
}

/// What happens to a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Lost,
    /// Arrives after this time.
    Arrives(Time),
}

/// The networks between the two nodes: `lanes[lane][from]`.
#[derive(Clone, Debug)]
pub struct Net {
    pub lanes: Vec<[Direction; 2]>,
    /// When the newest heartbeat was sent by a node, and the newest that arrived at the other (by its time of sending).
    sent: [Time; 2],
    arrived: [Time; 2],
}

/// News younger than this on their way are no isolation.
const SLACK: Time = 100 * MS;

impl Net {
    pub fn new(lanes: usize) -> Net {
        Net { lanes: vec![Default::default(); lanes], sent: [0; 2], arrived: [0; 2] }
    }

    /// Draws the fate of a datagram.
    pub fn datagram(&self, rng: &mut Rng, lane: usize, from: usize) -> Fate {
        let Some(way) = self.lanes.get(lane).map(|l| &l[from]) else {
            return Fate::Lost;
        };
        if way.blocked > 0 || rng.chance(way.loss) {
            Fate::Lost
        } else {
            Fate::Arrives(rng.range(way.delay.0, way.delay.1))
        }
    }

    pub fn heartbeat_sent(&mut self, from: usize, at: Time) {
        self.sent[from] = self.sent[from].max(at);
    }

    pub fn heartbeat_arrived(&mut self, from: usize, sent_at: Time) {
        self.arrived[from] = self.arrived[from].max(sent_at);
    }

    /// Something newer arrived before.
    pub fn is_old(&self, from: usize, sent_at: Time) -> bool {
        sent_at <= self.arrived[from]
    }

    /// Whether the network hides from `node` that the other one lives: the other sent a heartbeat that did not arrive,
    /// and nothing newer did. That is what "isolation" means for the invariants.
    pub fn hides_peer_of(&self, node: usize) -> bool {
        let from = 1 - node;
        self.sent[from] > self.arrived[from] + SLACK
    }

    /// Whether a stream on this lane stands still (a lost packet of a stream is only late).
    pub fn stream_blocked(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_none_or(|l| l[0].blocked > 0 || l[1].blocked > 0)
    }

    /// How long a part of a stream is on its way.
    pub fn stream_delay(&self, rng: &mut Rng, lane: usize, from: usize) -> Time {
        let way = &self.lanes[lane][from];
        let mut delay = rng.range(way.delay.0, way.delay.1);
        if rng.chance(way.loss) {
            delay += rng.range(200 * MS, 1000 * MS);
        }
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_that_does_not_arrive_hides_its_sender() {
        let mut net = Net::new(1);
        net.heartbeat_sent(0, 1000 * MS);
        net.heartbeat_arrived(0, 1000 * MS);
        assert!(!net.hides_peer_of(1));
        net.heartbeat_sent(0, 1500 * MS);
        assert!(net.hides_peer_of(1));
        assert!(!net.hides_peer_of(0));
    }
}
