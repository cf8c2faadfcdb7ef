//! Names in cluster.xml that have no address yet: a cluster.xml that was copied here by hand, or a name server that was away.

use crate::shell::Shell;
use hf_host::cluster;
use hf_host::files::with_causes;
use hf_types::Instant;
use std::time::Duration;

/// How often missing names are looked up.
const AGAIN: Duration = Duration::from_secs(30);

impl Shell {
    /// Looks up, away from the loop. What is found is a changed file, which the loop notices.
    pub(crate) fn look_up_missing_names(&mut self, now: Instant) {
        if !self.names_missing || self.names_tried.is_some_and(|tried| now.since(tried) < AGAIN) {
            return;
        }
        self.names_tried = Some(now);
        let paths = self.paths.clone();
        tokio::task::spawn_blocking(move || match cluster::resolve(&paths) {
            Ok(found) => found.unknown.iter().for_each(|why| tracing::warn!("a node's name has no address: {why}")),
            Err(error) => tracing::warn!("names can't be looked up: {}", with_causes(&error)),
        });
    }
}
