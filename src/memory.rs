//! Makes the C library hand memory back.
//!
//! glibc raises the size from which it maps blocks of their own with every large block that is
//! freed, up to 32 MB; the buffers of commits then come from heaps that never shrink, one a thread.
//! `cargo test --release --test it soak -- --nocapture` prints what a server holds under edits.

/// Blocks from this size on are mapped, and unmapped when they are freed, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: i32 = 128 * 1024;
/// Free bytes at the end of a heap that are handed back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_BYTES: i32 = 1024 * 1024;

/// Heaps of a process. The library makes eight for each processor, and what lives long in each of
/// them keeps what is free around it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAPS: i32 = 4;

/// Sets all of it, before there are other threads. Nothing elsewhere.
pub fn tune() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // Numbers of the allocator have no safe way in.
    #[allow(unsafe_code)]
    // SAFETY: `mallopt` takes integers and touches the allocator's settings only.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_BYTES);
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
    }
}

/// Hands back what is free within the heaps, between what is not: after a large run that is most of
/// what a process holds. Takes milliseconds, in which other threads wait for memory.
pub fn hand_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // The allocator has no safe way in.
    #[allow(unsafe_code)]
    // SAFETY: `malloc_trim` takes a number and locks the heaps it looks at.
    unsafe {
        libc::malloc_trim(0);
    }
}
