//! Real threads for what would block the hub: [`offload`] for one call, [`ThreadPool`] for many.
//!
//! ```text
//! offload ─┐                      ┌─ worker ─┐
//! spawn   ─┼─► pool: queue, idle ─┼─ worker ─┼─► result ──► unpark: a task of any hub, or a plain thread
//! fs, net ─┘                      └─ worker ─┘
//!
//! slot   one job: closure, then result           job    its handle
//! core   queue, workers, who waits for what      pool   ThreadPool, its builder
//! ```
//!
//! ```
//! let task = greenloom::spawn(|| "the hub goes on meanwhile");
//! let text = greenloom::offload(|| std::fs::read_to_string("/proc/self/comm")).unwrap();
//! assert!(text.is_ok() && task.join().is_ok());
//! ```
//!
//! # The default pool
//!
//! `offload`, files and the lookup of host names use one pool of the process. It has at most four threads for each
//! processor, and at least eight: they are there to block, so there may be more of them than there are processors. They
//! are made when they are needed and end after ten seconds without work. Its queue has no bound: who waits for it is a task,
//! which is bounded elsewhere. [`Builder::install_default`] sets another one up, before the first use.
//!
//! # What goes there
//!
//! Closure and result are `Send + 'static`, because the call can be abandoned: a kill, or an enclosing
//! [`timeout`](crate::timeout), ends the wait at once and leaves the work to itself. A closure that has begun runs to its
//! end; its result is dropped by the worker.
//!
//! A job may itself use tasks: its worker then gets a hub. Tasks that are left when it returns are killed.
//!
//! # After a fork
//!
//! A child has no workers. The default pool begins anew there; other pools, and the jobs that were under way, answer with
//! [`Forked`](crate::hub::Forked).
#![forbid(unsafe_code)]

mod core;
mod error;
mod job;
mod pool;
mod slot;

pub(crate) use self::core::Outside;
pub use self::error::{OffloadError, SpawnError, SpawnTimeoutError, TrySpawnError};
pub use self::job::Job;
pub use self::pool::{Builder, ThreadPool, default_pool, offload};
pub(crate) use self::pool::{Failed, offload_io};
