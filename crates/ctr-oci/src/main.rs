//! The `ctr-oci` binary: see [`ctr_oci`].

/// It allocates little and lives shortly (see [`ctr_sys::arena`]).
#[global_allocator]
static ARENA: ctr_sys::arena::Arena = ctr_sys::arena::Arena;

fn main() -> std::process::ExitCode {
    ctr_oci::main()
}
