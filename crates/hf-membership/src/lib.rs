//! hf-membership
