//! Asks the other node of a module before it is configured here.

use super::{Admin, Failure, blocking};
use crate::event::Event;
use crate::{modules as installed, prerequisites};
use hf_host::clock::wall_us;
use hf_host::random;
use hf_node::daemon::{Asked, Finding, compare_nodes};
use hf_node::heart::HeartConfig;
use hf_types::{ModuleName, NodeName};
use hf_wire::inquiry::Answer;
use std::time::Duration;
use tokio::sync::oneshot;

/// How often a node is asked that doesn't answer, and how long each time: a datagram may be lost, and it may have to look up names elsewhere.
const TRIES: u32 = 4;
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);

impl Admin {
    /// What is not as it should be for this module. What can't be asked is said, and is no error: nodes are configured one by one.
    pub(super) async fn prerequisites(&self, module: &ModuleName) -> Result<Vec<Finding>, Failure> {
        let (paths, given, name) = (self.paths.clone(), self.given.clone(), module.clone());
        let (peer, mut asked, mut found) = blocking(move || {
            let member = hf_host::cluster::load(&paths, &hf_host::cluster::Identity::of_this_machine(given))?;
            let (config, _) = installed::edited(&paths, &name, Some(&member.cluster))?;
            let heart = HeartConfig::from_config(&config, &member.cluster, &member.me);
            let (asked, found) = prerequisites::of_this_node(config.rfs.as_ref());
            Ok::<_, Failure>((heart.ok().and_then(|heart| heart.peer), asked, found))
        })
        .await??;
        let Some(peer) = peer else { return Ok(found) };
        match self.inquire(&peer, &mut asked).await? {
            Some(answer) => found.extend(compare_nodes(&peer, &asked, &answer)),
            None => found.push(Finding::Warning(format!(
                "{peer} can't be asked now: owners of files, clocks and room were not compared; 'holdfast config -m {module} --dry-run' does it \
                 once it is there"
            ))),
        }
        Ok(found)
    }

    async fn inquire(&self, peer: &NodeName, asked: &mut Asked) -> Result<Option<Answer>, Failure> {
        let nodes = self.look().await?.status.nodes;
        if !nodes.iter().any(|node| node.node == *peer && node.heard) {
            return Ok(None);
        }
        for _ in 0..TRIES {
            // Each try is a question of its own, so that the times belong to its answer.
            asked.question.ticket = random::number();
            asked.sent_us = wall_us();
            let (answer, answered) = oneshot::channel();
            self.tell(Event::Inquire { node: peer.clone(), question: asked.question.clone(), answer }).await?;
            if let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_WITHIN, answered).await {
                asked.answered_us = wall_us();
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}
