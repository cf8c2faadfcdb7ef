//! Putting the mount in the directory's place.
