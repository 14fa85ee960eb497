//! The `ctr-fetch` binary: see [`ctr_fetch`].

fn main() -> std::process::ExitCode {
    ctr_fetch::main()
}
