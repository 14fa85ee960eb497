//! The coverage-guided driver: `CTR_FUZZ_TARGET=NAME libfuzzer CORPUS_DIR [libFuzzer options]`.
#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<&'static ctr_fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("CTR_FUZZ_TARGET").expect("CTR_FUZZ_TARGET names the target");
    ctr_fuzz::target(&name).unwrap_or_else(|| panic!("no target {name:?}"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
