//! `ServerHandle`: a server that runs, as its owner sees it.
//!
//! ```text
//!   running ──close, stop, a fatal error──► refusing ──last connection ended──► ended: `wait` returns
//!                     │
//!                  stop(d):  d for the handlers ─► kill the rest ─► wait for their destructors ─► Stopped
//! ```
//!
//! This file waits only on the events of `lanes`.
#![forbid(unsafe_code)]

use core::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::lanes::Core;
use super::listen::Listener;
use crate::net::TcpListener;
use crate::park::{Board, Notice};
use crate::select::Waitable;
use crate::task;

/// How long killed handlers are waited for beyond their farewells.
const UNWINDING: Duration = Duration::from_secs(1);

/// What a [`stop`](ServerHandle::stop) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Connections whose handlers ended by themselves in time.
    pub finished: usize,
    /// Connections whose handlers were killed, and have ended: their destructors have run.
    pub killed: usize,
    /// Connections whose handlers were killed and still go on: shielded, in a destructor that waits, or because the program
    /// aborts on panic. They end when they do.
    pub left: usize,
}

/// A server that was started: stops it, waits for it, asks after it.
///
/// Clones are handles to the same server. It can be used from any thread. Dropping it does nothing: the server goes on.
/// A [`Waitable`]: ready when the server has ended.
pub struct ServerHandle<L: Listener = TcpListener> {
    pub(super) core: Arc<Core<L>>,
}

impl<L: Listener> ServerHandle<L> {
    /// The address it listens at. Also after its end.
    pub fn local_addr(&self) -> L::Addr {
        self.core.addr.clone()
    }

    /// Whether it takes connections. A full one does: later.
    #[doc(alias = "started")]
    pub fn is_running(&self) -> bool {
        self.core.lanes.iter().any(|lane| !lane.is_closed())
    }

    /// Connections that are being served now.
    pub fn active(&self) -> usize {
        self.core.active()
    }

    /// Connections that were served since the start, those of now included.
    pub fn accepted(&self) -> u64 {
        self.core.accepted()
    }

    /// Refuses connections from now on; those that are there go on. Also from callbacks of the hub, again and again.
    ///
    /// New connections are refused, and those that were not accepted yet are reset, before this returns.
    ///
    /// # Blocking
    /// Never switches.
    pub fn close(&self) {
        self.core.close();
    }

    /// Refuses connections at once, gives the handlers up to `timeout` to end by themselves, kills the rest, and waits until
    /// these have run their destructors and said their farewells.
    ///
    /// A handler may stop its own server: it is not waited for, nor killed, nor counted. The second stop finds what the
    /// first one left. How long killed handlers are waited for is bounded as well: by a second, and the limit of the
    /// [`farewell`](super::Builder::farewell).
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::net::TcpStream;
    /// use greenloom::server::StreamServer;
    ///
    /// let server = StreamServer::builder("127.0.0.1:0").serve(|_stream, _peer| {
    ///     greenloom::sleep(Duration::from_secs(3600));
    /// })?;
    /// let _client = TcpStream::connect(server.local_addr())?;
    /// while server.active() == 0 {
    ///     greenloom::yield_now();
    /// }
    /// let stopped = server.stop(Duration::from_millis(10));
    /// assert_eq!((stopped.finished, stopped.killed), (0, 1));
    /// assert!(TcpStream::connect(server.local_addr()).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Blocking
    /// Switches, unless all has ended. Who is killed meanwhile leaves a server that refuses connections and serves those
    /// it has. An enclosing [`timeout`](crate::timeout) that expires ends the wait in progress like its own time. While
    /// the caller unwinds it does not wait: everything is killed at once.
    ///
    /// # Panics
    /// In a callback of the hub, where nothing can wait.
    #[track_caller]
    pub fn stop(&self, timeout: Duration) -> Stopped {
        let core = &*self.core;
        core.close();
        let own = core.excuse(task::id());
        let before = core.awaited();
        if before > 0 {
            core.wait_quiet(timeout);
        }
        let killed = core.kill_all();
        if killed > 0 {
            let farewell = core.settings.farewell.as_ref();
            let limit = farewell.map_or(Duration::ZERO, |(limit, _)| *limit);
            core.wait_quiet(limit.saturating_add(UNWINDING));
        }
        let left = core.awaited();
        if left == 0 && !own {
            // The accepting tasks, and the threads if it has some, have only to notice.
            core.ended.wait_timeout(UNWINDING);
        }
        Stopped {
            finished: before.saturating_sub(killed),
            killed: killed.saturating_sub(left),
            left,
        }
    }

    /// Waits until the server has ended: closed, and its last connection served.
    ///
    /// # Blocking
    /// Switches, unless it has.
    ///
    /// # Errors
    /// What ended it, if that was an error of its listener. Every call returns it.
    ///
    /// # Panics
    /// Where nothing can wait: in a callback of the hub, in a forked child.
    #[doc(alias = "join")]
    #[track_caller]
    pub fn wait(&self) -> io::Result<()> {
        self.core.ended.wait();
        self.core.error().map_or(Ok(()), Err)
    }
}

impl<L: Listener> Clone for ServerHandle<L> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
        }
    }
}

impl<L: Listener> Waitable for ServerHandle<L> {
    fn watch(&self, notice: Notice) {
        self.core.ended.watch(notice);
    }

    fn unwatch(&self, board: &Board) {
        self.core.ended.unwatch(board);
    }
}

impl<L: Listener> fmt::Debug for ServerHandle<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("name", &self.core.settings.name)
            .field("addr", &self.core.addr)
            .field("running", &self.is_running())
            .field("active", &self.active())
            .finish_non_exhaustive()
    }
}
