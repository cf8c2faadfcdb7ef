//! What an administrator chose for a module on this node, and what is kept over a stop.

use crate::Paths;
use crate::files::{FileError, make_dir, read_if_there, write_durably};
use hf_types::{ModuleName, SyncPolicy};

/// Whether `checker on` holds, which it does until somebody says otherwise.
///
/// # Errors
/// When the file is there and can't be read.
pub fn checking(paths: &Paths, module: &ModuleName) -> Result<bool, FileError> {
    Ok(read_if_there(&paths.checker_choice(module))?.is_none_or(|text| text.trim() != "off"))
}

/// Keeps what `checker on|off` says, durably.
///
/// # Errors
/// When the file can't be written.
pub fn keep_checking(paths: &Paths, module: &ModuleName, on: bool) -> Result<(), FileError> {
    make_dir(&paths.module_run(module), 0o750)?;
    write_durably(&paths.checker_choice(module), if on { b"on\n".as_slice() } else { b"off\n" }, 0o644)
}

/// What `rfssync` chose. A file that can't be understood is none: what isn't known to be equal is compared anyway.
///
/// # Errors
/// When the file is there and can't be read.
pub fn sync_policy(paths: &Paths, module: &ModuleName) -> Result<SyncPolicy, FileError> {
    let text = read_if_there(&paths.sync_policy(module))?;
    Ok(text.and_then(|text| SyncPolicy::from_text(&text)).unwrap_or_default())
}

/// Keeps what `rfssync` says, durably.
///
/// # Errors
/// When the file can't be written.
pub fn keep_sync_policy(paths: &Paths, module: &ModuleName, policy: &SyncPolicy) -> Result<(), FileError> {
    make_dir(&paths.module_run(module), 0o750)?;
    let text = format!("{policy}\n");
    write_durably(&paths.sync_policy(module), text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_last_holds() {
        let dir = tempfile::tempdir().expect("a directory");
        let paths = Paths::new(dir.path().join("safe"), dir.path().join("var"));
        let module: ModuleName = "pg".parse().expect("a name");
        assert!(checking(&paths, &module).expect("readable"), "nobody said anything");
        for on in [false, true, false] {
            keep_checking(&paths, &module, on).expect("written");
            assert_eq!(checking(&paths, &module).expect("readable"), on);
        }
        assert_eq!(sync_policy(&paths, &module).expect("readable"), SyncPolicy::Default);
        let external = SyncPolicy::external(hf_types::SyncRole::Prim, "one").expect("a name");
        for policy in [SyncPolicy::Full, external, SyncPolicy::Default] {
            keep_sync_policy(&paths, &module, &policy).expect("written");
            assert_eq!(sync_policy(&paths, &module).expect("readable"), policy);
        }
        std::fs::write(paths.sync_policy(&module), "{").expect("written");
        assert_eq!(sync_policy(&paths, &module).expect("readable"), SyncPolicy::Default);
    }
}
