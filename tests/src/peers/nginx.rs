//! nginx, with a configuration of our own.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use proxy_userspace::lab::{Family, Namespace};

use super::{
    program,
    site::{Site, Sites, html},
};

pub(super) fn command(origin: &Namespace, root: &Path, addresses: [SocketAddr; 2]) -> Command {
    let file = root.join("nginx.conf");
    let written = fs::write(&file, configuration(root, addresses));
    written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let nginx = program::find("nginx", "WEIR_NGINX", "nginx");
    let mut command = origin.command(&nginx.display().to_string());
    command.arg("-p").arg(root).arg("-c").arg(&file);
    command.args(["-e", "stderr"]);
    command
}

fn configuration(root: &Path, [ipv4, ipv6]: [SocketAddr; 2]) -> String {
    let (html, root) = (html(root).display().to_string(), root.display());
    let (peer, socket) = (Site::PEER, Sites::socket(Family::V4));
    format!(
        "daemon off;\n\
         user root;\n\
         worker_processes 1;\n\
         pid {root}/nginx.pid;\n\
         error_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off;\n\
           client_body_temp_path {root}/body;\n\
           proxy_temp_path {root}/proxy;\n\
           fastcgi_temp_path {root}/fastcgi;\n\
           uwsgi_temp_path {root}/uwsgi;\n\
           scgi_temp_path {root}/scgi;\n\
           client_max_body_size 0;\n\
           add_header {peer} '$remote_addr $remote_port' always;\n\
           server {{\n\
             listen {ipv4};\n\
             listen {ipv6};\n\
             root {html};\n\
             location = /gzip.txt {{ gzip on; gzip_types text/plain; }}\n\
             location /up/ {{ dav_methods PUT; }}\n\
             location = /socket {{\n\
               proxy_pass http://{socket};\n\
               proxy_http_version 1.1;\n\
               proxy_set_header Connection upgrade;\n\
               proxy_set_header Upgrade $http_upgrade;\n\
             }}\n\
           }}\n\
         }}\n"
    )
}
