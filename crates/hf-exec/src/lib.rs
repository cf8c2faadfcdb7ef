//! hf-exec
