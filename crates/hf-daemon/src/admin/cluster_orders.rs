//! `cluster ...`: configuration, key, lock, names (reference 004, 9.3 and 12.2).

use super::{Admin, Failure, Replies, blocking, unless_empty};
use crate::load::load;
use crate::modules::{self, NameNews};
use hf_config::check_cluster;
use hf_host::Paths;
use hf_host::cluster::{self, ClusterError, Identity, LookedUp, NewKey};
use hf_types::{ModuleName, ModuleState};
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
            replies.insert(0, Reply::Insecure { text: INSECURE.to_owned() });
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
        let mut goes_on = Vec::new();
        if key == ClusterKeySource::InsecurePlaintext {
            self.check_stopped("the cluster's key can't be taken away").await?;
        } else if !only_lock {
            goes_on = self.check_fits(&file, xml.as_deref()).await?;
        }
        let running = !goes_on.is_empty();
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
                hand_over(&paths, &identity, running)?;
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
            replies.extend(running.then(|| Reply::Progress { text: going_on(&goes_on) }));
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
        let running = self.running_here().await?;
        let runs = running.clone();
        let (found, news, loaded) = blocking(move || {
            let found = cluster::resolve(&paths)?;
            let news = modules::look_up_again(&paths, &|module| runs.contains(module))?;
            Ok::<_, Failure>((found, news, load(&paths, given)))
        })
        .await??;
        self.reload(loaded).await?;
        let mut replies = resolved(&found, &news);
        replies.extend(news.iter().map(|news| Reply::Progress { text: told(news, running.contains(&news.module)) }));
        if found.is_news() && !running.is_empty() {
            let names = running.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let text =
                format!("The daemon uses the new addresses now, and so does what runs ({names}): its log says which.");
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

    /// Modules that run, here or where this node's word reaches, and that go on with the new configuration. Refused if one of them can't.
    async fn check_fits(&self, file: &str, xml: Option<&str>) -> Result<Vec<String>, Failure> {
        let (running, leaving) = self.running().await?;
        if running.is_empty() || leaving {
            self.check_stopped("the cluster's configuration or key can't be changed").await?;
            return Ok(Vec::new());
        }
        let (paths, given) = (self.paths.clone(), self.given.clone());
        let (file, xml) = (file.to_owned(), xml.map(str::to_owned));
        let names: Vec<String> = running.keys().cloned().collect();
        let unfit = blocking(move || {
            let member = cluster::load(&paths, &Identity::of_this_machine(given))?;
            let Some(xml) = xml else {
                return Ok(Vec::new()); // the same configuration under another key
            };
            let after = cluster::preview(&paths, &file, &xml)?;
            let why =
                |name: &String| Some((name.clone(), modules::why_not(&paths, &name.parse().ok()?, &member, &after)));
            Ok::<_, ClusterError>(names.iter().filter_map(why).filter(|(_, why)| !why.is_empty()).collect::<Vec<_>>())
        })
        .await??;
        if unfit.is_empty() {
            return Ok(running.into_keys().collect());
        }
        let told = |(name, why): &(String, Vec<String>)| format!("{name} has to be stopped first: {}", why.join("; "));
        let message = unfit.iter().map(told).collect::<Vec<_>>().join(". ");
        let hint: Vec<String> = unfit.iter().map(|(name, _)| format!("holdfast stop -m {name}")).collect();
        Err(Failure::hinted(message, &format!("on both nodes, the secondary first: {}", hint.join("; "))))
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

    /// The modules that run on this node; the hearts of stopped ones are waited for.
    async fn running_here(&self) -> Result<Vec<ModuleName>, Failure> {
        let end = tokio::time::Instant::now() + LEAVING;
        loop {
            let snapshot = self.look().await?;
            let mut here = snapshot.status.modules.iter().filter(|status| status.node == snapshot.me);
            let leaves =
                here.any(|status| status.state == ModuleState::Stop && snapshot.running.contains(&status.module));
            if !leaves || tokio::time::Instant::now() >= end {
                return Ok(snapshot.running);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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

/// A key that is replaced while modules run stays good until every node has the new one. Of two changes in a row the first key counts: it is the
/// one that the other nodes have.
fn hand_over(paths: &Paths, identity: &Identity, running: bool) -> Result<(), ClusterError> {
    match cluster::load(paths, identity) {
        Ok(member) if running && member.key_before.is_none() => Ok(cluster::hand_over(paths, &member.key)?),
        Ok(_) if !running => Ok(cluster::end_hand_over(paths)?),
        _ => Ok(()),
    }
}

fn going_on(modules: &[String]) -> String {
    format!(
        "What runs goes on ({}). The key before is good until every node has the new one, so carry the files over now: the log of safeadmin says \
         when that is done.",
        modules.join(", ")
    )
}

fn locked(on: bool) -> &'static str {
    if on {
        "The cluster configuration of this node is locked."
    } else {
        "The cluster configuration of this node is unlocked."
    }
}

/// News of a name in a module's configuration.
fn told(news: &NameNews, runs: bool) -> String {
    let NameNews { module, name, before, now } = news;
    match now {
        Err(why) => format!("{why}; {module} keeps the address from before"),
        Ok(now) if runs => format!(
            "{name} of {module}: {now} now, and {module} goes on with {before} while it runs. Call 'holdfast stop -m {module}' on both nodes, \
             the secondary first, then 'holdfast cluster resolve' again on both"
        ),
        Ok(now) => format!("{name} of {module}: {now} (before: {before})"),
    }
}

fn resolved(found: &LookedUp, news: &[NameNews]) -> Vec<Reply> {
    let changed = found.changed.iter().map(|(name, before, now)| match before {
        Some(before) => format!("{name}: {now} (before: {before})"),
        None => format!("{name}: {now}"),
    });
    let kept = found.kept.iter().map(|why| format!("{why}; the address from before stays"));
    let mut lines: Vec<String> = changed.chain(kept).collect();
    if lines.is_empty() && news.is_empty() {
        lines.push("Every name has the address that it had.".to_owned());
    }
    lines.into_iter().map(|text| Reply::Progress { text }).collect()
}
