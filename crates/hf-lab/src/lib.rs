//! hf-lab
