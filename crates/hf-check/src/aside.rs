//! Work that may hang, away from the loop that all probes share.

use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// Runs blocking work on a thread aside, one piece at a time: when the last one still hangs, it is waited for before another one
/// begins, so that a probe never holds more than one thread.
pub struct Aside<T> {
    running: Option<JoinHandle<T>>,
}

impl<T> Default for Aside<T> {
    fn default() -> Self {
        Aside { running: None }
    }
}

impl<T: Send + 'static> Aside<T> {
    /// The answer of `work`. If the future is dropped, the work goes on and its answer is lost.
    ///
    /// # Errors
    /// When the work panicked.
    pub async fn run(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
        if let Some(before) = &mut self.running {
            // Its answer is old.
            drop(before.await);
        }
        let answer = self.running.insert(spawn_blocking(work)).await;
        self.running = None;
        answer
    }
}
