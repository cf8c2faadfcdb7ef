use anyhow::Context;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it looks.
const PULSE: Duration = Duration::from_millis(20);
/// A commit goes through so many threads, wakes and syncs, each of which may be as late as the machine makes them.
const STEPS: f64 = 5.0;

/// How late this machine is by itself while a scenario runs: a bound in time that is promised holds on a machine that has time and a disk.
pub struct Machine {
    over: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Duration>>,
}

impl Machine {
    /// Begins to measure: what a thread gets that sleeps for a moment and then syncs a page.
    pub fn watch() -> anyhow::Result<Machine> {
        let path = std::env::temp_dir().join(format!("e2e-machine.{}", std::process::id()));
        let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        std::fs::remove_file(&path)?;
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let thread = std::thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::sleep(PULSE);
                file.write_all_at(&[7; 4096], 0).and_then(|()| file.sync_data()).context("syncing a page")?;
                worst = worst.max(began.elapsed().saturating_sub(PULSE));
            }
            Ok(worst)
        });
        Ok(Machine { over, thread })
    }

    /// What a commit may take longer than promised, in ms.
    pub fn allowance_ms(self) -> anyhow::Result<f64> {
        self.over.store(true, Ordering::Relaxed);
        let worst = self.thread.join().map_err(|_| anyhow::anyhow!("the thread that measures panicked"))??;
        Ok(worst.as_secs_f64() * 1000.0 * STEPS)
    }
}
