//! nginx with its WebDAV modules, without a password.

use std::sync::OnceLock;

use super::{Server, free_port, home, open_to_all, program, run, wait_for_port};

/// A running nginx.
pub(crate) struct Nginx {
    pub(crate) port: u16,
}

impl Nginx {
    /// The URL of its WebDAV area.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/dav", self.port)
    }
}

/// The nginx that tests share, started when first asked for.
pub(crate) fn nginx() -> &'static Nginx {
    static NGINX: OnceLock<Nginx> = OnceLock::new();
    NGINX.get_or_init(|| {
        let (directory, port) = (home().join("nginx"), free_port());
        for name in ["dav", "scratch"] {
            std::fs::create_dir_all(directory.join(name)).expect("a scratch directory");
        }
        let d = directory.display();
        let text = format!(
            "load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;\nuser www-data; worker_processes 2; \
             daemon off; pid {d}/nginx.pid; error_log {d}/error.log;\nevents {{ worker_connections 1024; }}\n\
             http {{ access_log off; client_max_body_size 0; dav_ext_lock_zone zone=l:10m;\n\
             client_body_temp_path {d}/scratch/b; proxy_temp_path {d}/scratch/p; fastcgi_temp_path {d}/scratch/f;\n\
             uwsgi_temp_path {d}/scratch/u; scgi_temp_path {d}/scratch/s;\nserver {{ listen 127.0.0.1:{port};\n\
             location /dav/ {{ root {d}; dav_methods PUT DELETE MKCOL COPY MOVE; \
             dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK; dav_ext_lock zone=l; create_full_put_path on; \
             dav_access user:rw group:rw all:r; }} }} }}\n"
        );
        std::fs::write(directory.join("nginx.conf"), text).expect("room");
        open_to_all(&directory);
        run(&format!("chown -R www-data: {d}"));
        let command = format!("{} -e {d}/error.log -c {d}/nginx.conf", program("nginx"));
        Server::start(&command, &directory.join("nginx.log")).keep();
        wait_for_port(port, "nginx");
        Nginx { port }
    })
}
