use rustix::rand::{GetRandomFlags, getrandom};

/// A random number; the clock's where the kernel gives none (it always does once booted).
pub fn number() -> u64 {
    let mut bytes = [0; 8];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(8) => u64::from_le_bytes(bytes),
        _ => crate::clock::now().0,
    }
}
