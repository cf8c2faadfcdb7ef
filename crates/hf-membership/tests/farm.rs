//! Farms of 2 to 32 nodes on a simulated network that loses, delays and reorders: joins, leaves, crashes, freezes, partitions and merges.
//!
//! Checked at every moment: numbers of views only grow; nobody outside holds anything. Where nothing but joins and leaves happen: no share is ever without
//! an owner, and none has two for longer than messages are on their way. When the network has settled: one view with everybody who is there, and
//! each share has exactly one owner.

use hf_membership::{Farm, FarmConfig, FarmEvent, GroupConfig, Share};
use hf_types::{Incarnation, Instant, LanName, NodeName};
use hf_wire::farm::{FarmPulse, SHARES};
use std::collections::BTreeMap;
use std::time::Duration;

const MS: u64 = 1_000_000;
const PULSE_MS: u64 = 100;
const LOST: u32 = 4;
/// The slowest message.
const SLOWEST_MS: u64 = 30;
/// After so long everybody knows everything, with lost messages too.
const SETTLED_MS: u64 = 6 * LOST as u64 * PULSE_MS;

/// xorshift64*: the same seed, the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}

struct Node {
    /// None: its machine is off.
    farm: Option<Farm>,
    /// It doesn't run until then.
    frozen_until: u64,
    /// On which side of the cut it is, on each LAN.
    sides: Vec<u8>,
    /// Its highest number of a view since it was started.
    number: u64,
    wants_in: bool,
}

/// A message on its way: to whom, when, from whom, on which LAN.
type Flight = (usize, usize, usize, FarmPulse);

struct World {
    dice: Dice,
    now: u64,
    names: Vec<NodeName>,
    lans: Vec<LanName>,
    nodes: Vec<Node>,
    flights: BTreeMap<(u64, u64), Flight>,
    sent: u64,
    /// In a thousand.
    loss: u64,
    incarnations: u64,
    /// Since when a share has two owners, by group.
    doubled: [Option<u64>; 2],
    worst_double_ms: u64,
    /// Whether each share must have an owner at every moment.
    covered: bool,
    lines: Vec<String>,
}

impl World {
    fn new(seed: u64, count: usize, lans: usize) -> World {
        let names: Vec<NodeName> = (1..=count).map(|n| format!("node{n}").parse().unwrap()).collect();
        let node = |_| Node { farm: None, frozen_until: 0, sides: vec![0; lans], number: 0, wants_in: false };
        World {
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now: 0,
            lans: (1..=lans).map(|n| format!("lan{n}").parse().unwrap()).collect(),
            nodes: (0..count).map(node).collect(),
            names,
            flights: BTreeMap::new(),
            sent: 0,
            loss: 0,
            incarnations: 0,
            doubled: [None; 2],
            worst_double_ms: 0,
            covered: false,
            lines: Vec::new(),
        }
    }

    fn groups(&self) -> Vec<GroupConfig> {
        let heavy = self.names.iter().enumerate().map(|(n, name)| (name.clone(), n as u32 % 4)).collect();
        vec![
            GroupConfig { name: "FarmProto".to_owned(), powers: Vec::new() },
            GroupConfig { name: "heavy".to_owned(), powers: heavy },
        ]
    }

    fn config(&self, node: usize) -> FarmConfig {
        FarmConfig {
            me: self.names[node].clone(),
            nodes: self.names.clone(),
            pulse: Duration::from_millis(PULSE_MS),
            mlost_count: LOST,
            slost_count: LOST,
            groups: self.groups(),
        }
    }

    fn at(&self) -> Instant {
        Instant(self.now * MS)
    }

    fn power_on(&mut self, node: usize) {
        self.incarnations += 1;
        let farm = Farm::new(self.config(node), Incarnation(self.incarnations));
        self.nodes[node] = Node { farm: Some(farm), number: 0, frozen_until: 0, wants_in: false, ..self.take(node) };
    }

    fn take(&mut self, node: usize) -> Node {
        let sides = self.nodes[node].sides.clone();
        std::mem::replace(
            &mut self.nodes[node],
            Node { farm: None, frozen_until: 0, sides, number: 0, wants_in: false },
        )
    }

    fn join(&mut self, node: usize) {
        if self.nodes[node].farm.is_none() {
            self.power_on(node);
        }
        let at = self.at();
        self.nodes[node].wants_in = true;
        self.nodes[node].farm.as_mut().unwrap().join(at);
        self.drain(node);
    }

    fn leave(&mut self, node: usize) {
        let at = self.at();
        self.nodes[node].wants_in = false;
        if let Some(farm) = &mut self.nodes[node].farm {
            farm.leave(at);
            self.drain(node);
        }
    }

    fn crash(&mut self, node: usize) {
        self.take(node);
    }

    /// Sends what the node has to say, and looks at what it tells.
    fn drain(&mut self, node: usize) {
        let at = self.at();
        let Some(farm) = &mut self.nodes[node].farm else { return };
        let pulse = farm.to_send(at);
        for event in farm.events() {
            if let FarmEvent::View { group, members, share } = event {
                let members: Vec<&str> = members.iter().map(NodeName::as_str).collect();
                self.lines.push(format!(
                    "{}: farm membership: {} (group {group})",
                    self.names[node],
                    members.join(" ")
                ));
                self.lines.push(format!("{}: farm load: {share}/256 (group {group})", self.names[node]));
            }
        }
        let number = farm.view().map_or(0, |view| view.id.number);
        if farm.view().is_some() {
            assert!(number >= self.nodes[node].number, "the number of a view went back");
            self.nodes[node].number = number;
        }
        let Some(pulse) = pulse else { return };
        // Through the wire, as it goes in life.
        let pulse = FarmPulse::decode(&pulse.encode()).expect("our own frame");
        for to in (0..self.nodes.len()).filter(|to| *to != node) {
            for lan in 0..self.lans.len() {
                let cut = self.nodes[to].sides[lan] != self.nodes[node].sides[lan];
                if cut || self.dice.roll(1_000) < self.loss {
                    continue;
                }
                self.sent += 1;
                let arrives = self.now + 1 + self.dice.roll(SLOWEST_MS);
                self.flights.insert((arrives, self.sent), (to, node, lan, pulse.clone()));
            }
        }
    }

    /// Time goes on by `ms`, from one event to the next.
    fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(next) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(next);
            self.deliver();
            self.let_time_pass();
            self.look();
        }
        self.now = end;
    }

    fn next_event(&self) -> Option<u64> {
        let flight = self.flights.keys().next().map(|(at, _)| *at);
        let due = self.nodes.iter().filter_map(|node| {
            let due = node.farm.as_ref()?.next_deadline()?.0.div_ceil(MS);
            Some(due.max(node.frozen_until))
        });
        let woken = self.nodes.iter().filter(|node| node.farm.is_some()).map(|node| node.frozen_until);
        flight.into_iter().chain(due).chain(woken.filter(|at| *at > self.now)).min()
    }

    fn deliver(&mut self) {
        let at = self.at();
        while let Some(entry) = self.flights.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (to, from, lan, pulse) = entry.remove();
            if self.nodes[to].frozen_until > self.now {
                // It waits in the socket.
                self.sent += 1;
                let later = self.nodes[to].frozen_until;
                self.flights.insert((later, self.sent), (to, from, lan, pulse));
                continue;
            }
            let (from, lan) = (self.names[from].clone(), self.lans[lan].clone());
            if let Some(farm) = &mut self.nodes[to].farm {
                farm.receive(at, &from, &lan, pulse);
                self.drain(to);
            }
        }
    }

    fn let_time_pass(&mut self) {
        let at = self.at();
        for node in (0..self.nodes.len()).filter(|node| self.nodes[*node].frozen_until <= self.now).collect::<Vec<_>>()
        {
            let woke = self.nodes[node].frozen_until == self.now && self.now > 0;
            let Some(farm) = &mut self.nodes[node].farm else { continue };
            if woke {
                farm.stalled(at);
            }
            if woke || farm.next_deadline().is_some_and(|due| due <= at) {
                farm.tick(at);
                self.drain(node);
                let due = self.nodes[node].farm.as_ref().and_then(Farm::next_deadline);
                assert!(due.is_none_or(|due| due > at), "it would spin");
            }
        }
    }

    /// What holds at every moment.
    fn look(&mut self) {
        for (place, group) in ["FarmProto", "heavy"].into_iter().enumerate() {
            let (mut once, mut twice) = ([0u32; SHARES / 32], 0);
            for farm in self.nodes.iter().filter_map(|node| node.farm.as_ref()) {
                let holds = holding(farm, group);
                assert!(!farm.is_outside() || holds.is_empty(), "who is outside serves nothing");
                for (all, own) in once.iter_mut().zip(holds.words()) {
                    twice |= *all & own;
                    *all |= own;
                }
            }
            if let Some(since) = self.doubled[place] {
                self.worst_double_ms = self.worst_double_ms.max(self.now - since);
            }
            self.doubled[place] = (twice != 0).then_some(self.doubled[place].unwrap_or(self.now));
            let gap = self.covered && once.iter().any(|word| *word != u32::MAX);
            assert!(!gap, "{} ms: shares of {group} without an owner", self.now);
        }
    }

    /// Who runs and wants to be in.
    fn members(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].farm.is_some() && self.nodes[*node].wants_in).collect()
    }

    /// One view among these nodes, and each share has one owner among all.
    fn agree(&self, members: &[usize]) -> Result<(), String> {
        let views: Vec<_> = members.iter().map(|node| self.nodes[*node].farm.as_ref().unwrap().view()).collect();
        let Some(first) = views.first().copied().flatten() else { return Err("no view".to_owned()) };
        if views.iter().any(|view| *view != Some(first)) {
            return Err(format!("several views: {views:#?}"));
        }
        let there: Vec<&NodeName> = first.members.iter().map(|(name, _)| name).collect();
        let wanted: Vec<&NodeName> = members.iter().map(|node| &self.names[*node]).collect();
        if there != wanted {
            return Err(format!("{there:?} are in the view, not {wanted:?}"));
        }
        for group in self.groups() {
            let powered = members.iter().any(|node| group.power(&self.names[*node]) > 0);
            for share in 0..SHARES {
                let holders = members
                    .iter()
                    .filter(|node| holding(self.nodes[**node].farm.as_ref().unwrap(), &group.name).contains(share));
                let count = holders.count();
                if count != usize::from(powered) {
                    return Err(format!("share {share} of {} has {count} owners", group.name));
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self, seed: u64) {
        self.loss = 0;
        self.nodes.iter_mut().for_each(|node| node.sides.iter_mut().for_each(|side| *side = 0));
        let late = self.nodes.iter().map(|node| node.frozen_until).max().unwrap_or_default();
        self.run(late.saturating_sub(self.now) + SETTLED_MS);
        let members = self.members();
        if let (false, Err(why)) = (members.is_empty(), self.agree(&members)) {
            panic!("seed {seed}, {} ms: {why}", self.now);
        }
    }
}

fn holding(farm: &Farm, group: &str) -> Share {
    farm.holds().find(|(name, _)| *name == group).map(|(_, share)| share).unwrap_or_default()
}

fn share_of(world: &World, node: usize) -> usize {
    holding(world.nodes[node].farm.as_ref().unwrap(), "FarmProto").len()
}

/// The reference's own case (004, 4.3.5, 6.3): two servers, then one, then two.
#[test]
fn two_servers_share_and_one_has_all() {
    let mut world = World::new(1, 2, 1);
    world.join(0);
    world.join(1);
    world.run(SETTLED_MS);
    assert_eq!((share_of(&world, 0), share_of(&world, 1)), (128, 128));
    for line in ["farm membership: node1 node2 (group FarmProto)", "farm load: 128/256 (group FarmProto)"] {
        for node in ["node1", "node2"] {
            assert!(world.lines.contains(&format!("{node}: {line}")), "{:#?}", world.lines);
        }
    }
    world.lines.clear();
    world.leave(1);
    world.run(SETTLED_MS);
    assert_eq!((share_of(&world, 0), share_of(&world, 1)), (256, 0));
    let alone = ["node1: farm membership: node1 (group FarmProto)", "node1: farm load: 256/256 (group FarmProto)"];
    assert_eq!(world.lines[..2], alone, "once each");
    world.join(1);
    world.run(SETTLED_MS);
    assert_eq!((share_of(&world, 0), share_of(&world, 1)), (128, 128));
}

/// 4.3.6: cut off from each other each has all, then it is as before.
#[test]
fn a_split_farm_has_everything_twice_until_it_is_one_again() {
    let mut world = World::new(2, 2, 2);
    world.join(0);
    world.join(1);
    world.run(SETTLED_MS);
    world.nodes[1].sides[0] = 1;
    world.run(SETTLED_MS);
    assert_eq!((share_of(&world, 0), share_of(&world, 1)), (128, 128), "the other LAN still carries it");
    world.nodes[1].sides[1] = 1;
    world.run(SETTLED_MS);
    assert_eq!((share_of(&world, 0), share_of(&world, 1)), (256, 256));
    let numbers = [world.nodes[0].number, world.nodes[1].number];
    world.nodes[1].sides = vec![0, 0];
    world.run(SETTLED_MS);
    assert_eq!((share_of(&world, 0), share_of(&world, 1)), (128, 128));
    assert!(world.nodes[0].number > numbers[0].max(numbers[1]), "a number above both");
}

#[test]
fn a_dead_server_is_replaced_within_its_time_out() {
    let mut world = World::new(3, 3, 1);
    (0..3).for_each(|node| world.join(node));
    world.run(SETTLED_MS);
    let before = [1, 2].map(|node| holding(world.nodes[node].farm.as_ref().unwrap(), "FarmProto"));
    world.crash(0);
    world.run((u64::from(LOST) + 1) * PULSE_MS + 3 * SLOWEST_MS);
    world.agree(&[1, 2]).unwrap();
    for (node, before) in [1, 2].into_iter().zip(before) {
        let after = holding(world.nodes[node].farm.as_ref().unwrap(), "FarmProto");
        assert!(before.iter().all(|share| after.contains(share)), "what a survivor had stays with it");
    }
}

/// The first of cluster.xml is gone for good: the others don't wait for it at every start.
#[test]
fn who_is_alone_listens_first() {
    let mut world = World::new(4, 2, 1);
    world.join(1);
    world.run(u64::from(LOST) * PULSE_MS - 1);
    assert_eq!(share_of(&world, 1), 0, "somebody may be there");
    world.run(2);
    assert_eq!(share_of(&world, 1), 256);
}

/// Joins and leaves alone, on a network that loses and delays: nothing is ever without an owner.
#[test]
fn planned_moves_leave_no_gap_and_overlap_only_for_a_message() {
    for seed in 0..40 {
        let count = 2 + (seed as usize % 7);
        let mut world = World::new(seed, count, 1 + seed as usize % 2);
        // One with a power in both groups stays.
        world.join(1);
        world.run(SETTLED_MS);
        world.covered = true;
        for _ in 0..12 {
            let node = world.dice.roll(count as u64) as usize;
            match node {
                1 => {}
                node if world.nodes[node].wants_in => world.leave(node),
                node => world.join(node),
            }
            let pause = world.dice.roll(SETTLED_MS);
            world.run(pause);
        }
        world.covered = false;
        // The receiver says it at once, and the giver hears it; joins that meet a leaving leader take a moment more.
        assert!(world.worst_double_ms <= 4 * SLOWEST_MS, "seed {seed}: {} ms", world.worst_double_ms);
        world.settle(seed);
    }
}

/// Everything that happens to a farm; afterwards one view and one owner for each share.
#[test]
fn whatever_happened_it_becomes_one_farm_again() {
    for seed in 0..40 {
        churn(seed, 2 + seed as usize % 6, 20);
    }
}

#[test]
fn thirty_two_nodes_with_churn() {
    churn(1_000, 32, 6);
}

fn churn(seed: u64, count: usize, steps: u64) {
    let mut world = World::new(seed, count, 1 + seed as usize % 2);
    world.loss = [0, 50, 200][seed as usize % 3];
    (0..count).for_each(|node| world.join(node));
    for _ in 0..steps {
        let node = world.dice.roll(count as u64) as usize;
        match world.dice.roll(8) {
            0 => world.crash(node),
            1 => world.leave(node),
            2 | 3 => world.join(node),
            4 if world.nodes[node].farm.is_some() => {
                world.nodes[node].frozen_until = world.now + 1 + world.dice.roll(3 * SETTLED_MS / 2);
            }
            5 => {
                let lan = world.dice.roll(world.lans.len() as u64) as usize;
                for node in 0..count {
                    world.nodes[node].sides[lan] = world.dice.roll(2) as u8;
                }
            }
            6 => world.nodes.iter_mut().for_each(|node| node.sides.iter_mut().for_each(|side| *side = 0)),
            _ => {}
        }
        let pause = world.dice.roll(SETTLED_MS);
        world.run(pause);
    }
    world.settle(seed);
}
