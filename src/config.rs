//! Settings: what a server is told, from a file, the environment and flags.
//!
//! Each setting is declared once, in [`settings`], with its type, default and description; reading,
//! `dapple config`, the template and `docs/settings.md` all follow from that. Every value knows where it
//! comes from. What is not known is an error, never passed over: a mistyped limit would be no limit.
//! Never holds a secret: settings name files.

pub mod contexts;
pub mod declared;
pub mod page;
pub mod resolve;
pub mod secret;
pub mod settings;
pub mod suggest;
pub mod value;
