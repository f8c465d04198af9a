//! Opens the catalog: embedded in the lake's directory, or on a PostgreSQL server that several servers
//! share. Servers that share a catalog must have the same keys: each looks whether it has the lake's.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::app::error::AppError;
use crate::app::secrets;
use crate::catalog::engine::Engine;
use crate::catalog::engine::embedded::{Embedded, EmbeddedSettings};
use crate::catalog::engine::postgres::{Address, Password, Postgres, PostgresSettings};
use crate::catalog::record::Facts;
use crate::catalog::{Catalog, CatalogError};
use crate::clock::SharedClock;
use crate::config::settings::CatalogSettings;

/// The directory of the embedded catalog, below the lake's.
pub(super) const EMBEDDED: &str = "catalog";
/// The longest password that is read.
const PASSWORD_BYTES_MAX: usize = 4 << 10;

/// Opens the catalog that the settings name.
pub(super) async fn open(
    directory: &Path,
    settings: &CatalogSettings,
    clock: &SharedClock,
) -> Result<Catalog, AppError> {
    let engine: Arc<dyn Engine> = match &settings.url {
        None => {
            let of_engine = EmbeddedSettings { cache_bytes: settings.cache_bytes.0, ..EmbeddedSettings::default() };
            Embedded::open(&directory.join(EMBEDDED), &of_engine, Arc::clone(clock))?
        }
        Some(url) => {
            let connections = u32::try_from(settings.connections.0).expect("connections have bounds that fit");
            let (address, password) = (Address::parse(url.reveal())?, password(settings));
            Postgres::open(PostgresSettings { address, password, connections }, Arc::clone(clock)).await?
        }
    };
    Ok(Catalog::new(engine, Arc::clone(clock)).with_lease_span(settings.lease.0))
}

/// What gives the password, if anything is to.
fn password(settings: &CatalogSettings) -> Option<Password> {
    if let Some(path) = settings.password_file.clone() {
        let read = move || {
            let failed = |error| format!("the password in {} cannot be read: {error}", path.display());
            let text = std::fs::read(&path).map_err(failed)?;
            one_line(&text).ok_or_else(|| format!("{} does not hold a password on one line", path.display()))
        };
        return Some(Arc::new(read));
    }
    let line = settings.password_command.clone()?.0;
    let run = move || {
        let failed = |error| format!("the command for the password cannot be run: {error}");
        let output = Command::new("sh").args(["-c", &line]).output().map_err(failed)?;
        if !output.status.success() {
            return Err(format!("the command for the password failed: {}", output.status));
        }
        one_line(&output.stdout).ok_or_else(|| "the command for the password did not print one line".to_owned())
    };
    Some(Arc::new(run))
}

fn one_line(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let is_one = !text.is_empty() && !text.contains('\n') && text.len() <= PASSWORD_BYTES_MAX;
    is_one.then(|| text.to_owned())
}

/// Tells a server whose keys are not the lake's, before it makes any of its own: what it signs, others
/// would refuse, and what they sealed, it could not open. The first server says which the keys are.
pub(super) async fn keys_are_ours(catalog: &Catalog, directory: &Path) -> Result<(), AppError> {
    if catalog.is_exclusive() {
        return Ok(());
    }
    for (fact, path) in secrets::shared(directory) {
        let view = catalog.view().await?;
        let known = view.get::<Facts>(&(fact.to_owned(),)).await?;
        drop(view);
        if known.is_some() && !path.exists() {
            return Err(AppError::OtherKey { path });
        }
    }
    for (fact, path) in secrets::shared(directory) {
        let ours = secrets::mark_of(&path, catalog.clock().as_ref())?;
        let noted = catalog
            .transact(move |txn| async move {
                let key = (fact.to_owned(),);
                let known = txn.get::<Facts>(&key).await?;
                if known.is_none() {
                    txn.put::<Facts>(&key, &ours);
                }
                Ok::<_, CatalogError>(known.unwrap_or(ours))
            })
            .await?;
        if noted != ours {
            return Err(AppError::OtherKey { path });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::engine::memory::Memory;
    use crate::clock::SystemClock;
    use crate::config::secret::ShellLine;
    use crate::config::settings::Settings;

    #[test]
    fn passwords_come_from_files_and_commands() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("password");
        std::fs::write(&path, "hunter2\n").expect("writable");
        let plain = Settings::default().catalog;
        assert!(password(&plain).is_none());
        let of_file = password(&CatalogSettings { password_file: Some(path.clone()), ..plain.clone() });
        let of_file = of_file.expect("a file is named");
        assert_eq!(of_file(), Ok("hunter2".to_owned()));
        std::fs::write(&path, "hunter3").expect("writable");
        assert_eq!(of_file(), Ok("hunter3".to_owned()), "it is read anew");
        std::fs::remove_file(&path).expect("it is there");
        assert!(of_file().is_err_and(|what| what.contains("password in")));
        for (line, expected) in
            [("echo hunter2", Ok("hunter2")), ("exit 3", Err("exit status: 3")), ("", Err("one line"))]
        {
            let password_command = Some(ShellLine(line.to_owned()));
            let told = password(&CatalogSettings { password_command, ..plain.clone() }).expect("a command is named")();
            match expected {
                Ok(password) => assert_eq!(told.as_deref(), Ok(password)),
                Err(word) => assert!(told.is_err_and(|what| what.contains(word)), "{line}"),
            }
        }
    }

    #[tokio::test]
    async fn an_embedded_lake_needs_no_agreement_on_keys() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let catalog = Catalog::new(Memory::shared(), SystemClock::shared());
        keys_are_ours(&catalog, scratch.path()).await.expect("it has the lake alone");
        assert!(std::fs::read_dir(scratch.path()).expect("there").next().is_none(), "and makes none here");
    }
}
