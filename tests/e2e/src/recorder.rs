use crate::lab::{Lab, binary};
use crate::pair::Pair;
use anyhow::{Context, ensure};
use std::process::{Child, Stdio};

/// What the load saw.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    pub acknowledged: u64,
    pub in_doubt: u64,
    pub seconds: f64,
    pub longest_gap_ms: f64,
    pub longest_commit_ms: f64,
    /// What the machine itself was late while the load ran: comes on top of every bound in time.
    #[serde(default)]
    pub allowance_ms: f64,
}

impl Summary {
    /// Whether a time that was measured is within its bound, with what the machine is allowed.
    pub fn at_most(&self, what: &str, measured_ms: f64, limit_ms: u64) -> anyhow::Result<()> {
        let limit = limit_ms as f64 + self.allowance_ms;
        ensure!(
            measured_ms <= limit,
            "{what}: {measured_ms} ms, more than {limit_ms} ms and the {} ms that this machine is allowed",
            self.allowance_ms
        );
        Ok(())
    }
}

/// A load that runs in the lab's client.
pub struct Recorder {
    child: Child,
    name: &'static str,
}

impl Recorder {
    pub fn start(pair: &Pair) -> anyhow::Result<Recorder> {
        Recorder::start_for(&pair.lab, "e2e", &["--host", pair.settings.vip()])
    }

    /// A load on the server that `server` (options of the recorder) names; journal and stop file are called after `name`.
    pub fn start_for(lab: &Lab, name: &'static str, server: &[&str]) -> anyhow::Result<Recorder> {
        lab.exec("client", &["rm", "-f", &stop_file(name)])?;
        let (journal, stop) = (journal(name), stop_file(name));
        let run = [&["run"], server, &["--journal", &journal, "--stop", &stop, "--seconds", "600"]].concat();
        let program = program()?;
        let args = [&["client", "--", &program], &run[..]].concat();
        let child = lab.command("exec", &args).stdout(Stdio::piped()).spawn().context("starting the recorder")?;
        Ok(Recorder { child, name })
    }

    pub fn stop(self, pair: &Pair) -> anyhow::Result<Summary> {
        self.stop_in(&pair.lab)
    }

    pub fn stop_in(self, lab: &Lab) -> anyhow::Result<Summary> {
        lab.exec("client", &["touch", &stop_file(self.name)])?;
        let output = self.child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).with_context(|| format!("the recorder's summary: {text:?} ({})", output.status))
    }

    /// How many numbers were acknowledged so far.
    pub fn acknowledged(&self, lab: &Lab) -> anyhow::Result<u64> {
        let count = format!("cat {} 2>/dev/null | grep -c '^a' || true", journal(self.name));
        let text = lab.exec("client", &["sh", "-c", &count])?;
        text.trim().parse().with_context(|| format!("counting what was acknowledged: {text:?}"))
    }

    /// How many acknowledged numbers the database holds: all of them, or an error that lists what is wrong.
    pub fn verify(pair: &Pair) -> anyhow::Result<u64> {
        Recorder::verify_for(&pair.lab, "e2e", &["--host", pair.settings.vip()])
    }

    /// The same of a load that was started with [`Recorder::start_for`].
    pub fn verify_for(lab: &Lab, name: &str, server: &[&str]) -> anyhow::Result<u64> {
        let (program, journal) = (program()?, journal(name));
        let verdict =
            lab.exec("client", &[&[program.as_str(), "verify"], server, &["--journal", &journal]].concat())?;
        let verdict: serde_json::Value = serde_json::from_str(&verdict)?;
        verdict["acknowledged"].as_u64().context("the verdict has no count")
    }
}

fn program() -> anyhow::Result<String> {
    let program = binary("holdfast-recorder").canonicalize()?;
    program.into_os_string().into_string().ok().context("the path of the recorder is not UTF-8")
}

fn journal(name: &str) -> String {
    format!("/tmp/{name}.journal")
}

fn stop_file(name: &str) -> String {
    format!("/tmp/{name}.stop")
}
