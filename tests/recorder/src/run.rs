//! The load: every worker commits one number after the other on a connection of its own.
//!
//! A worker whose commit takes long doesn't give it up; it tries a fresh connection beside it, and goes on with whichever
//! answers first. So a pause is measured as a pause, and a server that came back elsewhere is found at once.

use crate::client::Client;
use crate::journal::{Entries, Journal, now_us};
use crate::{RunArgs, Server};
use anyhow::Context;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// A commit slower than this gets a fresh connection beside it.
const HEDGE_AFTER: Duration = Duration::from_millis(250);

struct Shared {
    journal: RefCell<Journal>,
    /// The first number of this run: the journal may hold those of earlier ones.
    first: i64,
    next: Cell<i64>,
    stop: Cell<bool>,
    longest_us: Cell<u64>,
}

pub async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    prepare(&args.server).await?;
    let first = match Entries::read(&args.journal) {
        Ok(entries) => entries.sent.last().map_or(1, |last| last + 1),
        Err(_) if !args.journal.exists() => 1,
        Err(error) => return Err(error),
    };
    let shared = Rc::new(Shared {
        journal: RefCell::new(Journal::open(&args.journal)?),
        first,
        next: Cell::new(first),
        stop: Cell::new(false),
        longest_us: Cell::new(0),
    });
    let local = tokio::task::LocalSet::new();
    let began_us = now_us();
    local
        .run_until(async {
            let workers: Vec<_> =
                (0..args.workers).map(|_| tokio::task::spawn_local(worker(shared.clone(), args.clone()))).collect();
            wait_for_end(&args).await;
            shared.stop.set(true);
            for worker in workers {
                match tokio::time::timeout(Duration::from_secs(2), worker).await {
                    Ok(ended) => ended??,
                    Err(_) => continue, // its number stays in doubt
                }
            }
            anyhow::Ok(())
        })
        .await?;
    summary(&args, &shared, began_us)
}

async fn prepare(server: &Server) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let error = match Client::connect(server).await {
            Ok(mut client) => return client.prepare().await,
            Err(error) => error,
        };
        if tokio::time::Instant::now() > deadline {
            return Err(error).with_context(|| format!("no server answers at {}:{}", server.host, server.port()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn wait_for_end(args: &RunArgs) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs_f64(args.seconds);
    while tokio::time::Instant::now() < deadline && !args.stop.as_ref().is_some_and(|file| file.exists()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn worker(shared: Rc<Shared>, args: RunArgs) -> anyhow::Result<()> {
    let mut client: Option<Client> = None;
    while !shared.stop.get() {
        client = match client {
            Some(client) => committed(&shared, &args.server, client).await?,
            None => match Client::connect(&args.server).await {
                Ok(client) => Some(client),
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    None
                }
            },
        };
        tokio::time::sleep(Duration::from_millis(args.pace_ms)).await;
    }
    Ok(())
}

type Attempt = Pin<Box<dyn Future<Output = anyhow::Result<Option<Client>>>>>;

/// Commits one number; the connection to go on with, or none after an error.
async fn committed(shared: &Rc<Shared>, server: &Server, client: Client) -> anyhow::Result<Option<Client>> {
    let mut first: Attempt = Box::pin(commit(shared.clone(), client));
    if let Ok(result) = tokio::time::timeout(HEDGE_AFTER, &mut first).await {
        return result;
    }
    let mut fresh: Attempt = Box::pin(fresh_commit(shared.clone(), server.clone()));
    tokio::select! {
        result = &mut first => result,
        result = &mut fresh => result,
    }
}

async fn commit(shared: Rc<Shared>, mut client: Client) -> anyhow::Result<Option<Client>> {
    let number = shared.next.get();
    shared.next.set(number + 1);
    let sent_us = shared.journal.borrow_mut().sent(number)?;
    match client.insert(number).await {
        Ok(()) => {
            let at_us = shared.journal.borrow_mut().acknowledged(number)?;
            shared.longest_us.set(shared.longest_us.get().max(at_us - sent_us));
            Ok(Some(client))
        }
        Err(_) => Ok(None), // in doubt: the number is never used again
    }
}

async fn fresh_commit(shared: Rc<Shared>, server: Server) -> anyhow::Result<Option<Client>> {
    loop {
        match Client::connect(&server).await {
            Ok(client) => match commit(shared.clone(), client).await? {
                Some(client) => return Ok(Some(client)),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        if shared.stop.get() {
            return Ok(None);
        }
    }
}

fn summary(args: &RunArgs, shared: &Shared, began_us: u64) -> anyhow::Result<ExitCode> {
    let entries = Entries::read(&args.journal)?;
    let times: Vec<u64> = entries.times_us.iter().copied().filter(|at| *at >= began_us).collect();
    let (gap_us, gap_began_us) =
        times.windows(2).map(|pair| (pair[1].saturating_sub(pair[0]), pair[0])).max().unwrap_or_default();
    let summary = serde_json::json!({
        "acknowledged": times.len(),
        "in_doubt": entries.sent.difference(&entries.acknowledged).filter(|number| **number >= shared.first).count(),
        "seconds": (now_us() - began_us) as f64 / 1e6,
        "longest_gap_ms": gap_us as f64 / 1e3,
        "longest_gap_began_us": gap_began_us,
        "longest_commit_ms": shared.longest_us.get() as f64 / 1e3,
    });
    println!("{summary}");
    Ok(ExitCode::SUCCESS)
}
