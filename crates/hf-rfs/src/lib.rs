//! hf-rfs
