//! hf-sim
