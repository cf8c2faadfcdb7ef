//! hf-node
