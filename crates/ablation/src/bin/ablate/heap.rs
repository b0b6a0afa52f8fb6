//! Memory that was used once is kept.

/// Tells glibc's allocator to give no page of the heap back to the system.
///
/// Sampling frees what it took with every step and takes as much again, and pages that are given back come back as zeros,
/// one fault each: 5 to 20 % of the time of a U-Net's samples, and two fifths of a solver's own. What a process needs at
/// most is the same.
pub(crate) fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // The largest that it accepts: what is larger has a mapping of its own, whatever is asked.
        const OWN_MAPPING: libc::c_int = 32 << 20;
        #[expect(unsafe_code, reason = "the allocator is C's")]
        // SAFETY: numbers alone are handed over, and no other thread exists yet.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
