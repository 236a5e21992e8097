//! The program of this folder, on this crate.

pub(super) mod lib {
    pub(crate) use greenloom::thread::thread_local;
    pub(crate) use greenloom::{io, net, sync, thread, time};
}

#[path = "program.rs"]
pub(super) mod program;
