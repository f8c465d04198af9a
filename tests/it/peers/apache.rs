//! Apache with mod_dav: an area behind Basic credentials, an open one, TLS, and an area of TLS for
//! client certificates.

use std::sync::OnceLock;

use super::{Certificates, Server, free_port, scratch, shared_directory};

/// The user and the password of [`Apache::guarded`].
pub(crate) const PAIR: (&str, &str) = ("alice", "secret word");

pub(crate) struct Apache {
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    _server: Server,
}

const MODULES: [&str; 16] = [
    "mpm_event",
    "authn_core",
    "authz_core",
    "authz_user",
    "auth_basic",
    "authn_file",
    "dav",
    "dav_fs",
    "mime",
    "dir",
    "headers",
    "ssl",
    "socache_shmcb",
    "setenvif",
    "env",
    "alias",
];

impl Apache {
    /// The only one.
    pub(crate) fn get() -> &'static Self {
        static APACHE: OnceLock<Apache> = OnceLock::new();
        APACHE.get_or_init(Self::start)
    }

    /// The URL of the open area.
    pub(crate) fn open(&self) -> String {
        format!("http://127.0.0.1:{}/open", self.port)
    }

    /// The URL of the area behind credentials.
    pub(crate) fn guarded(&self) -> String {
        format!("http://127.0.0.1:{}/guarded", self.port)
    }

    /// The open area by TLS.
    pub(crate) fn tls(&self) -> String {
        format!("https://localhost:{}/open", self.tls_port)
    }

    /// The area for holders of client certificates.
    pub(crate) fn certified(&self) -> String {
        format!("https://localhost:{}/certified", self.tls_port)
    }

    fn start() -> Self {
        let (directory, certificates) = (scratch(), Certificates::get());
        let (port, tls_port) = (free_port(), free_port());
        let root = directory.path().display().to_string();
        for area in ["open", "guarded", "certified", "run"] {
            shared_directory(&directory.path().join(area));
        }
        let (name, word) = PAIR;
        let hashed = std::process::Command::new("htpasswd").args(["-nb", name, word]).output();
        let hashed = hashed.expect("htpasswd is not here: tests/run installs it").stdout;
        std::fs::write(directory.path().join("users"), hashed).expect("writable");
        let modules = MODULES.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
        let modules = modules.concat();
        let (certificate, key, ca) =
            (certificates.path("server.crt"), certificates.path("server.key"), certificates.path("ca.pem"));
        let settings = format!(
            "ServerRoot {root}
ServerName localhost
PidFile {root}/run/pid
DefaultRuntimeDir {root}/run
Mutex file:{root}/run
User www-data
Group www-data
Listen 127.0.0.1:{port}
Listen 127.0.0.1:{tls_port}
{modules}ErrorLog {root}/errors
TypesConfig /etc/mime.types
DocumentRoot {root}
DavLockDB {root}/run/locks
ThreadsPerChild 32
MaxRequestWorkers 64
KeepAlive On
MaxKeepAliveRequests 0
AllowEncodedSlashes NoDecode
DirectoryIndex disabled
<Directory {root}>
  Require all denied
</Directory>
<Directory {root}/open>
  Dav On
  Require all granted
</Directory>
<Directory {root}/guarded>
  Dav On
  AuthType Basic
  AuthName lake
  AuthUserFile {root}/users
  Require valid-user
</Directory>
<VirtualHost 127.0.0.1:{tls_port}>
  SSLEngine on
  SSLCertificateFile {certificate}
  SSLCertificateKeyFile {key}
  SSLCACertificateFile {ca}
  SSLVerifyClient optional
  <Directory {root}/certified>
    Dav On
    Require expr %{{SSL_CLIENT_VERIFY}} == 'SUCCESS'
  </Directory>
</VirtualHost>
"
        );
        let file = directory.path().join("settings");
        std::fs::write(&file, settings).expect("writable");
        let file = file.display().to_string();
        let server = Server::start("apache2", &["-D", "FOREGROUND", "-f", &file], directory, &[port, tls_port]);
        Self { port, tls_port, _server: server }
    }
}
