//! `dapple endpoint …`: storages that hold replicas.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use crate::cli::failure::Failure;
use crate::cli::{Session, parse};
use crate::model::endpoint::{EndpointKind, EndpointName};
use crate::service::view::{EndpointChange, NewEndpoint};

#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    /// Add an endpoint
    Add {
        /// Its name
        #[arg(value_parser = parse::endpoint)]
        name: EndpointName,
        /// The protocol it speaks
        #[arg(long, value_enum, default_value = "posix")]
        kind: KindWord,
        /// For posix, the directory on the server's machine that is its root
        #[arg(long)]
        path: Option<PathBuf>,
        /// An attribute for expressions to match; may be given many times
        #[arg(long = "attr", value_name = "KEY=VALUE", value_parser = parse::attribute)]
        attributes: Vec<(String, String)>,
        /// Make the directory if it is missing
        #[arg(long)]
        create: bool,
    },
    /// List endpoints
    List,
    /// Show an endpoint
    Show {
        /// Its name
        #[arg(value_parser = parse::endpoint)]
        name: EndpointName,
    },
    /// Set and unset attributes
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
    Set {
        /// Its name
        #[arg(value_parser = parse::endpoint)]
        name: EndpointName,
        /// An attribute to set; may be given many times
        #[arg(long = "attr", value_name = "KEY=VALUE", value_parser = parse::attribute, group = "change")]
        attributes: Vec<(String, String)>,
        /// An attribute to remove; may be given many times
        #[arg(long, value_name = "KEY", group = "change")]
        unset: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindWord {
    Posix,
    Memory,
}

pub(crate) async fn run(session: &mut Session, command: EndpointCommand) -> Result<(), Failure> {
    let view = match command {
        EndpointCommand::List => return session.screen.list(session.client.endpoints().stream()).await,
        EndpointCommand::Show { name } => session.client.endpoint(&name).await?,
        EndpointCommand::Add { name, kind, path, attributes, create } => {
            let new = NewEndpoint {
                location: location(&name, kind, path)?,
                name,
                kind: match kind {
                    KindWord::Posix => EndpointKind::Posix,
                    KindWord::Memory => EndpointKind::Memory,
                },
                attributes: attributes.into_iter().collect(),
                create,
            };
            session.client.add_endpoint(&new).await?
        }
        EndpointCommand::Set { name, attributes, unset } => {
            if let Some((key, _)) = attributes.iter().find(|(key, _)| unset.contains(key)) {
                return Err(Failure::Usage {
                    detail: format!("`{key}` cannot be set and unset at once"),
                    hint: Some("leave out --attr or --unset for it".to_owned()),
                });
            }
            let removed = unset.into_iter().map(|key| (key, None));
            let set = attributes.into_iter().map(|(key, value)| (key, Some(value)));
            let attributes: BTreeMap<_, _> = removed.chain(set).collect();
            session.client.change_endpoint(&name, &EndpointChange { attributes }).await?
        }
    };
    session.screen.one(&view)
}

fn location(name: &EndpointName, kind: KindWord, path: Option<PathBuf>) -> Result<String, Failure> {
    let path = match (kind, path) {
        (KindWord::Memory, _) => return Ok(name.to_string()),
        (KindWord::Posix, None) => {
            return Err(Failure::Usage {
                detail: "a posix endpoint needs a directory".to_owned(),
                hint: Some(format!("dapple endpoint add {name} --path DIR --create")),
            });
        }
        (KindWord::Posix, Some(path)) => parse::absolute(&path)?,
    };
    path.into_os_string()
        .into_string()
        .map_err(|path| Failure::Usage { detail: format!("the path {} is not UTF-8", path.display()), hint: None })
}
