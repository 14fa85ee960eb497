//! The `ctr-rm` binary: see [`ctr_rm`].

fn main() -> std::process::ExitCode {
    ctr_rm::main()
}
