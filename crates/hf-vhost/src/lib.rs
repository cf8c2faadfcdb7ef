//! `libhf_vhost.so`: programs that are started with it in `LD_PRELOAD` see a virtual host name (reference 004, 13.8).
//!
//! It takes the places of `gethostname` and `uname` and answers with the name in the environment variable
//! `HOLDFAST_HOSTNAME`; without that, or with one that can't be a host name, they answer as ever. The file that
//! `holdfast config` writes for each `<virtualhostname>` sets both variables.
//!
//! Programs that don't go through the C library (statically linked ones, Go) see the machine's own name; so do programs
//! with setuid, for which the loader ignores `LD_PRELOAD`.
//!
//! What is here runs in strangers' processes, also between fork and exec and in signal handlers: it allocates nothing,
//! takes no lock, and can't panic.

use libc::{c_char, c_int, size_t, utsname};

/// The longest host name of Linux, without the NUL.
const MAX: usize = 64;

/// As `uname(2)`, with the virtual name in `nodename`.
///
/// # Safety
///
/// `buffer` points to a `struct utsname`, as for the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uname(buffer: *mut utsname) -> c_int {
    // SAFETY: the kernel checks the pointer; the structure is the kernel's own.
    if unsafe { libc::syscall(libc::SYS_uname, buffer) } != 0 {
        return -1;
    }
    if let Some((name, length)) = virtual_name() {
        // SAFETY: the kernel has just written a whole structure there; `nodename` has 65 bytes, `length` is at most 64.
        unsafe {
            let node = (&raw mut (*buffer).nodename).cast::<c_char>();
            node.write_bytes(0, MAX + 1);
            node.copy_from_nonoverlapping(name, length);
        }
    }
    0
}

/// As `gethostname(2)`, with the virtual name. A buffer that is too small gets what fits, and `ENAMETOOLONG`.
///
/// # Safety
///
/// `buffer` has room for `size` bytes, as for the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gethostname(buffer: *mut c_char, size: size_t) -> c_int {
    // SAFETY: all of it is bytes, for which zero is a value.
    let mut system: utsname = unsafe { std::mem::zeroed() };
    // SAFETY: it points to a structure of ours.
    if unsafe { uname(&raw mut system) } != 0 {
        return -1;
    }
    // SAFETY: `nodename` ends with a NUL; the buffer has `size` bytes by the caller's word.
    unsafe {
        let name = system.nodename.as_ptr();
        let with_nul = libc::strlen(name) + 1;
        buffer.copy_from_nonoverlapping(name, with_nul.min(size));
        if with_nul > size {
            *libc::__errno_location() = libc::ENAMETOOLONG;
            return -1;
        }
    }
    0
}

/// The virtual name and its length, if there is one that can be a host name.
fn virtual_name() -> Option<(*const c_char, usize)> {
    // SAFETY: the name ends with a NUL. What comes back is read at once, by this thread.
    let value = unsafe { libc::getenv(c"HOLDFAST_HOSTNAME".as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: values of the environment end with a NUL.
    let length = unsafe { libc::strnlen(value, MAX + 1) };
    (1..=MAX).contains(&length).then_some((value.cast_const(), length))
}
