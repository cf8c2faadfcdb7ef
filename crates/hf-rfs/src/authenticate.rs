//! Both ends of the replication link prove that they have the cluster's key.

use hf_fs::link::{Authenticate, Limited};
use hf_seal::{
    ClusterKey, Initiator, LINK_ANSWER_LEN, LINK_HELLO_LEN, LINK_PROOF_LEN, LinkError, LinkStep, Responder, os_rng,
};
use std::io::{self, Read, Write};

/// The proof for one module's link between two nodes.
pub struct ByClusterKey {
    pub key: ClusterKey,
    pub purpose: String,
    pub me: String,
    pub peer: String,
}

impl Authenticate for ByClusterKey {
    fn initiate(&self, stream: &mut Limited<'_>) -> Result<(), String> {
        let (initiator, hello) = Initiator::start(&self.key, &self.purpose, &self.me, &self.peer, &mut os_rng());
        stream.write_all(&hello).map_err(broke)?;
        let answer = read::<LINK_ANSWER_LEN>(stream)?;
        let (proof, _key) = initiator.next(&answer).map_err(refused)?;
        stream.write_all(&proof).map_err(broke)
    }

    fn respond(&self, stream: &mut Limited<'_>) -> Result<(), String> {
        let mut responder = Responder::new(&self.key, &self.purpose, &self.me, &self.peer, &mut os_rng());
        let hello = read::<LINK_HELLO_LEN>(stream)?;
        match responder.next(&hello).map_err(refused)? {
            LinkStep::Send(answer) => stream.write_all(&answer).map_err(broke)?,
            LinkStep::Done(_) => return Ok(()),
        }
        let proof = read::<LINK_PROOF_LEN>(stream)?;
        match responder.next(&proof).map_err(refused)? {
            LinkStep::Done(_) => Ok(()),
            LinkStep::Send(_) => Err("the proof was not the last step".to_owned()),
        }
    }
}

fn read<const LENGTH: usize>(stream: &mut Limited<'_>) -> Result<[u8; LENGTH], String> {
    let mut bytes = [0; LENGTH];
    stream.read_exact(&mut bytes).map_err(broke)?;
    Ok(bytes)
}

// By value, for map_err.
#[expect(clippy::needless_pass_by_value)]
fn broke(error: io::Error) -> String {
    format!("the other end did not finish its proof: {error}")
}

#[expect(clippy::needless_pass_by_value)]
fn refused(error: LinkError) -> String {
    error.to_string()
}
