//! hf-wire
