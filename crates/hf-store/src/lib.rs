//! hf-store
