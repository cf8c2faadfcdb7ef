//! hf-daemon
