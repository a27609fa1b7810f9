//! The way into a worker: a constructor.
//!
//! It stands directly behind std's own, which keeps the arguments and has number 99, so before all constructors of the
//! program, for instance those of C++ statics that a job may use. A worker runs them first; a template never does. glibc
//! finds the same table by the same means.
//!
//! Miri, and systems without constructors, need `offload::init()` in `main`.
//!
//! Rejected: to stand back in programs whose `#[reiver::main]` calls it. That such a `main` is in the
//! executable does not mean that it is called: documentation tests are linked together under a `main` of
//! rustdoc's, and each worker ran all of them, and started workers.

use super::{run, take_orders};
use std::ffi::{c_char, c_int, c_void};

type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

#[used]
// SAFETY: the section is a table of such functions; this one needs nothing that is not there before `main`.
#[unsafe(link_section = ".init_array.00100")]
static CONSTRUCTOR: Constructor = construct;

extern "C" fn construct(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) {
    let Some(orders) = take_orders() else { return };
    for constructor in following() {
        constructor(argc, argv, envp);
    }
    run(orders)
}

/// An entry of the table that the dynamic section is.
#[repr(C)]
struct Dyn {
    tag: usize,
    value: usize,
}

const DT_NULL: usize = 0;
const DT_INIT_ARRAY: usize = 25;
const DT_INIT_ARRAYSZ: usize = 27;

/// The program's constructors behind ours. None in a static program that is not relocatable: it has no
/// dynamic section.
fn following() -> Vec<Constructor> {
    let mut table: (usize, usize) = (0, 0);
    // SAFETY: `first_object` takes what is passed here, and is called before this returns.
    unsafe { libc::dl_iterate_phdr(Some(first_object), (&raw mut table).cast()) };
    let (start, size) = table;
    let entries = start as *const Option<Constructor>;
    let mut found = Vec::new();
    let mut behind = false;
    for i in 0..size / size_of::<usize>() {
        // SAFETY: the program's table of constructors, which is so long and is never written again.
        let entry = unsafe { entries.add(i).read() };
        match entry {
            Some(entry) if entry as usize == construct as *const () as usize => behind = true,
            // -1 ends old tables.
            Some(entry) if behind && entry as usize != usize::MAX => found.push(entry),
            _ => {}
        }
    }
    found
}

/// Finds the table of the first object, which is the program.
unsafe extern "C" fn first_object(
    info: *mut libc::dl_phdr_info,
    _: usize,
    table: *mut c_void,
) -> c_int {
    // SAFETY: the loader's description of an object, and the pair that `following` passed.
    let (info, table) = unsafe { (&*info, &mut *table.cast::<(usize, usize)>()) };
    for i in 0..usize::from(info.dlpi_phnum) {
        // SAFETY: so many headers are there.
        let header = unsafe { &*info.dlpi_phdr.add(i) };
        if header.p_type != libc::PT_DYNAMIC {
            continue;
        }
        let base = info.dlpi_addr as usize;
        let mut entry = (base + header.p_vaddr as usize) as *const Dyn;
        loop {
            // SAFETY: the dynamic section, which DT_NULL ends.
            let Dyn { tag, value } = unsafe { entry.read() };
            match tag {
                DT_NULL => break,
                DT_INIT_ARRAY => table.0 = base + value,
                DT_INIT_ARRAYSZ => table.1 = value,
                _ => {}
            }
            // SAFETY: as above; this was not the last.
            entry = unsafe { entry.add(1) };
        }
    }
    1
}
