//! The `ctr-ps` binary: see [`ctr_ps`].

fn main() -> std::process::ExitCode {
    ctr_ps::main()
}
