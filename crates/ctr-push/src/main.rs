//! The `ctr-push` binary: see [`ctr_push`].

fn main() -> std::process::ExitCode {
    ctr_push::main()
}
