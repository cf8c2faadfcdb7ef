//! hf-seal
