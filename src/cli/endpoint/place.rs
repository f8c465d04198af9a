//! Where an endpoint is, put together from the options that its kind has. Refuses the others, and
//! says what to write.

use std::path::PathBuf;

use crate::cli::endpoint::KindWord;
use crate::cli::failure::Failure;
use crate::cli::parse;
use crate::model::endpoint::EndpointName;
use crate::model::location::{InvalidLocation, S3Location, WebdavLocation};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Place {
    /// For posix, the directory on the server's machine that is its root
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// For s3, the address of the store; for webdav, that of the root collection
    // Not `--url`, which is the lake's own server: one slip would send its key to a store.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// For s3, the bucket
    #[arg(long)]
    bucket: Option<String>,
    /// For s3, what the paths of all objects begin with
    #[arg(long)]
    prefix: Option<String>,
}

impl Place {
    /// The location as the API has it.
    pub(super) fn location(self, name: &EndpointName, kind: KindWord) -> Result<String, Failure> {
        let s3 = kind == KindWord::S3;
        let table = [
            (self.path.is_some(), kind == KindWord::Posix, "--path"),
            (self.url.is_some(), s3 || kind == KindWord::Webdav, "--url"),
            (self.bucket.is_some(), s3, "--bucket"),
            (self.prefix.is_some(), s3, "--prefix"),
        ];
        if let Some((_, _, option)) = table.iter().find(|(given, useful, _)| *given && !useful) {
            return Err(useless(option, kind));
        }
        let lacks = |what: &str| Failure::Usage { detail: what.to_owned(), hint: Some(example(name, kind)) };
        match kind {
            KindWord::Memory => Ok(name.to_string()),
            KindWord::Posix => directory(self.path.ok_or_else(|| lacks("a posix endpoint needs a directory"))?),
            KindWord::Webdav => {
                let url = self.url.ok_or_else(|| lacks("a webdav endpoint needs the address of a collection"))?;
                let location = WebdavLocation::parse(&url).map_err(|error| refused(&error, name, kind))?;
                Ok(location.to_string())
            }
            KindWord::S3 => {
                let url = self.url.ok_or_else(|| lacks("an s3 endpoint needs the address of the store"))?;
                let bucket = self.bucket.ok_or_else(|| lacks("an s3 endpoint needs a bucket"))?;
                bucket_at(&url, &bucket, self.prefix.as_deref()).map_err(|error| match error {
                    Misplaced::Path => lacks("--url is the address of the store alone, without a path"),
                    Misplaced::Bucket => {
                        lacks("--bucket is the name of the bucket alone; --prefix is for what follows")
                    }
                    Misplaced::Invalid(error) => refused(&error, name, kind),
                })
            }
        }
    }
}

/// What is wrong with the parts of an S3 location.
enum Misplaced {
    Path,
    Bucket,
    Invalid(InvalidLocation),
}

fn bucket_at(url: &str, bucket: &str, prefix: Option<&str>) -> Result<String, Misplaced> {
    // A path, perhaps with the bucket in it, would become part of the name of another bucket. It is
    // read as a web address, as an S3 location would have to have a bucket.
    let server = WebdavLocation::parse(url).map_err(Misplaced::Invalid)?;
    if !server.path().is_empty() {
        return Err(Misplaced::Path);
    }
    if bucket.contains('/') {
        return Err(Misplaced::Bucket);
    }
    let text = match prefix.map(|prefix| prefix.trim_matches('/')).filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => format!("{}/{bucket}/{prefix}", server.server()),
        None => format!("{}/{bucket}", server.server()),
    };
    Ok(S3Location::parse(&text).map_err(Misplaced::Invalid)?.to_string())
}

fn directory(path: PathBuf) -> Result<String, Failure> {
    parse::absolute(&path)?
        .into_os_string()
        .into_string()
        .map_err(|path| Failure::Usage { detail: format!("the path {} is not UTF-8", path.display()), hint: None })
}

fn refused(error: &InvalidLocation, name: &EndpointName, kind: KindWord) -> Failure {
    Failure::Usage { detail: error.to_string(), hint: Some(example(name, kind)) }
}

/// The error for an option that a kind of endpoint does not have.
pub(super) fn useless(option: &str, kind: KindWord) -> Failure {
    let name = kind.kind().name();
    let hint = match kind {
        KindWord::Posix => "leave it out, or say --kind s3 or --kind webdav".to_owned(),
        KindWord::Webdav if matches!(option, "--bucket" | "--prefix") => {
            "write the whole address into --url, as https://dav.example.org/data".to_owned()
        }
        _ => "leave it out".to_owned(),
    };
    Failure::Usage { detail: format!("a {name} endpoint has no use for {option}"), hint: Some(hint) }
}

/// A command line that would do.
fn example(name: &EndpointName, kind: KindWord) -> String {
    match kind {
        KindWord::Posix => format!("dapple endpoint add {name} --path DIR --create"),
        KindWord::Memory => format!("dapple endpoint add {name} --kind memory"),
        KindWord::S3 => format!(
            "dapple endpoint add {name} --kind s3 --url https://s3.example.org --bucket BUCKET --secret-file FILE"
        ),
        KindWord::Webdav => {
            format!("dapple endpoint add {name} --kind webdav --url https://dav.example.org/data --secret-file FILE")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str, url: &str, bucket: &str, prefix: &str) -> Place {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Place { path: given(path).map(PathBuf::from), url: given(url), bucket: given(bucket), prefix: given(prefix) }
    }

    #[test]
    fn options_make_a_location_or_an_error_that_says_what_to_write() {
        let (posix, s3, webdav) = (KindWord::Posix, KindWord::S3, KindWord::Webdav);
        let table = [
            (posix, place("/a", "", "", ""), Ok("/a")),
            (posix, place("", "", "", ""), Err("--path DIR")),
            (posix, place("/a", "https://h", "", ""), Err("--kind s3")),
            (s3, place("", "https://H:443/", "abc", ""), Ok("https://h/abc")),
            (s3, place("", "http://127.0.0.1:9000", "abc", "/p/q/"), Ok("http://127.0.0.1:9000/abc/p/q")),
            (s3, place("", "https://h", "", ""), Err("--bucket BUCKET")),
            (s3, place("", "", "abc", ""), Err("--url https://")),
            (s3, place("", "https://h/abc", "abc", ""), Err("without a path")),
            (s3, place("", "https://h", "abc/p", ""), Err("--prefix is for")),
            (s3, place("", "https://h", "ABC", ""), Err("lower-case")),
            (s3, place("", "https://h", "abc", "p//q"), Err("empty part")),
            (s3, place("", "https://k:w@h", "abc", ""), Err("give it as the secret")),
            (s3, place("/a", "https://h", "abc", ""), Err("no use for --path")),
            (webdav, place("", "https://h/a/", "", ""), Ok("https://h/a")),
            (webdav, place("", "", "", ""), Err("--url https://")),
            (webdav, place("", "https://h/a", "abc", ""), Err("whole address into --url")),
            (webdav, place("", "ftp://h/a", "", ""), Err("https://")),
        ];
        let name = EndpointName::parse("x").expect("a name");
        for (kind, place, expected) in table {
            let shown = format!("{kind:?} {place:?}");
            match (place.location(&name, kind), expected) {
                (Ok(location), Ok(expected)) => assert_eq!(location, expected, "{shown}"),
                (Err(failure), Err(expected)) => {
                    let problem = failure.problem();
                    let told = format!("{} {}", problem.detail, problem.hint.unwrap_or_default());
                    assert!(failure.exit_code() == 2 && told.contains(expected), "{shown}: {told}");
                }
                (found, _) => panic!("{shown}: {found:?}"),
            }
        }
    }
}
