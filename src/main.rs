//! The binary. Everything it does stands in the library.

fn main() {}
