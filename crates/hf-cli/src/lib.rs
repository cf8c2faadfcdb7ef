//! hf-cli
