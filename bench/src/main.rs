//! Benchmarks of greenloom beside their references.
fn main() {}
