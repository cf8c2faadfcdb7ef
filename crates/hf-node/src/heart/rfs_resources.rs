//! Resources about the replication that the heart itself knows; the others come from rfs ([`HeartActor::on_rfs_resources`]).

use super::actor::{HeartActor, Out};
use hf_types::ResourceValue;

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
        let mode = if self.wish.full { "full" } else { "default" };
        self.set_text("usersetting.rfssyncmode", mode, out);
        self.set_text("usersetting.rfssyncrole", "default", out);
        self.set_text("usersetting.rfssyncuid", "default", out);
        // Both ways can always be gone: everything can be compared.
        self.set_resource("rfs.rfssync", ResourceValue::Up, "rfs", false, out);
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
