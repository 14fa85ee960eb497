//! The `ctr-image` binary: see [`ctr_image`].

fn main() -> std::process::ExitCode {
    ctr_image::main()
}
