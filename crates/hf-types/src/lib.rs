//! hf-types
