//! What shells complete, and man pages: both made from the arguments themselves.

use std::path::Path;

use clap::{CommandFactory as _, ValueEnum};

use crate::cli::Cli;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;

/// A shell that completes commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script of a shell.
pub(crate) fn completion(screen: &mut Screen, shell: Shell) -> Result<(), Failure> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dapple", &mut script);
    screen.print(&String::from_utf8_lossy(&script))
}

/// Writes a page for each command.
pub(crate) fn man(directory: &Path) -> Result<(), Failure> {
    clap_mangen::generate_to(Cli::command(), directory)
        .map_err(|source| Failure::io("write man pages in", directory, source))
}
