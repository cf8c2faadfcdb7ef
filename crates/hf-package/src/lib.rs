//! hf-package
