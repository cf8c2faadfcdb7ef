use crate::lab::binary;
use crate::pair::Pair;
use anyhow::Context;
use std::process::{Child, Stdio};

const JOURNAL: &str = "/tmp/e2e.journal";
const STOP: &str = "/tmp/e2e.stop";

/// What the load saw.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    pub acknowledged: u64,
    pub in_doubt: u64,
    pub seconds: f64,
    pub longest_gap_ms: f64,
    pub longest_commit_ms: f64,
}

/// A load that runs in the lab's client.
pub struct Recorder(Child);

impl Recorder {
    pub fn start(pair: &Pair) -> anyhow::Result<Recorder> {
        pair.lab.exec("client", &["rm", "-f", STOP])?;
        let program = binary("holdfast-recorder").canonicalize()?;
        let program = program.to_str().context("the path of the recorder is not UTF-8")?;
        let vip = pair.settings.vip();
        let run =
            ["client", "--", program, "run", "--host", vip, "--journal", JOURNAL, "--stop", STOP, "--seconds", "600"];
        let child = pair.lab.command("exec", &run).stdout(Stdio::piped()).spawn().context("starting the recorder")?;
        Ok(Recorder(child))
    }

    pub fn stop(self, pair: &Pair) -> anyhow::Result<Summary> {
        pair.lab.exec("client", &["touch", STOP])?;
        let output = self.0.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).with_context(|| format!("the recorder's summary: {text:?} ({})", output.status))
    }

    /// How many acknowledged numbers the database holds: all of them, or an error that lists what is wrong.
    pub fn verify(pair: &Pair) -> anyhow::Result<u64> {
        let program = binary("holdfast-recorder").canonicalize()?;
        let program = program.to_str().context("the path of the recorder is not UTF-8")?;
        let vip = pair.settings.vip();
        let verdict = pair.lab.exec("client", &[program, "verify", "--host", vip, "--journal", JOURNAL])?;
        let verdict: serde_json::Value = serde_json::from_str(&verdict)?;
        verdict["acknowledged"].as_u64().context("the verdict has no count")
    }
}
