//! The `ctr-build` binary: see [`ctr_build`].

fn main() -> std::process::ExitCode {
    ctr_build::main()
}
