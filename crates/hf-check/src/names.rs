//! The machine that a checker asks.

use crate::aside::Aside;
use hf_config::Target;
use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;
use tokio::time::timeout;

/// Of a name with more addresses, so many are asked.
const ADDRESSES_MAX: usize = 8;

/// The addresses of a target. A name is looked up at each look; while that fails, the addresses that it had last are used,
/// because a name server that doesn't answer says nothing about the machine that is checked.
pub struct Names {
    target: Target,
    aside: Aside<Result<Vec<IpAddr>, String>>,
    known: Vec<IpAddr>,
}

impl Names {
    pub fn new(target: Target) -> Names {
        Names { target, aside: Aside::default(), known: Vec::new() }
    }

    /// The target as the configuration has it.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// At least one address, or why there is none. Takes `patience` at most.
    ///
    /// # Errors
    /// A part of a sentence.
    pub async fn addresses(&mut self, patience: Duration) -> Result<Vec<IpAddr>, String> {
        let name = match &self.target {
            Target::Address(address) => return Ok(vec![*address]),
            Target::Name(name) => name.clone(),
        };
        let asked = name.clone();
        let failed = match timeout(patience, self.aside.run(move || look_up(&asked))).await {
            Ok(Ok(Ok(found))) => {
                self.known.clone_from(&found);
                return Ok(found);
            }
            Ok(Ok(Err(why))) => why,
            Ok(Err(panicked)) => panicked.to_string(),
            Err(_) => format!("no answer within {} ms", patience.as_millis()),
        };
        if self.known.is_empty() {
            return Err(format!("the name {name} can't be looked up ({failed})"));
        }
        Ok(self.known.clone())
    }
}

fn look_up(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = (name, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    let mut seen = BTreeSet::new();
    let addresses: Vec<IpAddr> =
        found.map(|address| address.ip()).filter(|ip| seen.insert(*ip)).take(ADDRESSES_MAX).collect();
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
}
