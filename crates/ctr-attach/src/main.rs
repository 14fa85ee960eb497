//! The `ctr-attach` binary: see [`ctr_attach`].

fn main() -> std::process::ExitCode {
    ctr_attach::main()
}
