//! hf-heart
