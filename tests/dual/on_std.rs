//! The program of this folder, on `std`.

pub(super) mod lib {
    pub(crate) use std::{io, sync, thread, thread_local, time};

    pub(crate) mod net {
        pub(crate) use std::net::*;
        pub(crate) use std::os::unix::net as unix;
    }
}

#[path = "program.rs"]
pub(super) mod program;
