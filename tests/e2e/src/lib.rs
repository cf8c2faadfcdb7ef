//! End-to-end scenarios, through `holdfast lab` only.
