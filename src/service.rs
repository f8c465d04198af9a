//! Use-cases, the only door to the house: authorise, transact, wake, view.

pub mod view;
