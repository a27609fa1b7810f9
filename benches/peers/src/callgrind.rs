//! What callgrind counts: nothing, until it is told to by a sequence of instructions that does nothing
//! anywhere else (valgrind's "client request").

/// Counting begins.
pub fn start() {
    request(START);
}

/// Counting ends.
pub fn stop() {
    request(STOP);
}

/// Of `callgrind.h`: numbers from 'C' 'T' on.
const START: usize = 0x4354_0004;
const STOP: usize = 0x4354_0005;

#[cfg(target_arch = "x86_64")]
fn request(code: usize) {
    let request = [code, 0, 0, 0, 0, 0];
    // SAFETY: rotations that add up to none, and an exchange of a register with itself; valgrind reads
    // the array and answers in `rdx`.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") request.as_ptr(),
            inout("rdx") 0 => _,
            options(nostack),
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn request(_code: usize) {}
