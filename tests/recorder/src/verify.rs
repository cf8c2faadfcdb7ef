//! The proof: every acknowledged number once, none twice, none that was never sent.

use crate::VerifyArgs;
use crate::client::Client;
use crate::journal::Entries;
use anyhow::Context;
use std::collections::BTreeMap;
use std::process::ExitCode;

pub async fn verify(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let entries = Entries::read(&args.journal)?;
    let mut client = Client::connect(&args.server).await.context("connecting to verify")?;
    let mut found: BTreeMap<i64, u64> = BTreeMap::new();
    for number in client.all().await.context("reading what the server has")? {
        *found.entry(number).or_default() += 1;
    }
    let lost: Vec<i64> = entries.acknowledged.iter().copied().filter(|n| !found.contains_key(n)).collect();
    let twice: Vec<i64> = found.iter().filter(|(_, count)| **count > 1).map(|(n, _)| *n).collect();
    let never_sent: Vec<i64> = found.keys().copied().filter(|n| !entries.sent.contains(n)).collect();
    let held = lost.is_empty() && twice.is_empty() && never_sent.is_empty();
    let verdict = serde_json::json!({
        "held": held,
        "acknowledged": entries.acknowledged.len(),
        "found": found.len(),
        "lost": lost,
        "twice": twice,
        "never_sent": never_sent,
    });
    println!("{verdict}");
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
