//! The `ctr-logs` binary: see [`ctr_logs`].

fn main() -> std::process::ExitCode {
    ctr_logs::main()
}
