//! The `ctr-login` binary: see [`ctr_login`].

fn main() -> std::process::ExitCode {
    ctr_login::main()
}
