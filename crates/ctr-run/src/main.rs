//! The `ctr-run` binary: see [`ctr_run`].

/// The launcher allocates little and lives shortly (see [`ctr_sys::arena`]).
#[global_allocator]
static ARENA: ctr_sys::arena::Arena = ctr_sys::arena::Arena;

fn main() -> std::process::ExitCode {
    ctr_run::main()
}
