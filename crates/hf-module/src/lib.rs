//! hf-module
