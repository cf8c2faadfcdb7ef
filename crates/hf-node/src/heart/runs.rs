//! Which run of the application this is. Modules that depend on this one see by it that the application was started anew between two of
//! their questions (reference 004, 13.16).

use super::actor::{HeartActor, Out};
use hf_module::Plan;
use hf_types::ResourceValue;

/// A text that is another one after every start of the application, on whichever node.
const RESOURCE: &str = "heart.run";

impl HeartActor {
    /// A plan that leads to a running application has ended.
    pub(super) fn note_run(&mut self, plan: &Plan, out: &mut Out) {
        // ALONE became PRIM or the other way round: what runs in both of them went on.
        let went_on = plan.from.is_primary() && plan.next.is_primary() && plan.from != plan.next;
        if went_on && self.runs > 0 {
            return;
        }
        self.runs += 1;
        let run = scrambled(self.incarnation.0 ^ scrambled(self.runs));
        self.set_resource(RESOURCE, ResourceValue::Text(format!("{run:016x}")), "heart", false, out);
    }
}

/// Two different numbers give two different ones, from which nobody can tell how often the application was started (SplitMix64).
fn scrambled(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
