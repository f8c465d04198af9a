//! All settings of a server. What is written here is their reference: the text goes to
//! `docs/settings.md`, `dapple config describe` and the template as it is.

use std::path::PathBuf;

use crate::config::declared::declare;
use crate::config::secret::{DatabaseUrl, ShellLine};
use crate::config::value::{Bytes, Count, Listen, LogFilter, LogFormat, PublicUrl, Scheme, Span};
use crate::model::network::Network;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

declare! {
    /// The lake, and where it is served.
    serve: Serve {
        /// The directory in which the lake keeps its catalog and keys.
        dir: Option<PathBuf> = "";
        /// Where to listen. An address without a scheme speaks TLS if `tls.certificate` is set, and plain
        /// HTTP otherwise; `https://` insists on TLS, `http://` on none.
        listen: Vec<Listen> = "127.0.0.1:7070";
        /// How the lake is reached from outside. Signed URLs begin with it. If it is not set, they begin
        /// with the first address of `serve.listen`.
        public_url: Option<PublicUrl> = "";
        /// How long a stop waits for requests and workers to finish what they are doing.
        stop_time: Span<0, HOUR> = "10s";
    }
    /// The certificate of the listeners. Both files are read again when they change and at SIGHUP; a pair
    /// that cannot be used is logged, and the one before it stays. TLS 1.2 and 1.3 are spoken.
    tls: Tls {
        /// A file with the server's certificate and those between it and its authority, in PEM.
        certificate: Option<PathBuf> = "";
        /// A file with the private key of the certificate, in PEM.
        key: Option<PathBuf> = "";
        /// How often the files are looked at.
        reload_every: Span<1, HOUR> = "10s";
        /// How long a client may take to shake hands.
        handshake_time: Span<1, { 5 * MINUTE }> = "10s";
    }
    /// Who may do what.
    policy: PolicySettings {
        /// A directory of policies: all its `*.cedar` are in force, in place of those that come along. They
        /// are read again when they change and at SIGHUP; a set that does not hold together is logged, and
        /// the one before it stays.
        dir: Option<PathBuf> = "";
    }
    /// Proxies in front of the server.
    proxies: Proxies {
        /// Networks whose `X-Forwarded-For` is believed. A request's address is the last one in it that is
        /// not a trusted proxy's. From anybody else the header is ignored; `X-Forwarded-Host` and
        /// `X-Forwarded-Proto` are ignored always, as `serve.public_url` says how the lake is reached.
        trusted: Vec<Network> = "";
    }
    /// How much one client, and all of them, can ask for.
    limits: Limits {
        /// How many connections are open at once. Further ones wait until one ends.
        connections: Count<1, 1_000_000> = "1024";
        /// How many of them one address may have, and one /64 of IPv6. Further ones are closed. Proxies in
        /// `proxies.trusted` are not counted: name those that stand in front of the server.
        connections_per_address: Count<1, 1_000_000> = "256";
        /// How many bytes the head of a request may have, its headers and their names together.
        header_bytes: Bytes<{ 4 * KIB }, MIB> = "32KiB";
        /// How many bytes the path and query of a request may have.
        uri_bytes: Bytes<256, { 64 * KIB }> = "8KiB";
        /// How many bytes a JSON body may have. Bytes of files and streams of lines have no such limit.
        json_bytes: Bytes<{ 16 * KIB }, GIB> = "4MiB";
        /// How long a client may take to send the head of a request. A connection on which no request
        /// comes for so long is closed.
        header_time: Span<1, HOUR> = "30s";
        /// How long the API may take to begin its answer. A body that streams, either way, may take longer
        /// as long as it moves.
        request_time: Span<1, HOUR> = "60s";
        /// How long bytes that a client sends or reads may stand still before its connection is closed.
        stall_time: Span<1, HOUR> = "1m";
        /// How many requests a second one account may make, and one address that shows no key.
        /// 0 is without limit. Signed URLs are not counted.
        requests_per_second: Count<0, 1_000_000> = "0";
        /// How many requests may come at once before that limit counts.
        requests_at_once: Count<1, 1_000_000> = "200";
    }
    /// What is logged, to stderr always.
    log: Log {
        /// How lines are written: `text` for people, or `json`, one object per line.
        format: LogFormat = "text";
        /// How much is logged: a level, or a filter such as `info,dapple::rules=debug`.
        level: LogFilter = "info";
        /// Whether each request is logged at the level `info` when its answer is known. Otherwise it is at
        /// `debug`. Queries, which hold signatures, are logged at neither.
        requests: bool = "false";
    }
    /// Numbers for Prometheus, under `/metrics`.
    metrics: Metrics {
        /// Listeners that serve `/metrics` and `/health`, and nothing else, to whoever asks.
        listen: Vec<Listen> = "";
        /// Whether the listeners of the lake itself serve `/metrics` to whoever asks. Otherwise they ask
        /// for the API key of an admin.
        open: bool = "false";
    }
    /// How files are moved.
    transfers: Transfers {
        /// How many workers move files. Each has up to 32 files on their way.
        movers: Count<1, 8> = "2";
        /// How many large files, from 32 MiB on, are on their way through the server at once. Each takes
        /// tens of MiB of memory.
        lanes: Count<1, 256> = "8";
        /// How long a file may take on its way, and two seconds more for each MiB; then it is broken off. If
        /// a server goes away, another takes up its files when that time is over.
        lease: Span<5, { 24 * HOUR }> = "10m";
    }
    /// The catalog: embedded, in `serve.dir`, or on a PostgreSQL server that several servers share.
    catalog: CatalogSettings {
        /// How much of the embedded catalog is kept in memory.
        cache_bytes: Bytes<{ 8 * MIB }, { 1024 * GIB }> = "64MiB";
        /// Where the PostgreSQL server is, such as `postgres://dapple@db.example.org/dapple`. If it is not set,
        /// the catalog is embedded. Connections to other machines are encrypted and the server's certificate
        /// is checked, unless the URL ends in `?sslmode=disable`; `sslrootcert=FILE` names authorities.
        url: Option<DatabaseUrl> = "";
        /// A file with the password for that server. It is read for every new connection.
        password_file: Option<PathBuf> = "";
        /// A shell command that prints the password for that server. It is run for every new connection.
        password_command: Option<ShellLine> = "";
        /// How many connections to that server there may be. A quarter of them write.
        connections: Count<8, 1000> = "32";
        /// How long the work of a server that is gone waits, before another takes it up.
        lease: Span<5, HOUR> = "30s";
    }
}

impl Settings {
    /// What no setting has by itself, but two of them have together: which one to change, and why.
    pub(super) fn contradictions(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        match (&self.tls.certificate, &self.tls.key) {
            (Some(_), None) => found.push(("tls.certificate", "a certificate needs its key: set tls.key".to_owned())),
            (None, Some(_)) => found.push(("tls.key", "a key needs its certificate: set tls.certificate".to_owned())),
            _ => {}
        }
        for (key, listeners) in [("serve.listen", &self.serve.listen), ("metrics.listen", &self.metrics.listen)] {
            if self.tls.certificate.is_none() && listeners.iter().any(|listen| listen.scheme == Scheme::Https) {
                found.push((key, "https:// needs a certificate: set tls.certificate and tls.key".to_owned()));
            }
        }
        if self.catalog.password_file.is_some() && self.catalog.password_command.is_some() {
            let what = "one password is enough: set catalog.password_file or this, not both";
            found.push(("catalog.password_command", what.to_owned()));
        }
        if self.serve.listen.is_empty() {
            found.push(("serve.listen", "a server listens somewhere: name an address".to_owned()));
        }
        found
    }
}
