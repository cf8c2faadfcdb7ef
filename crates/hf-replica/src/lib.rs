//! hf-replica
