use hf_types::{Epoch, GenerationId, GrantReason};
use serde::{Deserialize, Serialize};

/// Permission to acknowledge without the other copy (guide P4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub epoch: Epoch,
    /// The generation that begins with it.
    pub generation: GenerationId,
    pub why: GrantReason,
}

/// What speaks for and against a permission at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The generation in which both copies were in step.
    pub generation: GenerationId,
    /// Since when the other copy is durably outdated, as it said itself (in a heartbeat or over the link).
    pub peer_outdated: Option<GenerationId>,
    /// The generation in which the other heart promised not to take over.
    pub peer_promised: Option<GenerationId>,
    /// The other node's daemon confirmed that nothing of the module can acknowledge there.
    pub peer_fenced: bool,
    /// Every lane was silent for its time-out, none of it during a stall of ours.
    pub silent: bool,
    /// This node stood still and has not yet listened for long enough.
    pub listening: bool,
}

/// What a heart answers to its rfs that asks to go on alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Grant(GrantReason),
    /// Not yet: ask the peer to outdate its copy, and listen.
    Ask,
}

/// Something outside of both nodes that remembers who is in step (guide P4 (b)). None is built yet.
pub trait Witness {
    /// Whether a witness is configured: silence alone is no ground then.
    fn is_configured(&self) -> bool;
    /// Whether it has recorded this node as the only one in step in `generation`.
    fn recorded_alone(&self, generation: GenerationId) -> bool;
}

/// No witness is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoWitness;

impl Witness for NoWitness {
    fn is_configured(&self) -> bool {
        false
    }

    fn recorded_alone(&self, _generation: GenerationId) -> bool {
        false
    }
}

/// Decides whether this node may acknowledge alone. The order is that of P4: the surest ground first.
pub fn decide(evidence: &Evidence, witness: &impl Witness) -> Verdict {
    if evidence.peer_outdated == Some(evidence.generation) || evidence.peer_fenced {
        Verdict::Grant(GrantReason::OutdatedConfirmed)
    } else if witness.is_configured() && witness.recorded_alone(evidence.generation) {
        Verdict::Grant(GrantReason::Witness)
    } else if evidence.peer_promised == Some(evidence.generation) {
        Verdict::Grant(GrantReason::Promised)
    } else if evidence.silent && !evidence.listening && !witness.is_configured() {
        Verdict::Grant(GrantReason::Silence)
    } else {
        Verdict::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Evidence = Evidence {
        generation: GenerationId(4),
        peer_outdated: None,
        peer_promised: None,
        peer_fenced: false,
        silent: false,
        listening: false,
    };

    struct Silent;
    impl Witness for Silent {
        fn is_configured(&self) -> bool {
            true
        }
        fn recorded_alone(&self, generation: GenerationId) -> bool {
            generation == GenerationId(9)
        }
    }

    #[test]
    fn each_ground_and_none() {
        assert_eq!(decide(&NOTHING, &NoWitness), Verdict::Ask);
        let confirmed = Evidence { peer_outdated: Some(GenerationId(4)), ..NOTHING };
        assert_eq!(decide(&confirmed, &NoWitness), Verdict::Grant(GrantReason::OutdatedConfirmed));
        let other = Evidence { peer_outdated: Some(GenerationId(3)), ..NOTHING };
        assert_eq!(decide(&other, &NoWitness), Verdict::Ask, "outdated since another generation");
        let promised = Evidence { peer_promised: Some(GenerationId(4)), ..NOTHING };
        assert_eq!(decide(&promised, &NoWitness), Verdict::Grant(GrantReason::Promised));
        let silent = Evidence { silent: true, ..NOTHING };
        assert_eq!(decide(&silent, &NoWitness), Verdict::Grant(GrantReason::Silence));
        let thawed = Evidence { listening: true, ..silent };
        assert_eq!(decide(&thawed, &NoWitness), Verdict::Ask);
    }

    #[test]
    fn with_a_witness_silence_is_no_ground() {
        let silent = Evidence { silent: true, ..NOTHING };
        assert_eq!(decide(&silent, &Silent), Verdict::Ask);
        let recorded = Evidence { generation: GenerationId(9), ..NOTHING };
        assert_eq!(decide(&recorded, &Silent), Verdict::Grant(GrantReason::Witness));
    }
}
