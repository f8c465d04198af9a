//! (to be written)

/// A POSIX backend.
#[derive(Debug)]
pub struct Posix;
