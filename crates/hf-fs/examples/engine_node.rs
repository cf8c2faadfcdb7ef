//! An engine that takes the core's commands from standard input and writes its events to standard output, one JSON value a line: for tests
//! and for trying things.
//!
//! ```text
//! engine_node keeper SOCKET                        holds the mounts until SIGTERM
//! engine_node run DIR OWN PEER first|other ASYNC [PATTERN]...
//!                                                  replicates DIR/mnt, data in DIR/data; keeper at DIR/keeper.sock; what matches isn't replicated;
//!                                                  with UNRENAMED in the environment the data stays in DIR/mnt
//! ```

use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hf_config::NotReplicated;
use hf_fs::engine::{Directory, Engine, EngineConfig};
use hf_fs::front::protect;
use hf_fs::keeper;
use hf_fs::link::sealed::Protection;
use hf_fs::link::{Authenticate, LaneSource, Limited};

type Failure = Box<dyn std::error::Error>;

/// Both ends say a word: no secret, this is for one machine.
struct Word;

impl Word {
    fn exchange(stream: &mut Limited<'_>) -> Result<(), String> {
        stream.write_all(b"node").map_err(|error| error.to_string())?;
        let mut theirs = [0; 4];
        stream.read_exact(&mut theirs).map_err(|error| error.to_string())?;
        if theirs == *b"node" { Ok(()) } else { Err("not a node".into()) }
    }
}

impl Authenticate for Word {
    fn initiate(&self, stream: &mut Limited<'_>) -> Result<Option<Protection>, String> {
        Word::exchange(stream).map(|()| None)
    }

    fn respond(&self, stream: &mut Limited<'_>) -> Result<Option<Protection>, String> {
        Word::exchange(stream).map(|()| None)
    }
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["keeper", socket] => Ok(keeper::run(Path::new(socket))?),
        ["run", dir, own, peer, order, kind, left_out @ ..] => {
            run(Path::new(dir), own, peer, *order == "first", *kind == "second", left_out)
        }
        _ => Err("usage: engine_node keeper SOCKET | run DIR OWN PEER first|other none|second [PATTERN]...".into()),
    }
}

fn run(dir: &Path, own: &str, peer: &str, first: bool, async_second: bool, left_out: &[&str]) -> Result<(), Failure> {
    for failed in protect::protect_process() {
        tracing::warn!("{failed}: {}", failed.source);
    }
    let config = EngineConfig {
        directories: vec![Directory {
            dir: dir.join("mnt"),
            backing: dir.join("data"),
            renamed: std::env::var_os("UNRENAMED").is_none(),
            to_check: Vec::new(),
            left_out: left_out.iter().map(|text| NotReplicated::Pattern((*text).to_owned())).collect(),
        }],
        acl: true,
        keeper: dir.join("keeper.sock"),
        lanes: LaneSource::fixed(own.parse()?, peer.parse()?),
        first,
        async_second: async_second.into(),
        send_timeout: Duration::from_secs(30),
        lock_timeout: Duration::from_secs(100),
        silence: Duration::from_secs(5),
        tuning: Default::default(),
        bandwidth_kb_s: None,
        disk: Default::default(),
        identity: std::process::id().into(),
        boot_id: "one boot".into(),
        authenticate: Arc::new(Word),
    };
    let say = |event| {
        let line = serde_json::to_string(&event).unwrap_or_default();
        // Nobody reads any more: the test is over.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    };
    let engine = Engine::start(config, Arc::new(say))?;
    for line in std::io::stdin().lock().lines() {
        engine.command(serde_json::from_str(&line?)?);
    }
    Ok(())
}
