//! The `ctr-stop` binary: see [`ctr_stop`].

fn main() -> std::process::ExitCode {
    ctr_stop::main()
}
