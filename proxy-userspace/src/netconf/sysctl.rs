//! Kernel parameters of the calling thread's network namespace.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Reads one, `net/ipv4/ip_forward` say.
///
/// # Errors
///
/// If it cannot be read.
pub fn read(name: &str) -> io::Result<String> {
    let text = fs::read_to_string(path(name)).map_err(|error| failed("read", name, &error))?;
    Ok(text.trim().to_owned())
}

/// Writes one.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(name: &str, value: &str) -> io::Result<()> {
    fs::write(path(name), value).map_err(|error| failed("write", name, &error))
}

/// The kernel shows each thread the parameters of its own network namespace.
fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

fn failed(operation: &str, name: &str, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot {operation} the kernel parameter {name}: {error}"),
    )
}
