//! `OpenOptions`: std's, opening on a thread of the pool.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::File;
use crate::io::offload::offloaded;

/// How a file is opened: [`std::fs::OpenOptions`], with std's [`OpenOptionsExt`].
///
/// ```
/// use greenloom::fs::OpenOptions;
///
/// let missing = OpenOptions::new().append(true).open("/proc/no such file").unwrap_err();
/// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(fs::OpenOptions);

/// Setters with std's names.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        $(
            $(#[$doc])*
            pub fn $name(&mut self, $name: bool) -> &mut Self {
                self.0.$name($name);
                self
            }
        )+
    };
}

impl OpenOptions {
    /// Nothing is set.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "std's has no default either")]
    pub fn new() -> Self {
        Self(fs::OpenOptions::new())
    }

    setters! {
        /// To be read.
        read;
        /// To be written.
        write;
        /// Every write goes to the end.
        append;
        /// What is in it is dropped.
        truncate;
        /// It is made if it is missing.
        create;
        /// It is made, and it is an error if it is there.
        create_new;
    }

    /// Opens the file.
    ///
    /// # Blocking
    /// Switches; see the [module](super). A file that is opened after the call was broken off is closed again; it may have been
    /// created or truncated.
    ///
    /// # Errors
    /// As [`std::fs::OpenOptions::open`]; see the [module](super).
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_path_buf());
        offloaded(move || options.open(path))?.map(File::from)
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.0.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.0.custom_flags(flags);
        self
    }
}
