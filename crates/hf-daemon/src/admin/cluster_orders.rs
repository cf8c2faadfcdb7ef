//! `cluster ...`: configuration, key, lock, names (reference 004, 9.3 and 12.2).

use super::{Admin, Failure, Replies, blocking, unless_empty};
use crate::load::load;
use hf_config::check_cluster;
use hf_host::cluster::{self, ClusterError, Identity, LookedUp, NewKey};
use hf_types::ModuleState;
use hf_wire::bus::{ClusterKeySource, ClusterOrder, Reply};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the heart of a stopped module may take to leave.
const LEAVING: Duration = Duration::from_secs(3);
const INSECURE: &str = "WARNING: this cluster has no key (insecure-plaintext): whoever is on its networks can read and forge what the \
                        nodes say to each other. 'holdfast cluster genkey' makes a key.";
const CARRY: &str = "The other nodes need the same files: copy cluster.xml and cluster.key from SAFEVAR/cluster to SAFEVAR/cluster there; \
                     their daemons notice. 'holdfast cluster confinfo' shows whether all have the same.";

impl Admin {
    pub(super) async fn cluster_order(&self, order: ClusterOrder) -> Replies {
        match order {
            ClusterOrder::Confcheck { file, xml } => {
                let checked = check_cluster(&xml, &file);
                match checked.value {
                    Some(_) => Ok(unless_empty(&checked.diagnostics)),
                    None => Err(ClusterError::Invalid(Box::new(checked.diagnostics)).into()),
                }
            }
            ClusterOrder::Deconfig => self.cluster_deconfig().await,
            ClusterOrder::Genkey => {
                self.cluster_config("cluster.xml".to_owned(), None, ClusterKeySource::Fresh, None).await
            }
            ClusterOrder::Delkey => {
                self.cluster_config("cluster.xml".to_owned(), None, ClusterKeySource::InsecurePlaintext, None).await
            }
            ClusterOrder::Resolve => self.cluster_resolve().await,
            ClusterOrder::State => {
                Ok(self.warned(vec![Reply::ClusterState { modules: self.look().await?.configured }]))
            }
        }
    }

    /// Answers that show states say in front that nothing protects what they rest on.
    pub(super) fn warned(&self, mut replies: Vec<Reply>) -> Vec<Reply> {
        if cluster::is_insecure(&self.paths) {
            replies.insert(0, Reply::Progress { text: INSECURE.to_owned() });
        }
        replies
    }

    pub(super) async fn cluster_config(
        &self,
        file: String,
        xml: Option<String>,
        key: ClusterKeySource,
        lock: Option<bool>,
    ) -> Replies {
        let _one_at_a_time = self.changing.lock().await;
        self.check_unlocked(lock)?;
        let only_lock = xml.is_none() && key == ClusterKeySource::Keep;
        if !only_lock {
            self.check_stopped("the cluster's configuration or key can't be changed").await?;
        }
        let (paths, given) = (self.paths.clone(), self.given.clone());
        let key = match key {
            ClusterKeySource::Fresh => NewKey::Fresh,
            ClusterKeySource::Given(text) => NewKey::Given(text),
            ClusterKeySource::InsecurePlaintext => NewKey::InsecurePlaintext,
            ClusterKeySource::Keep => NewKey::Keep,
        };
        let loaded = blocking(move || {
            let identity = Identity::of_this_machine(given.clone());
            if !only_lock {
                cluster::apply(&paths, &identity, &file, xml.as_deref(), &key)?;
            }
            if let Some(on) = lock {
                cluster::lock(&paths, on)?;
            }
            Ok::<_, ClusterError>(load(&paths, given))
        })
        .await??;
        self.reload(loaded).await?;
        let mut replies = Vec::new();
        if !only_lock {
            let text = format!("The cluster configuration is applied on this node. {CARRY}");
            replies = self.warned(vec![Reply::Progress { text }]);
        }
        replies.extend(lock.map(|on| Reply::Progress { text: locked(on).to_owned() }));
        Ok(replies)
    }

    async fn cluster_deconfig(&self) -> Replies {
        let _one_at_a_time = self.changing.lock().await;
        self.check_unlocked(None)?;
        self.check_stopped("the cluster's configuration can't be removed").await?;
        let (paths, given) = (self.paths.clone(), self.given.clone());
        let loaded = blocking(move || {
            cluster::remove(&paths)?;
            Ok::<_, ClusterError>(load(&paths, given))
        })
        .await??;
        self.reload(loaded).await?;
        let text = "This node belongs to no cluster any more; its key is gone. The other nodes keep theirs.".to_owned();
        Ok(vec![Reply::Progress { text }])
    }

    async fn cluster_resolve(&self) -> Replies {
        let _one_at_a_time = self.changing.lock().await;
        let (paths, given) = (self.paths.clone(), self.given.clone());
        let (found, loaded) = blocking(move || {
            let found = cluster::resolve(&paths)?;
            Ok::<_, ClusterError>((found, load(&paths, given)))
        })
        .await??;
        let running = self.look().await?.running;
        self.reload(loaded).await?;
        let mut replies = resolved(&found);
        if found.is_news() && !running.is_empty() {
            let names = running.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let text =
                format!("The daemon uses the new addresses now; what runs ({names}) uses them from its next start on.");
            replies.push(Reply::Progress { text });
        }
        if found.unknown.is_empty() {
            return Ok(replies);
        }
        Err(Failure::hinted(
            ClusterError::Names(found.unknown).to_string(),
            "correct the name server or /etc/hosts, and call the command again",
        ))
    }

    fn check_unlocked(&self, lock: Option<bool>) -> Result<(), Failure> {
        if lock == Some(false) || !cluster::is_locked(&self.paths) {
            return Ok(());
        }
        Err(Failure::hinted(
            "the cluster's configuration is locked on this node",
            "holdfast cluster config [FILE] unlock",
        ))
    }

    /// Hearts would go on with the configuration of their start, and nodes with different keys don't hear each other: both could end up as
    /// primaries. So nothing may run, here or where this node's word reaches.
    async fn check_stopped(&self, what: &str) -> Result<(), Failure> {
        let end = tokio::time::Instant::now() + LEAVING;
        let running = loop {
            let (running, leaving) = self.running().await?;
            if !leaving || running.is_empty() || tokio::time::Instant::now() >= end {
                break running;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        if running.is_empty() {
            return Ok(());
        }
        let list = |(module, nodes): (&String, &Vec<String>)| format!("{module} (on {})", nodes.join(", "));
        let message = format!("{what} while modules run: {}", running.iter().map(list).collect::<Vec<_>>().join(", "));
        let hint: Vec<String> = running.keys().map(|module| format!("holdfast stop -m {module}")).collect();
        Err(Failure::hinted(message, &format!("stop each on both nodes, the secondary first: {}", hint.join("; "))))
    }

    /// Modules with the nodes where they run; and whether all of these have stopped already, with hearts that are about to leave.
    async fn running(&self) -> Result<(BTreeMap<String, Vec<String>>, bool), Failure> {
        let snapshot = self.look().await?;
        let (mut running, mut leaving) = (BTreeMap::<String, Vec<String>>::new(), true);
        for status in &snapshot.status.modules {
            let here = status.node == snapshot.me && snapshot.running.contains(&status.module);
            let stopped = matches!(status.state, ModuleState::Stop | ModuleState::Unknown);
            if here || !stopped {
                running.entry(status.module.to_string()).or_default().push(status.node.to_string());
                leaving &= stopped;
            }
        }
        Ok((running, leaving))
    }
}

fn locked(on: bool) -> &'static str {
    if on {
        "The cluster configuration of this node is locked."
    } else {
        "The cluster configuration of this node is unlocked."
    }
}

fn resolved(found: &LookedUp) -> Vec<Reply> {
    let changed = found.changed.iter().map(|(name, before, now)| match before {
        Some(before) => format!("{name}: {now} (before: {before})"),
        None => format!("{name}: {now}"),
    });
    let kept = found.kept.iter().map(|why| format!("{why}; the address from before stays"));
    let mut lines: Vec<String> = changed.chain(kept).collect();
    if lines.is_empty() {
        lines.push("Every name has the address that it had.".to_owned());
    }
    lines.into_iter().map(|text| Reply::Progress { text }).collect()
}
