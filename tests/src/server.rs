//! Servers that are not the lab's origin: ones of a test's own, and nginx.

use std::{
    env, fs, io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use proxy_userspace::lab::{Namespace, Output};
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;

use crate::{
    client::{ANSWER, Dial, dial},
    wait::until,
};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A listener whose every connection is given to a function of the test's.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens in the namespace; `serve` runs on a thread for each connection.
    ///
    /// # Panics
    ///
    /// When the address cannot be listened on.
    #[must_use]
    pub fn start(
        namespace: &Namespace,
        address: SocketAddr,
        serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
    ) -> Self {
        let listener = namespace.run(|| listen(address, None));
        let listener = listener
            .unwrap_or_else(|error| panic!("{error}"))
            .unwrap_or_else(|error| panic!("listening on {address}: {error}"));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || accept(&listener, &stopped, &serve));
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Of the address's family alone, so that each family's wildcard address can be listened on.
/// `buffer` is the `SO_RCVBUF` of its connections, which they inherit.
pub(crate) fn listen(address: SocketAddr, buffer: Option<usize>) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    if let Some(octets) = buffer {
        socket.set_recv_buffer_size(octets)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn accept(
    listener: &TcpListener,
    stopped: &AtomicBool,
    serve: &(impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static),
) {
    while !stopped.load(Ordering::Relaxed) {
        let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waiting, PollTimeout::from(50_u8)).is_ok_and(|ready| ready > 0)
            && let Ok((stream, _)) = listener.accept()
        {
            let serve = serve.clone();
            let timeouts = stream
                .set_read_timeout(Some(ANSWER))
                .and_then(|()| stream.set_write_timeout(Some(ANSWER)));
            // What a client does to its connection is for the test to judge, at the client.
            thread::spawn(move || timeouts.and_then(|()| serve(stream)));
        }
    }
}

/// An nginx of the test's own, on port 80 of both families.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    output: Output,
    directory: TempDir,
}

impl Nginx {
    /// Starts it in the namespace, with `files` in its document root, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When there is no nginx, naming the package, or when it does not start.
    #[must_use]
    pub fn start(namespace: &Namespace, address: SocketAddr, files: &[(&str, &[u8])]) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("tempdir: {error}"));
        let root = directory.path();
        let configuration = configuration(root);
        let written = fs::create_dir(root.join("html"))
            .and_then(|()| fs::write(root.join("nginx.conf"), configuration))
            .and_then(|()| {
                files
                    .iter()
                    .try_for_each(|(name, body)| fs::write(root.join("html").join(name), body))
            });
        written.unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        let mut command = namespace.command(&binary().display().to_string());
        command
            .arg("-p")
            .arg(root)
            .arg("-c")
            .arg(root.join("nginx.conf"));
        command.arg("-e").arg(root.join("error.log"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Output::of(&mut child);
        let mut nginx = Self {
            child,
            output,
            directory,
        };
        nginx.wait_until_up(namespace, address);
        nginx
    }

    /// Lines `ADDRESS PORT STATUS` of what it served so far.
    #[must_use]
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default()
    }

    fn wait_until_up(&mut self, namespace: &Namespace, address: SocketAddr) {
        until(Duration::from_secs(20), "nginx listening", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.output.finish();
                let log = fs::read_to_string(self.directory.path().join("error.log"));
                panic!(
                    "nginx: {status}\n{}{}",
                    self.output.text(),
                    log.unwrap_or_default()
                );
            }
            let way = Dial::new((address.ip(), 0), address);
            namespace
                .run(|| dial(&way).is_ok())
                .unwrap_or_else(|error| panic!("{error}"))
        });
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, not SIGKILL: the master ends its workers.
        let pid = i32::try_from(self.child.id()).map(Pid::from_raw);
        if let Ok(pid) = pid {
            let _ = kill(pid, Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

fn binary() -> PathBuf {
    if let Some(path) = env::var_os("WEIR_NGINX").map(PathBuf::from) {
        assert!(
            path.is_file(),
            "WEIR_NGINX: {} is not there",
            path.display()
        );
        return path;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join("nginx"))
        .find(|candidate| candidate.is_file())
        .expect("no nginx on the PATH, nor in WEIR_NGINX: install the package nginx-light")
}

fn configuration(root: &Path) -> String {
    let root = root.display();
    format!(
        "daemon off;\n\
         user root;\n\
         worker_processes 1;\n\
         pid {root}/nginx.pid;\n\
         error_log {root}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           log_format plain '$remote_addr $remote_port $status';\n\
           access_log {root}/access.log plain;\n\
           client_body_temp_path {root}/body;\n\
           proxy_temp_path {root}/proxy;\n\
           fastcgi_temp_path {root}/fastcgi;\n\
           uwsgi_temp_path {root}/uwsgi;\n\
           scgi_temp_path {root}/scgi;\n\
           server {{\n\
             listen 80;\n\
             listen [::]:80;\n\
             root {root}/html;\n\
             location = /who {{ return 200 '$remote_addr $remote_port\\n'; }}\n\
             location = /gzip.txt {{ gzip on; gzip_min_length 1; }}\n\
           }}\n\
         }}\n"
    )
}
