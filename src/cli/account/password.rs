//! `dapple account password`: reads passwords from files, stdin or the terminal, never from the
//! command line, which every process can see. Nothing here repeats one.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::Session;
use crate::cli::dry::DryRun;
use crate::cli::failure::Failure;
use crate::client::Client;
use crate::model::account::AccountName;
use crate::service::view::{NewPassword, PasswordRemoval, SecretText};

/// The most bytes that a password's file may have.
const FILE_BYTES_MAX: u64 = 4 * 1_024;
/// Where the person is.
const TERMINAL: &str = "/dev/tty";

#[derive(Debug, clap::Args)]
pub(crate) struct PasswordArgs {
    account: AccountName,
    /// A file with the new password, `-` for stdin [default: ask]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file with the password so far, where it is your own [default: ask, if there is one]
    #[arg(long, value_name = "FILE")]
    current_file: Option<PathBuf>,
    /// Let the account sign in with no password any more
    #[arg(long, conflicts_with = "password_file")]
    remove: bool,
    #[command(flatten)]
    dry: DryRun,
}

pub(super) async fn run(session: &mut Session, args: PasswordArgs) -> Result<(), Failure> {
    args.dry.begin(session);
    let client = session.client.clone();
    let account = args.account.clone();
    let asks_current = args.password_file.is_none() && args.current_file.is_none() && is_own(&client, &account).await?;
    if args.remove {
        let work = move || read_current(args.current_file.as_deref(), asks_current);
        let current = tokio::task::spawn_blocking(work).await.expect("reading a password does not panic")?;
        client.remove_password(&account, &PasswordRemoval { current }).await?;
        session.screen.talk().say(&format!("{account} has no password any more, and its sessions have ended"));
        return Ok(());
    }
    let work = move || read(args, asks_current);
    let new = tokio::task::spawn_blocking(work).await.expect("reading a password does not panic")?;
    client.set_password(&account, &new).await?;
    session.screen.talk().say(&format!("{account} has a new password; its sessions have ended"));
    Ok(())
}

/// Tells whether it is one's own password, which only those change who know it.
async fn is_own(client: &Client, account: &AccountName) -> Result<bool, Failure> {
    let who = client.whoami().await?;
    let needed = who.account == *account && (!who.admin || who.authenticated_at.is_some());
    Ok(needed && client.account(account).await?.has_password)
}

/// The password so far, where it has to be said.
fn read_current(file: Option<&Path>, asks: bool) -> Result<Option<SecretText>, Failure> {
    let current = match file {
        Some(path) => Some(of_file(path)?),
        None if asks => Some(ask("password so far: ")?),
        None => None,
    };
    Ok(current.map(SecretText::new))
}

fn read(args: PasswordArgs, asks_current: bool) -> Result<NewPassword, Failure> {
    let current = read_current(args.current_file.as_deref(), asks_current)?;
    let password = match &args.password_file {
        Some(path) => of_file(path)?,
        None => {
            let first = ask("new password: ")?;
            if ask("once more: ")? != first {
                return Err(Failure::Usage { detail: "the two are not the same".to_owned(), hint: None });
            }
            first
        }
    };
    Ok(NewPassword { password: SecretText::new(password), current })
}

/// The first line of a file, without what ends it.
fn of_file(path: &Path) -> Result<String, Failure> {
    let failed = |source| Failure::io("read the password in", path, source);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)).map_err(failed)?;
    }
    let refuse =
        |detail: &str| Failure::Usage { detail: format!("the password in {}: {detail}", path.display()), hint: None };
    // Not the error itself: it has the bytes.
    let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8"))?;
    let line = text.trim_end_matches(['\n', '\r']);
    if line.contains(['\n', '\r']) {
        return Err(refuse("it has more than one line"));
    }
    Ok(line.to_owned())
}

/// Asks at the terminal, which does not show what is typed.
fn ask(question: &str) -> Result<String, Failure> {
    let no_terminal = || Failure::Usage {
        detail: "there is no terminal to ask for the password".to_owned(),
        hint: Some("give it with --password-file FILE, or - for stdin".to_owned()),
    };
    let terminal = File::options().read(true).write(true).open(TERMINAL).map_err(|_| no_terminal())?;
    let quiet = Quiet::begin(&terminal).map_err(|_| no_terminal())?;
    let failed = |source| Failure::io("ask at", Path::new(TERMINAL), source);
    write!(&terminal, "{question}").map_err(failed)?;
    let mut line = String::new();
    BufReader::new(&terminal).read_line(&mut line).map_err(failed)?;
    drop(quiet);
    writeln!(&terminal).map_err(failed)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn begin(terminal: &'a File) -> rustix::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        tcsetattr(self.terminal, OptionalActions::Flush, &self.before).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_of_a_file_and_never_repeated() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("password");
        std::fs::write(&path, " correct horse \n").expect("writable");
        assert_eq!(of_file(&path).expect("a password"), " correct horse ", "spaces may be meant");
        for content in [&b"hunter2\nhunter2"[..], b"hunter2\xff"] {
            std::fs::write(&path, content).expect("writable");
            let failure = of_file(&path).expect_err("no password");
            assert!(failure.exit_code() == 2 && !format!("{failure:?}").contains("hunter2"), "{failure:?}");
        }
    }
}
