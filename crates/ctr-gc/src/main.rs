//! The `ctr-gc` binary: see [`ctr_gc`].

fn main() -> std::process::ExitCode {
    ctr_gc::main()
}
