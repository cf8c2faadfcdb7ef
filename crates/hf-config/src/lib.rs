//! hf-config
