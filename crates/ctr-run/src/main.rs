//! The `ctr-run` binary: see [`ctr_run`].

fn main() -> std::process::ExitCode {
    ctr_run::main()
}
