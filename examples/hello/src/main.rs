//! A small program for a first image.
#![forbid(unsafe_code)]
fn main() {
    println!("hello from a container");
}
