//! The `ctr-volume` binary: see [`ctr_volume`].

fn main() -> std::process::ExitCode {
    ctr_volume::main()
}
