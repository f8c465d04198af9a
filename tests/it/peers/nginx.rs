//! nginx with the extended WebDAV module.

use std::sync::OnceLock;

use super::{Server, free_port, scratch, shared_directory};

pub(crate) struct Nginx {
    port: u16,
    _server: Server,
}

impl Nginx {
    /// The only one.
    pub(crate) fn get() -> &'static Self {
        static NGINX: OnceLock<Nginx> = OnceLock::new();
        NGINX.get_or_init(Self::start)
    }

    /// The URL of its area.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/dav", self.port)
    }

    fn start() -> Self {
        let (directory, port) = (scratch(), free_port());
        let root = directory.path().display().to_string();
        for area in ["dav", "tmp"] {
            shared_directory(&directory.path().join(area));
        }
        let settings = format!(
            "load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;
daemon off; user www-data; worker_processes 2; pid {root}/pid; error_log {root}/errors;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 0; large_client_header_buffers 8 16k;
  client_body_temp_path {root}/tmp/b; proxy_temp_path {root}/tmp/p; fastcgi_temp_path {root}/tmp/f;
  uwsgi_temp_path {root}/tmp/u; scgi_temp_path {root}/tmp/s;
  server {{
    listen 127.0.0.1:{port};
    location /dav/ {{
      root {root};
      dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS;
      create_full_put_path on; dav_access user:rw group:rw all:rw;
    }}
  }}
}}
"
        );
        let file = directory.path().join("settings");
        std::fs::write(&file, settings).expect("writable");
        let (file, errors) = (file.display().to_string(), format!("{root}/errors"));
        let server = Server::start("nginx", &["-c", &file, "-e", &errors], directory, &[port]);
        Self { port, _server: server }
    }
}
