//! Seeded simulations: many acts and faults under a clock that is turned by hand.
