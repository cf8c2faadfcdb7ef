use hf_host::Paths;
use hf_host::files::{FileError, failed, make_dir, read_if_there, remove_if_there, write_durably};
use hf_types::ModuleName;

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

/// The module was started under this boot.
pub fn set_running(paths: &Paths, module: &ModuleName, boot: &str) -> Result<(), FileError> {
    write(paths, module, &format!("running {boot}\n"))
}

/// The module was stopped because the machine goes down.
pub fn set_halted(paths: &Paths, module: &ModuleName) -> Result<(), FileError> {
    write(paths, module, "halted\n")
}

fn write(paths: &Paths, module: &ModuleName, text: &str) -> Result<(), FileError> {
    make_dir(&paths.module_run(module), 0o755)?;
    write_durably(&paths.marker(module), text.as_bytes(), 0o644)
}

/// The module was stopped for good.
pub fn clear(paths: &Paths, module: &ModuleName) -> Result<(), FileError> {
    let path = paths.marker(module);
    remove_if_there(&path).map_err(failed("remove", &path))
}
