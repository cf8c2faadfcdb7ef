//! hf-fs
