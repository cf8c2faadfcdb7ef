//! The replicated directories before anything is mounted: may they be replicated, are they there?

use hf_fs::front::mountpoint::{Place, PlaceError};
use hf_host::Paths;
use std::io;
use std::path::{Path, PathBuf};

/// Why a directory can't be replicated.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("the directory {} can't be made", dir.display())]
    Make {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Checks every directory; makes one that no module ever used here (a secondary's at its first start). One that is gone though its record
/// is there is an error, told when it is mounted: its disk may be missing.
pub fn prepare(paths: &Paths, places: &[Place]) -> Result<(), PlacesError> {
    let dirs: Vec<&Path> = places.iter().map(|place| place.dir.as_path()).collect();
    for place in places {
        place.check(&[paths.safe(), paths.safevar()], &dirs)?;
        let used = [&place.control, &place.backing, &place.dir].iter().any(|path| path.symlink_metadata().is_ok());
        if !used {
            let made = std::fs::create_dir_all(&place.dir);
            made.map_err(|source| PlacesError::Make { dir: place.dir.clone(), source })?;
            tracing::info!(dir = %place.dir.display(), "made, for it was never used here");
        }
    }
    Ok(())
}
