//! Tests that see the house from outside: one binary, one module per subject.

mod engine_conformance;
