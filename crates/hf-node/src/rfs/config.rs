use super::RfsConfig;
use hf_config::{AsyncMode, Rfs};
use std::time::Duration;

impl From<&Rfs> for RfsConfig {
    fn from(rfs: &Rfs) -> RfsConfig {
        RfsConfig {
            dirs: rfs.replicated.iter().map(|replicated| replicated.dir.clone()).collect(),
            async_second: rfs.async_mode == AsyncMode::Second,
            send_timeout: Duration::from_millis(rfs.send_timeout_ms),
            lock_timeout: Duration::from_millis(rfs.lock_timeout_ms),
            notes_synced: rfs.sync_delta_ms.is_some(),
            zero_s: 0,
        }
    }
}
