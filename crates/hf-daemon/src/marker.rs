//! What outlives the daemon and the boot: which modules are meant to run.

use hf_host::Paths;
use hf_host::files::{FileError, failed, make_dir, read_if_there, remove_if_there, with_causes, write_durably};
use hf_types::ModuleName;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the end of the daemon waits for its last notes.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the `started` file of a module says: `running BOOT-ID` or `halted BOOT-ID`. No file: an administrator stopped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// It ran under this boot, and nobody stopped it.
    Running { boot: String },
    /// It ran, and was stopped in good order because the machine went down.
    Halted,
}

/// Reads a module's marker; an unreadable text counts as none.
pub fn read(paths: &Paths, module: &ModuleName) -> Result<Option<Marker>, FileError> {
    let text = read_if_there(&paths.marker(module))?.unwrap_or_default();
    let mut words = text.split_ascii_whitespace();
    Ok(match (words.next(), words.next()) {
        (Some("running"), Some(boot)) => Some(Marker::Running { boot: boot.to_owned() }),
        (Some("halted"), _) => Some(Marker::Halted),
        _ => None,
    })
}

/// Whether `boot -m AM on` was said last.
pub fn boot_told(paths: &Paths, module: &ModuleName) -> Result<bool, FileError> {
    Ok(read_if_there(&paths.boot_choice(module))?.is_some_and(|text| text.trim() == "on"))
}

/// Keeps what `boot -m AM on|off` says, durably.
pub fn tell_boot(paths: &Paths, module: &ModuleName, on: bool) -> Result<(), FileError> {
    make_dir(&paths.module_run(module), 0o750)?;
    write_durably(&paths.boot_choice(module), if on { b"on\n".as_slice() } else { b"off\n" }, 0o644)
}

/// Something to be written down.
enum Note {
    Marker(ModuleName, Option<Marker>),
    /// A daemon runs under this boot.
    Boot(String),
}

/// Writes markers in a thread of its own, in their order: each is brought to the disk, and the loop must not wait for that.
pub struct Notes {
    queue: Option<Sender<Note>>,
    thread: JoinHandle<()>,
}

impl Notes {
    /// # Errors
    /// When the thread can't be started.
    pub fn start(paths: Paths) -> io::Result<Notes> {
        let (queue, notes) = channel();
        let thread = std::thread::Builder::new().name("notes".to_owned()).spawn(move || write_all(&paths, &notes))?;
        Ok(Notes { queue: Some(queue), thread })
    }

    /// The module's marker from now on; none: an administrator stopped it.
    pub fn mark(&self, module: &ModuleName, marker: Option<Marker>) {
        self.add(Note::Marker(module.clone(), marker));
    }

    /// A daemon has started the modules of this boot.
    pub fn booted(&self, boot: &str) {
        self.add(Note::Boot(boot.to_owned()));
    }

    fn add(&self, note: Note) {
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(note).is_ok());
        if !sent {
            tracing::error!("the thread that writes markers is gone");
        }
    }
}

impl Drop for Notes {
    /// Waits for what is queued, unless the disk hangs.
    fn drop(&mut self) {
        self.queue = None;
        let deadline = Instant::now() + FAREWELL;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn write_all(paths: &Paths, notes: &Receiver<Note>) {
    for note in notes {
        let result = match &note {
            Note::Marker(module, marker) => write(paths, module, marker.as_ref()),
            Note::Boot(boot) => write_durably(&paths.daemon_boot(), boot.as_bytes(), 0o644),
        };
        if let Err(error) = result {
            tracing::error!("{}", with_causes(&error));
        }
    }
}

fn write(paths: &Paths, module: &ModuleName, marker: Option<&Marker>) -> Result<(), FileError> {
    let path = paths.marker(module);
    let text = match marker {
        None => return remove_if_there(&path).map_err(failed("remove", &path)),
        Some(Marker::Running { boot }) => format!("running {boot}\n"),
        Some(Marker::Halted) => "halted\n".to_owned(),
    };
    make_dir(&paths.module_run(module), 0o750)?;
    write_durably(&path, text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_boot_says_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path().join("safe"), dir.path().join("var"));
        let one = "one".parse().unwrap();
        assert!(!boot_told(&paths, &one).unwrap());
        for on in [true, false, true] {
            tell_boot(&paths, &one, on).unwrap();
            assert_eq!(boot_told(&paths, &one).unwrap(), on);
        }
    }

    #[test]
    fn markers_are_written_in_their_order_and_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path().join("safe"), dir.path().join("var"));
        let (one, two) = ("one".parse().unwrap(), "two".parse().unwrap());
        let running = Some(Marker::Running { boot: "b1".to_owned() });
        let notes = Notes::start(paths.clone()).unwrap();
        for marker in [running.clone(), None, Some(Marker::Halted)] {
            notes.mark(&one, marker);
        }
        for marker in [Some(Marker::Halted), running.clone()] {
            notes.mark(&two, marker);
        }
        notes.booted("b1");
        drop(notes);
        assert_eq!(read(&paths, &one).unwrap(), Some(Marker::Halted));
        assert_eq!(read(&paths, &two).unwrap(), running);
        assert_eq!(std::fs::read_to_string(paths.daemon_boot()).unwrap(), "b1");
        let notes = Notes::start(paths.clone()).unwrap();
        notes.mark(&one, None);
        drop(notes);
        assert_eq!(read(&paths, &one).unwrap(), None);
    }
}
