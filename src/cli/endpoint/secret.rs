//! Reads an endpoint's secret on the caller's machine: from a file, the environment, or what a
//! command prints. Never from the command line itself, which every process can see. Nothing here
//! repeats a secret.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::failure::Failure;
use crate::cli::screen::Talk;
use crate::service::view::SecretText;
use crate::storage::secret::{SECRET_BYTES_MAX, Secret};

#[derive(Debug, Default, clap::Args)]
#[expect(clippy::struct_field_names, reason = "they are named as the options are")]
pub(crate) struct SecretArgs {
    /// A file with the secret, `-` for stdin: `KEY:SECRET`, `USER:PASSWORD`, a token, or PEM
    #[arg(long, value_name = "FILE", group = "secret")]
    secret_file: Option<PathBuf>,
    /// The environment variable that has the secret
    #[arg(long, value_name = "NAME", group = "secret")]
    secret_env: Option<String>,
    /// A shell command that prints the secret
    #[arg(long, value_name = "COMMAND", group = "secret")]
    secret_command: Option<String>,
}

impl SecretArgs {
    pub(super) fn is_given(&self) -> bool {
        self.secret_file.is_some() || self.secret_env.is_some() || self.secret_command.is_some()
    }

    /// The secret, if one was given. Refuses what no storage could take.
    pub(super) async fn read(self, talk: Talk) -> Result<Option<SecretText>, Failure> {
        if !self.is_given() {
            return Ok(None);
        }
        let work = move || self.read_now(talk);
        tokio::task::spawn_blocking(work).await.expect("reading a secret does not panic").map(Some)
    }

    fn read_now(self, talk: Talk) -> Result<SecretText, Failure> {
        let (bytes, from) = match (self.secret_file, self.secret_env, self.secret_command) {
            (Some(path), ..) => (file(&path, talk)?, format!("in {}", path.display())),
            (_, Some(name), _) => (variable(&name)?, format!("in {name}")),
            (_, _, Some(line)) => (command(&line)?, "that the command printed".to_owned()),
            (None, None, None) => unreachable!("one of them was given"),
        };
        let refuse = |why: &dyn std::fmt::Display| Failure::Usage {
            detail: format!("the secret {from} cannot be one: {why}"),
            hint: None,
        };
        // Not the error itself: it has the bytes.
        let text = String::from_utf8(bytes).map_err(|_| refuse(&"it is not UTF-8"))?;
        Secret::parse(&text).map_err(|error| refuse(&error))?;
        Ok(SecretText::new(text.trim().to_owned()))
    }
}

fn file(path: &Path, talk: Talk) -> Result<Vec<u8>, Failure> {
    let failed = |source| Failure::io("read the secret in", path, source);
    if path == Path::new("-") {
        return limited(std::io::stdin()).map_err(failed);
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        let path = path.display();
        talk.say(&format!("warning: others can read or change {path}; `chmod 600 {path}` keeps it to you"));
    }
    limited(file).map_err(failed)
}

fn variable(name: &str) -> Result<Vec<u8>, Failure> {
    let value = std::env::var_os(name).map(OsString::into_encoded_bytes);
    value.ok_or_else(|| Failure::Usage {
        detail: format!(
            "there is no environment variable of the name that --secret-env gives, of {} letters",
            name.len()
        ),
        hint: Some("write the variable's name, such as --secret-env STORE_SECRET, and export it".to_owned()),
    })
}

fn command(line: &str) -> Result<Vec<u8>, Failure> {
    let failed = |source| Failure::io("run", Path::new("sh"), source);
    // It may ask a person: stdin and stderr stay the terminal's.
    let mut child = Command::new("sh").arg("-c").arg(line).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let printed = limited(child.stdout.take().expect("it was asked for"));
    let status = child.wait().map_err(failed)?;
    // One that prints too much may have died of not being listened to; that it is too much, is told.
    let too_much = printed.as_ref().is_ok_and(|bytes| bytes.len() > SECRET_BYTES_MAX);
    if !status.success() && !too_much {
        return Err(Failure::Usage {
            detail: format!("the command that should print the secret failed: {status}"),
            hint: Some("run it by itself to see why".to_owned()),
        });
    }
    printed.map_err(failed)
}

/// What there is to read, but little more than a secret may have.
fn limited(from: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(SECRET_BYTES_MAX as u64 + 1_024).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::screen::{Format, Screen};
    use crate::clock::SystemClock;

    async fn read(args: SecretArgs) -> Result<Option<SecretText>, Failure> {
        let screen = Screen::of_test(Format::Json, false, SystemClock::shared(), Box::new(std::io::sink()));
        args.read(screen.talk()).await
    }

    fn by_command(line: &str) -> SecretArgs {
        SecretArgs { secret_command: Some(line.to_owned()), ..SecretArgs::default() }
    }

    #[tokio::test]
    async fn secrets_are_read_from_files_variables_and_commands() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("secret");
        std::fs::write(&path, "\n key:hunter2 \n").expect("writable");
        let from_file = SecretArgs { secret_file: Some(path.clone()), ..SecretArgs::default() };
        for args in [from_file, by_command("echo key:hunter2"), by_command(&format!("cat '{}'", path.display()))] {
            assert_eq!(read(args).await.expect("good").expect("given").reveal(), "key:hunter2");
        }
        // A variable that every process has; what matters is that its value is taken as it is.
        let home = SecretArgs { secret_env: Some("PATH".to_owned()), ..SecretArgs::default() };
        let path = std::env::var_os("PATH").expect("there is one");
        let secret = read(home).await.expect("good").expect("given");
        assert_eq!(secret.reveal(), path.to_str().expect("text"));
        assert!(read(SecretArgs::default()).await.expect("nothing").is_none());
    }

    #[tokio::test]
    async fn what_is_no_secret_is_refused_without_repeating_it() {
        let env = SecretArgs { secret_env: Some("hunter2".to_owned()), ..SecretArgs::default() };
        let table = [
            (env, "no environment variable"),
            (by_command("true"), "empty"),
            (by_command("echo hunter2; exit 3"), "exit status: 3"),
            (by_command("printf 'hunter2\\nhunter2'"), "more than one line"),
            (by_command("printf 'hunter2\\377'"), "not UTF-8"),
            (by_command("head -c 100000 /dev/zero | tr '\\0' x"), "more than"),
        ];
        for (args, expected) in table {
            let failure = read(args).await.expect_err(expected);
            let told = format!("{failure} {failure:?} {:?}", failure.problem());
            assert!(failure.exit_code() == 2 && told.contains(expected), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
