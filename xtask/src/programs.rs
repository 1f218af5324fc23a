//! What the integration tests start besides Weir: real clients, real servers, tools.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::tools::{output, run, target_dir, which};

/// Programs that are installed where they are missing, with Debian's package of each.
const INSTALLED: [(&str, &str); 7] = [
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("nft", "nftables"),
    ("iptables-legacy", "iptables"),
    ("curl", "curl"),
    ("wget", "wget"),
    ("python3", "python3"),
];

/// Where the tests find what is not on the PATH.
pub(crate) struct Programs {
    nginx: PathBuf,
    apache: PathBuf,
    /// For `PYTHONPATH`; empty if Python knows its modules by itself.
    python_modules: PathBuf,
}

impl Programs {
    /// Brings what is missing.
    ///
    /// # Errors
    ///
    /// When that fails, naming the package.
    pub(crate) fn bring() -> Result<Self> {
        for (program, package) in INSTALLED {
            if which(program).is_none() {
                install(package).with_context(|| {
                    format!("the tests need `{program}`: install your distribution's {package}")
                })?;
            }
        }
        Ok(Self {
            nginx: server("nginx", "nginx")?,
            apache: server("apache2", "apache2-bin")?,
            python_modules: websockets()?,
        })
    }

    /// The environment in which the tests find them.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 3] {
        [
            ("WEIR_NGINX", &self.nginx),
            ("WEIR_APACHE", &self.apache),
            ("WEIR_PYTHONPATH", &self.python_modules),
        ]
    }
}

fn install(package: &str) -> Result<()> {
    eprintln!("xtask: installing {package}");
    apt(&["install", "--yes", "--no-install-recommends", package])
}

/// The server on the PATH, or Debian's, unpacked rather than installed: installing it would start
/// it.
fn server(program: &str, package: &str) -> Result<PathBuf> {
    if let Some(server) = which(program) {
        return Ok(server);
    }
    unpacked(package, &format!("usr/sbin/{program}")).with_context(|| {
        format!(
            "the tests need `{program}`: install your distribution's package (Debian: {package})"
        )
    })
}

/// Where Python's `websockets` is, unless Python finds it by itself.
fn websockets() -> Result<PathBuf> {
    let package = "python3-websockets";
    if output(Command::new("python3").args(["-c", "import websockets"])).is_ok() {
        return Ok(PathBuf::new());
    }
    let module = unpacked(
        package,
        "usr/lib/python3/dist-packages/websockets/__init__.py",
    )
    .with_context(|| format!("the tests need Python's websockets (Debian: {package})"))?;
    Ok(module.ancestors().nth(2).unwrap_or(&module).to_owned())
}

/// `file` of Debian's package, below `target/`, with the packages that it depends on and that are
/// not installed.
fn unpacked(package: &str, file: &str) -> Result<PathBuf> {
    let root = target_dir().join("tools").join(package);
    let wanted = root.join(file);
    if wanted.exists() {
        return Ok(wanted);
    }
    eprintln!("xtask: fetching {package}");
    let archives = root.join("archives");
    fs::create_dir_all(archives.join("partial")).context(archives.display().to_string())?;
    let cache = format!("Dir::Cache::archives={}", archives.display());
    let options = ["--download-only", "--yes", "--no-install-recommends"];
    let sandbox = "APT::Sandbox::User=root";
    let arguments = [
        &["install"],
        &options[..],
        &["-o", &cache, "-o", sandbox, package],
    ];
    apt(&arguments.concat())?;
    for entry in fs::read_dir(&archives).context(archives.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg").arg("-x").arg(&path).arg(&root))?;
        }
    }
    if !wanted.exists() {
        bail!("{package} has no {file}");
    }
    Ok(wanted)
}

/// Runs apt-get; a second time with fresh lists of packages if need be.
fn apt(arguments: &[&str]) -> Result<()> {
    let apt = which("apt-get").context("there is no apt-get here to bring it with")?;
    let mut command = Command::new(&apt);
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut command).or_else(|_| {
        run(Command::new(&apt).arg("update"))?;
        run(&mut command)
    })
}
