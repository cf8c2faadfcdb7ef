use anyhow::{Context, bail};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// One lab, taken away when dropped.
pub struct Lab {
    name: String,
    program: PathBuf,
}

/// Where the binaries under test are: `HOLDFAST_BIN` or `target/lab` of this checkout.
pub fn binary(name: &str) -> PathBuf {
    match std::env::var_os("HOLDFAST_BIN") {
        Some(dir) => PathBuf::from(dir).join(name),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/lab").join(name),
    }
}

/// A number of this checkout: tests of two of them may run at once, and what an interrupted run left is found by the next one.
fn checkout() -> u16 {
    env!("CARGO_MANIFEST_DIR").bytes().fold(0, |sum: u16, byte| sum.rotate_left(5) ^ u16::from(byte))
}

impl Lab {
    pub fn up(name: &str, options: &[&str]) -> anyhow::Result<Lab> {
        let program = binary("holdfast");
        let lab = Lab {
            name: format!("{name}-{:04x}", checkout()),
            program: program.canonicalize().with_context(|| missing(&program))?,
        };
        lab.run("down", &[]).ok(); // what an interrupted run may have left
        lab.run("up", options)?;
        Ok(lab)
    }

    /// A verb of `holdfast lab`; its standard output, or an error with everything it said.
    pub fn run(&self, verb: &str, args: &[&str]) -> anyhow::Result<String> {
        let output = self.command(verb, args).output()?;
        text(output).with_context(|| format!("holdfast lab {verb} {}", args.join(" ")))
    }

    /// A command in a node or the client.
    pub fn exec(&self, node: &str, command: &[&str]) -> anyhow::Result<String> {
        let args: Vec<&str> = [node, "--"].iter().chain(command).copied().collect();
        self.run("exec", &args)
    }

    /// The same, given up after so many seconds.
    pub fn exec_within(&self, seconds: u64, node: &str, command: &[&str]) -> anyhow::Result<String> {
        let mut limited = Command::new("timeout");
        limited.args(["--kill-after=2", &seconds.to_string()]).arg(&self.program);
        limited.args(["lab", "exec", "--name", &self.name, node, "--"]).args(command).stdin(Stdio::null());
        text(limited.output()?).with_context(|| format!("{} in {node}, within {seconds} s", command.join(" ")))
    }

    pub fn command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["lab", verb, "--name", &self.name]).args(args).stdin(Stdio::null());
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::env::var_os("E2E_KEEP").is_some() {
            eprintln!("kept: holdfast lab status --name {}", self.name);
        } else if let Err(error) = self.run("down", &[]) {
            eprintln!("taking the lab away failed: {error:#}");
        }
    }
}

fn missing(program: &std::path::Path) -> String {
    format!("{} is not built: run './test build'", program.display())
}

fn text(output: Output) -> anyhow::Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{}\n{stdout}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(stdout)
}
