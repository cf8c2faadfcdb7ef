//! The loop counter on the disk, `SAFEVAR/run/AM/loops`: `COUNT RAN-SECONDS SINCE-MICROSECONDS`. It outlives heart and boot.

use crate::event::{Event, Events};
use hf_host::Paths;
use hf_host::files::{FileError, failed, read_if_there, remove_if_there, sync_parent, with_causes, write_durably};
use hf_node::heart::{HeartInput, KeptLoops};
use hf_types::ModuleName;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What an earlier heart left; a text that is none counts as nothing.
///
/// # Errors
/// When the file is there and can't be read.
pub fn read(paths: &Paths, module: &ModuleName) -> Result<Option<KeptLoops>, FileError> {
    Ok(read_if_there(&paths.loops(module))?.as_deref().and_then(parse))
}

fn parse(text: &str) -> Option<KeptLoops> {
    let mut words = text.split_ascii_whitespace();
    let kept = KeptLoops {
        count: words.next()?.parse().ok()?,
        ran_s: words.next()?.parse().ok()?,
        since_us: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(kept)
}

/// Writes in a thread of its own, one after the other: the loop must not wait for the disk.
pub struct Keeper {
    queue: Sender<Option<KeptLoops>>,
}

impl Keeper {
    /// # Errors
    /// When the thread can't be started.
    pub fn start(paths: &Paths, module: &ModuleName, events: Events) -> io::Result<Keeper> {
        let (queue, orders) = channel();
        let path = paths.loops(module);
        std::thread::Builder::new().name("loops".to_owned()).spawn(move || write_all(&path, &orders, &events))?;
        Ok(Keeper { queue })
    }

    /// Answered by [`HeartInput::LoopsKept`].
    pub fn keep(&self, kept: Option<KeptLoops>) {
        if self.queue.send(kept).is_err() {
            tracing::error!("the thread that writes the loop counter is gone");
        }
    }
}

fn write_all(path: &Path, orders: &Receiver<Option<KeptLoops>>, events: &Events) {
    for kept in orders {
        let error = write(path, kept).err().map(|error| with_causes(&error));
        if events.send(Event::Input(HeartInput::LoopsKept { kept, error })).is_err() {
            return; // the heart is gone
        }
    }
}

fn write(path: &Path, kept: Option<KeptLoops>) -> Result<(), FileError> {
    match kept {
        Some(KeptLoops { count, ran_s, since_us }) => {
            write_durably(path, format!("{count} {ran_s} {since_us}\n").as_bytes(), 0o644)
        }
        None => remove_if_there(path).and_then(|()| sync_parent(path)).map_err(failed("remove", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_again_and_gone_when_removed() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path().join("safe"), dir.path().join("var"));
        let module: ModuleName = "pg".parse().unwrap();
        std::fs::create_dir_all(paths.module_run(&module)).unwrap();
        assert_eq!(read(&paths, &module).unwrap(), None);
        let (events, mut answers) = tokio::sync::mpsc::unbounded_channel();
        let keeper = Keeper::start(&paths, &module, events).unwrap();
        let kept = Some(KeptLoops { count: 2, ran_s: 3601, since_us: 1_700_000_000_000_000 });
        keeper.keep(kept);
        let answered = |event| matches!(event, Some(Event::Input(HeartInput::LoopsKept { error: None, .. })));
        assert!(answered(answers.blocking_recv()));
        assert_eq!(read(&paths, &module).unwrap(), kept);
        keeper.keep(None);
        assert!(answered(answers.blocking_recv()));
        assert_eq!(read(&paths, &module).unwrap(), None);
        std::fs::remove_dir(paths.module_run(&module)).unwrap();
        keeper.keep(kept);
        assert!(!answered(answers.blocking_recv()), "there is no place for it");
    }

    #[test]
    fn a_torn_text_is_no_counter() {
        for text in ["", "2", "2 x 1", "2 1 1 1", "-1 0 0"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
