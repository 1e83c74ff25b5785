//! Clocks: the wall's and the running thread's.

use std::time::Instant;

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    pub wall_ns: u64,
    /// Of the running thread alone.
    pub cpu_ns: u64,
}

/// Runs `work`. Its result is handed out, so that dropping it takes none of the time.
#[inline]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Time) {
    let cpu = thread_cpu_ns();
    let wall = Instant::now();
    let result = work();
    let wall_ns = wall.elapsed().as_nanos() as u64;
    let cpu_ns = thread_cpu_ns() - cpu;
    (result, Time { wall_ns, cpu_ns })
}

fn thread_cpu_ns() -> u64 {
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: `time` is writable and laid out as C's `struct timespec` of 64-bit Linux.
    let failed = unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "clock_gettime(CLOCK_THREAD_CPUTIME_ID) failed");
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("the clock of a thread is read as 64-bit Linux has it");

const CLOCK_THREAD_CPUTIME_ID: i32 = 3;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}
