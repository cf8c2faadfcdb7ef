//! Reading the logs, and writing a line into one.

use super::{Admin, Failure, Replies, blocking};
use hf_host::clock::wall_us;
use hf_host::files::with_causes;
use hf_types::{Level, LogLine, ModuleName, ResourceName};
use hf_wire::bus::Reply;
use std::time::Duration;

/// How long a look waits for lines that are on their way into the database.
const LOG_PATIENCE: Duration = Duration::from_secs(1);
/// Lines in one answer: a frame of the bus is bounded, and a line at most 8 KiB.
const LINES_MAX: usize = 1000;
/// A message that a script gives is cut here.
const PRINT_MAX: usize = 1024;

impl Admin {
    pub(super) async fn log(&self, module: ModuleName, last: u32, levels: Vec<Level>) -> Replies {
        let lines = self.look_at(&module, move |store, module| store.log(module, last, &levels)).await?;
        Ok(chunks(lines).map(|lines| Reply::Log { lines }).collect())
    }

    /// The lines behind row `after`, or the last ones.
    pub(super) async fn log_follow(
        &self,
        module: ModuleName,
        after: Option<i64>,
        last: u32,
        levels: Vec<Level>,
    ) -> Replies {
        let (lines, next) =
            self.look_at(&module, move |store, module| store.log_after(module, after, last, &levels)).await?;
        let mut replies: Vec<Reply> = chunks(lines).map(|lines| Reply::LogPage { lines, next }).collect();
        if replies.is_empty() {
            replies.push(Reply::LogPage { lines: Vec::new(), next });
        }
        Ok(replies)
    }

    pub(super) async fn commands(&self, last: u32) -> Replies {
        let store = self.store.clone();
        let lines = blocking(move || {
            store.flush(LOG_PATIENCE);
            store.commands(last)
        })
        .await?;
        let lines = lines.map_err(|error| Failure::new(with_causes(&error)))?;
        Ok(chunks(lines).map(|lines| Reply::Commands { lines }).collect())
    }

    pub(super) async fn resource_history(&self, module: ModuleName, name: Option<ResourceName>, last: u32) -> Replies {
        let rows = self
            .look_at(&module, move |store, module| {
                store.resources(module, name.as_ref().map(ResourceName::as_str), last)
            })
            .await?;
        let values = rows.into_iter().map(Into::into).collect();
        Ok(chunks(values).map(|values| Reply::ResourceHistory { values }).collect())
    }

    /// A script's or an administrator's own line.
    pub(super) fn print(&self, module: &ModuleName, level: Level, by: String, mut text: String) -> Replies {
        if text.len() > PRINT_MAX {
            text.truncate(text.floor_char_boundary(PRINT_MAX));
        }
        self.store.add_line(module, LogLine { at_us: wall_us(), process: by, level, counter: 0, text });
        Ok(Vec::new())
    }

    /// Asks the database once everything that the module said so far is in it.
    pub(super) async fn look_at<T: Send + 'static>(
        &self,
        module: &ModuleName,
        ask: impl FnOnce(&hf_store::Store, &ModuleName) -> Result<T, hf_store::QueryError> + Send + 'static,
    ) -> Result<T, Failure> {
        let (store, module) = (self.store.clone(), module.clone());
        let directory = self.paths.module_run(&module);
        let answer = blocking(move || {
            store.ingest(&module, &directory);
            store.flush(LOG_PATIENCE);
            ask(&store, &module)
        })
        .await?;
        answer.map_err(|error| Failure::new(with_causes(&error)))
    }
}

fn chunks<T>(all: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let mut all = all.into_iter();
    std::iter::from_fn(move || {
        let chunk: Vec<T> = all.by_ref().take(LINES_MAX).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}
