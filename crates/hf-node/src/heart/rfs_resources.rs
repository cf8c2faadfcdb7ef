//! Resources about the replication that the heart itself knows; the others come from rfs ([`HeartActor::on_rfs_resources`]).

use super::HeartEffect;
use super::actor::{HeartActor, Out, log};
use hf_types::{Event, ResourceValue, SyncPolicy, SyncWish, Ticket};
use hf_wire::bus::{HeartToDaemon, HeartToRfs};

impl HeartActor {
    pub(super) fn publish_rfs(&mut self, out: &mut Out) {
        let up_to_date = self.rfs.copy.as_ref().map(|copy| copy.up_to_date && copy.consistent);
        let value = up_to_date.map_or(ResourceValue::Init, up_or_down);
        self.set_resource("rfs.uptodate", value, "rfs", false, out);
        self.publish_synced(out);
        if let Some(copy) = &self.rfs.copy {
            self.set_shown("rfs.generation", copy.generation, "rfs", out);
        }
        self.publish_disk(out);
        self.publish_degraded(out);
        self.publish_sync_mode(out);
        self.publish_schedule(out);
        let encryption = if self.config.encrypted { "on" } else { "off" };
        self.set_text("usersetting.encryption", encryption, out);
    }

    /// A failure is known until another rfs has begun.
    pub(super) fn publish_disk(&mut self, out: &mut Out) {
        let value = match (self.rfs.disk_failed, self.rfs.known) {
            (true, _) => ResourceValue::Down,
            (false, true) => ResourceValue::Up,
            (false, false) => return,
        };
        let loud = value == ResourceValue::Down || self.is_down("rfs.disk");
        self.set_resource("rfs.disk", value, "rfs", loud, out);
    }

    /// Reference 004, 5.6: the application runs on, and its replication can't serve another copy until the module is stopped and
    /// started. A primary that is merely alone waits for the other copy and is not degraded.
    pub(super) fn is_degraded(&self) -> bool {
        self.state().is_primary() && self.rfs.disk_failed && self.rfs.alone.is_some()
    }

    pub(super) fn publish_degraded(&mut self, out: &mut Out) {
        let degraded = self.is_degraded();
        let was = self.resources.now.get("rfs.degraded").is_some_and(|now| now.value == ResourceValue::Up);
        self.set_resource("rfs.degraded", up_or_down(degraded), "nfsadmin", degraded || was, out);
    }

    /// Reference 004, 13.6.4.9.
    fn publish_sync_mode(&mut self, out: &mut Out) {
        let policy = match self.sync_policy {
            SyncPolicy::Default if self.wish.full => SyncPolicy::Full,
            _ => self.sync_policy.clone(),
        };
        let (mode, role, uid) = policy.settings();
        self.set_text("usersetting.rfssyncmode", mode, out);
        self.set_text("usersetting.rfssyncrole", role, out);
        self.set_text("usersetting.rfssyncuid", uid, out);
        // Each way can always be gone: everything can be compared.
        self.set_resource("rfs.rfssync", ResourceValue::Up, "rfs", false, out);
    }

    /// `rfssync`: it is on the disk. Of the synchronisation that runs it changes nothing.
    pub(super) fn on_rfssync(&mut self, ticket: Ticket, policy: SyncPolicy, out: &mut Out) {
        log(out, Event::Text(format!("Next synchronisation: {policy}")));
        self.wish = SyncWish { full: false, ..self.wish }.with(policy.wish());
        self.sync_policy = policy;
        if self.config.replicates && self.rfs.known {
            out.push(HeartEffect::ToRfs(HeartToRfs::Wish(self.wish)));
        }
        out.push(HeartEffect::ToDaemon(HeartToDaemon::Answer { ticket, result: Ok(()) }));
    }

    /// A synchronisation has succeeded.
    pub(super) fn end_sync_policy(&mut self, out: &mut Out) {
        self.wish = SyncWish::default();
        if self.sync_policy != SyncPolicy::Default {
            self.sync_policy = SyncPolicy::Default;
            out.push(HeartEffect::ForgetSyncPolicy);
        }
    }

    fn set_text(&mut self, name: &str, text: &str, out: &mut Out) {
        self.set_shown(name, text, "heart", out);
    }

    fn is_down(&self, name: &str) -> bool {
        self.resources.now.get(name).is_some_and(|now| now.value == ResourceValue::Down)
    }
}

fn up_or_down(up: bool) -> ResourceValue {
    if up { ResourceValue::Up } else { ResourceValue::Down }
}
