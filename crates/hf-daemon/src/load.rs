use crate::event::Loaded;
use crate::modules;
use hf_host::Paths;
use hf_host::cluster::{self, ClusterError, Identity};
use hf_host::files::with_causes;
use hf_types::NodeName;
use std::path::Path;
use std::time::SystemTime;

/// Reads cluster and modules from the disk. What can't be used is told and left out, so that the daemon always comes up.
pub fn load(paths: &Paths, given: Option<NodeName>) -> Loaded {
    let mut problems = Vec::new();
    let identity = Identity::of_this_machine(given);
    let member = match cluster::load(paths, &identity) {
        Ok(member) => Some(member),
        Err(ClusterError::Missing) => None,
        Err(ClusterError::Invalid(diagnostics)) => {
            problems.push(format!("the applied cluster.xml can't be used:\n{}", diagnostics.render(false)));
            None
        }
        Err(error) => {
            problems.push(with_causes(&error));
            None
        }
    };
    let cluster = member.as_ref().map(|member| &member.cluster);
    let modules = match modules::scan(paths, cluster) {
        Ok(found) => {
            problems.extend(found.errors.iter().map(|error| with_causes(error)));
            found.modules
        }
        Err(error) => {
            problems.push(with_causes(&error));
            Vec::new()
        }
    };
    Loaded { member, modules, problems }
}

/// Tells apart the states of the cluster's files, so that a copy put there by hand (until commands are distributed, this is
/// how a second node gets the key) is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp([Option<(SystemTime, u64)>; 4]);

impl Stamp {
    pub fn of(paths: &Paths) -> Stamp {
        let files = [paths.cluster_xml(), paths.cluster_key(), paths.cluster_addresses(), paths.cluster_lock()];
        Stamp(files.map(|path| stamp(&path)))
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}
