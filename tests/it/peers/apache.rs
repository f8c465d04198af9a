//! Apache with mod_dav: an area behind a password, an open one, one for short bodies, and both over TLS, where a third
//! wants a client certificate.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Server, authority, free_port, home, open_to_all, program, run, wait_for_port};

/// The user and the password of [`Apache::guarded`].
pub(crate) const PAIR: (&str, &str) = ("alice", "secret");

/// A running Apache.
pub(crate) struct Apache {
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    pub(crate) directory: PathBuf,
    server: Server,
}

impl Apache {
    /// The URL of the open area.
    pub(crate) fn open(&self) -> String {
        format!("http://127.0.0.1:{}/open", self.port)
    }

    /// The URL of an area that refuses bodies of more than a MiB.
    pub(crate) fn narrow(&self) -> String {
        format!("http://127.0.0.1:{}/narrow", self.port)
    }

    /// The URL of the area behind the password.
    pub(crate) fn guarded(&self) -> String {
        format!("http://127.0.0.1:{}/dav", self.port)
    }

    /// The open area over TLS.
    pub(crate) fn tls(&self) -> String {
        format!("https://localhost:{}/open", self.tls_port)
    }

    /// The area for holders of the client certificate.
    pub(crate) fn certified(&self) -> String {
        format!("https://localhost:{}/certified", self.tls_port)
    }

    /// Starts one that the caller may stop and start again at the same place.
    pub(crate) fn start(directory: PathBuf, port: u16, tls_port: u16) -> Self {
        for area in ["dav", "open", "narrow", "certified", "lock", "run"] {
            std::fs::create_dir_all(directory.join(area)).expect("a scratch directory");
        }
        let (user, password) = PAIR;
        let d = directory.display();
        std::fs::write(directory.join("httpd.conf"), configuration(&directory, port, tls_port)).expect("room");
        open_to_all(&directory);
        run(&format!("{} -bc {d}/htpasswd {user} {password}; chown -R www-data: {d}", program("htpasswd")));
        let command = format!("{} -f {d}/httpd.conf -DFOREGROUND", program("apache2"));
        let server = Server::start(&command, &directory.join("apache.log"));
        wait_for_port(port, "apache2");
        Self { port, tls_port, directory, server }
    }

    /// Ends it; its files stay.
    pub(crate) fn stop(self) {
        self.server.stop();
    }
}

/// The Apache that tests share, started when first asked for.
pub(crate) fn apache() -> &'static Apache {
    static APACHE: OnceLock<Apache> = OnceLock::new();
    APACHE.get_or_init(|| Apache::start(home().join("apache"), free_port(), free_port()))
}

fn configuration(directory: &Path, port: u16, tls_port: u16) -> String {
    let (d, ca) = (directory.display(), authority().directory.display());
    let modules = [
        "mpm_event",
        "authn_core",
        "authz_core",
        "authz_user",
        "auth_basic",
        "authn_file",
        "dav",
        "dav_fs",
        "mime",
        "alias",
        "dir",
        "headers",
        "ssl",
        "socache_shmcb",
        "setenvif",
        "env",
        "reqtimeout",
    ];
    let modules = modules.map(|name| format!("LoadModule {name}_module modules/mod_{name}.so\n")).concat();
    format!(
        "ServerRoot /usr/lib/apache2\nServerName localhost\nPidFile {d}/run/httpd.pid\nDefaultRuntimeDir {d}/run\n\
         Mutex file:{d}/run\nUser www-data\nGroup www-data\nListen 127.0.0.1:{port}\nListen 127.0.0.1:{tls_port}\n\
         {modules}ErrorLog {d}/error.log\nTypesConfig /etc/mime.types\nDocumentRoot {d}\nDavLockDB {d}/lock/DavLock\n\
         ThreadsPerChild 32\nMaxRequestWorkers 64\nLimitRequestBody 0\nKeepAlive On\nMaxKeepAliveRequests 0\n\
         KeepAliveTimeout 5\nAllowEncodedSlashes NoDecode\n\
         <Directory {d}>\n Require all denied\n AllowOverride None\n</Directory>\n\
         <Directory {d}/dav>\n Dav On\n AuthType Basic\n AuthName lake\n AuthUserFile {d}/htpasswd\n \
         Require valid-user\n</Directory>\n\
         <Directory {d}/open>\n Dav On\n Require all granted\n</Directory>\n\
         <Directory {d}/narrow>\n Dav On\n Require all granted\n LimitRequestBody 1048576\n</Directory>\n\
         <Directory {d}/certified>\n Dav On\n Require expr %{{SSL_CLIENT_VERIFY}} == 'SUCCESS'\n</Directory>\n\
         <VirtualHost 127.0.0.1:{tls_port}>\n SSLEngine on\n SSLCertificateFile {ca}/server.crt\n \
         SSLCertificateKeyFile {ca}/server.key\n SSLCACertificateFile {ca}/ca.pem\n SSLVerifyClient optional\n\
         </VirtualHost>\n"
    )
}
