use crate::clock::{MS, SEC, Time};
use crate::event::{Event, OnNode};
use crate::facts::Fact;
use crate::world::World;

impl World {
    /// Cuts the power of nodes; each comes back after about `off`.
    pub(super) fn cut_power(&mut self, nodes: [bool; 2], rollback: bool, off: Time) {
        for node in (0..2).filter(|node| nodes[*node]) {
            self.power_off(node);
            if rollback && let Some(earlier) = self.nodes[node].snapshot.clone() {
                self.note(Some(node), || format!("disk of an earlier day: {:?}", earlier.records));
                self.nodes[node].disk.records = earlier.records;
                self.nodes[node].disk.data = earlier.data;
                self.nodes[node].disk.manifest = earlier.manifest;
                self.fact(Fact::RolledBack { node });
            }
            let after = off + self.dice.shell.below(4 * SEC);
            self.schedule(after, Event::PowerOn { node });
        }
    }

    /// Everything that is not on the disk is gone.
    pub(crate) fn power_off(&mut self, node: usize) {
        if !self.nodes[node].powered {
            return;
        }
        self.note(Some(node), || "POWER CUT".to_owned());
        if let Some(engine) = self.nodes[node].engine.take() {
            self.finish_records_of_the_dead(node, &engine);
            if let Some(link) = engine.link {
                self.silent_end(link, 1 - node);
            }
        }
        self.vip_dies(node);
        let dice = &mut self.dice.disk;
        let state = &mut self.nodes[node];
        state.disk.data.power_cut(dice);
        state.powered = false;
        state.frozen_since = None;
        state.waiting.clear();
        (state.daemon, state.heart, state.rfs) = (None, None, None);
        state.mount = Default::default();
        state.application = false;
        state.scripts.clear();
        state.ended.clear();
        state.last_status = None;
        (state.heart_starting, state.rfs_starting) = (false, false);
        self.fact(Fact::PowerCut { node });
    }

    /// The other side of a connection whose peer lost power notices by itself, some time.
    fn silent_end(&mut self, link: u64, other: usize) {
        let after = self.dice.net.range(SEC, 20 * SEC);
        let why = "no answer";
        self.on_node(other, after, OnNode::LinkGone { link, why });
    }

    pub(crate) fn power_on(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        if state.powered {
            return;
        }
        state.powered = true;
        state.boots += 1;
        state.boot_id = format!("boot-{}-{}", node + 1, state.boots);
        state.booted_at = self.now;
        state.queues = [0; 5];
        self.note(Some(node), || "power on".to_owned());
        self.fact(Fact::PowerOn { node });
        let after = self.dice.shell.range(10 * MS, 500 * MS);
        self.on_node(node, after, OnNode::SpawnDaemon);
    }
}
