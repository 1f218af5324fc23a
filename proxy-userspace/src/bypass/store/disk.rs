//! The few things that a store asks of a disk, so that tests can cut its power.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Everyone may read what is bypassed; only the owner may change it.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// One directory with files, one of which at a time is open for writing.
pub(super) trait Disk: fmt::Debug + Send {
    /// The names of all files; `None` if there is no directory.
    fn names(&mut self) -> io::Result<Option<Vec<String>>>;
    /// What is in a file; `None` if it does not exist.
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Makes the directory, unless there is one, and that durable.
    fn make_directory(&mut self) -> io::Result<()>;
    /// Makes a file and opens it; one of that name is emptied.
    fn create(&mut self, name: &str) -> io::Result<()>;
    /// Opens a file to write behind its end, and makes it if it does not exist; tells its length.
    fn open(&mut self, name: &str) -> io::Result<u64>;
    /// Writes behind the end of the open file. If it fails, a part may be written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the open file to that length.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Returns when the open file's content and length are durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Gives a file another name; what had that name is gone. Nothing is open after it.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file, if it exists. Nothing is open after it.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Returns when what was made, renamed and removed is so durably.
    fn sync_directory(&mut self) -> io::Result<()>;
}

/// A directory of the system.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    open: Option<File>,
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    fn file(&mut self) -> io::Result<&mut File> {
        self.open
            .as_mut()
            .ok_or_else(|| io::Error::other("no file is open"))
    }

    fn opened(&mut self, name: &str, options: &mut OpenOptions) -> io::Result<&mut File> {
        let file = options.mode(FILE_MODE).open(self.path.join(name))?;
        Ok(self.open.insert(file))
    }
}

impl Disk for Directory {
    fn names(&mut self) -> io::Result<Option<Vec<String>>> {
        let files = match fs::read_dir(&self.path) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        files
            // A name that is no UTF-8 is not one of ours, and stays so when it is made some.
            .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()
            .map(Some)
    }

    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_directory(&mut self) -> io::Result<()> {
        make_directory(&self.path)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let file = self.opened(
            name,
            OpenOptions::new().write(true).create(true).truncate(true),
        )?;
        // Whatever the umask says.
        file.set_permissions(Permissions::from_mode(FILE_MODE))
    }

    fn open(&mut self, name: &str) -> io::Result<u64> {
        let file = self.opened(name, OpenOptions::new().append(true).create(true))?;
        let length = file.metadata()?.len();
        if length == 0 {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        }
        Ok(length)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write_all(bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file()?.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open = None;
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open = None;
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Makes a directory and those above it that are missing, each durable before anything is in it.
///
/// # Errors
///
/// As `mkdir(2)` and `fsync(2)`.
pub fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    make_directory(above)?;
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(error),
    }
    File::open(above)?.sync_all()
}
