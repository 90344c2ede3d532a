//! The thin binary: everything is in the library.

use std::process::ExitCode;

/// The process's allocator; a library leaves that choice to its program.
#[cfg(all(feature = "jemalloc", target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    countersign::cli::main()
}
