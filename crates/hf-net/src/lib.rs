//! hf-net
