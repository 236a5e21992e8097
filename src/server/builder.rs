//! `StreamServer` and its builder: what is set before a server starts, and the start.
//!
//! ```text
//!   Builder<S, Here>     ── serve(handler: Fn) ──────────────► one lane, a task of this thread's hub
//!     │ hubs(n)
//!     ▼
//!   Builder<S, Threads>  ── serve(handler: Fn + Send + Sync) ─► n lanes, each a thread with a hub of its own
//! ```
//!
//! So a handler for one hub may hold an `Rc`, and one for several cannot by mistake.
#![forbid(unsafe_code)]

use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;
use std::io;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::accept::accept_all;
use super::handle::ServerHandle;
use super::lanes::{Core, Door, Farewell, OnError, Settings};
use super::listen::{Listen, Listener, Opening};
use crate::hub::{self, Hub};
use crate::net::TcpListener;
use crate::stack::StackSize;
use crate::task::{self, Outcome};

/// A server of connections, each in a task of its own. See the [module](super).
#[doc(alias = "BaseServer")]
#[derive(Debug)]
pub struct StreamServer(());

impl StreamServer {
    /// Begins one: at an address, of which several may be tried; or with a listener.
    ///
    /// The address is bound by [`serve`](Builder::serve).
    pub fn builder<S: Listen>(at: S) -> Builder<S> {
        Builder {
            at,
            name: "server".into(),
            pool: usize::MAX,
            backlog: None,
            nodelay: false,
            stack: StackSize::default(),
            farewell: None,
            on_error: None,
            hubs: 1,
            spin: Duration::ZERO,
            whose: PhantomData,
        }
    }
}

/// The server is run by the hub of the thread that starts it.
#[derive(Debug)]
pub struct Here(());

/// The server has threads of its own, each with a hub.
#[derive(Debug)]
pub struct Threads(());

/// Settings of a [`StreamServer`] before it starts.
#[must_use = "a builder does nothing until `serve`"]
pub struct Builder<S: Listen, H = Here> {
    at: S,
    name: Arc<str>,
    pool: usize,
    backlog: Option<u32>,
    nodelay: bool,
    stack: StackSize,
    farewell: Option<Farewell<S::Listener>>,
    on_error: Option<OnError>,
    hubs: usize,
    spin: Duration,
    whose: PhantomData<fn() -> H>,
}

/// A connection of what `S` listens with.
type StreamOf<S> = <<S as Listen>::Listener as Listener>::Stream;

/// An address of what `S` listens with.
type AddrOf<S> = <<S as Listen>::Listener as Listener>::Addr;

impl<S: Listen, H> Builder<S, H> {
    /// Names the server, for reports of panics in its handlers. `server` at first.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into().into();
        self
    }

    /// Serves at most `n` connections at a time, in each hub. At first there is no limit but that of the system's descriptors.
    ///
    /// A full server accepts nothing: connections wait in the system's queue until one that is served ends.
    ///
    /// # Panics
    /// If `n` is zero.
    #[doc(alias = "spawn")]
    #[track_caller]
    pub fn pool(mut self, n: usize) -> Self {
        assert!(n > 0, "a server with a pool of zero would serve nobody");
        self.pool = n;
        self
    }

    /// How many connections may wait to be accepted. At first as many as the system allows (`net.core.somaxconn`), or as the
    /// listener was made for.
    pub fn backlog(mut self, n: u32) -> Self {
        self.backlog = Some(n);
        self
    }

    /// The size class of the handlers' stacks.
    pub fn stack_size(mut self, size: StackSize) -> Self {
        self.stack = size;
        self
    }

    /// Has `say` called at the end of every connection, in its task, with how its handler ended.
    ///
    /// This is the place for last words, which a destructor cannot send since it may not wait: `say` runs neither unwinding
    /// nor killed, has `limit` for it, and the stream it gets is another handle to the connection, which closes when both
    /// are dropped. What is not said within `limit` is broken off. A connection whose handler was killed before it began
    /// closes without a word. It costs each connection a descriptor more.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::time::Duration;
    /// use greenloom::net::TcpStream;
    /// use greenloom::server::StreamServer;
    /// use greenloom::task::Outcome;
    ///
    /// let server = StreamServer::builder("127.0.0.1:0")
    ///     .farewell(Duration::from_secs(1), |mut stream: &TcpStream, outcome| {
    ///         if outcome == Outcome::Killed {
    ///             let _ = stream.write_all(b"the server is going down\n");
    ///         }
    ///     })
    ///     .serve(|mut stream, _| {
    ///         let _ = stream.write_all(b"!");
    ///         let _ = stream.read(&mut [0]);
    ///     })?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// client.read_exact(&mut [0])?; // the handler has begun
    /// server.stop(Duration::ZERO);
    /// let mut last = String::new();
    /// client.read_to_string(&mut last)?;
    /// assert_eq!(last, "the server is going down\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn farewell(
        mut self,
        limit: Duration,
        say: impl Fn(&StreamOf<S>, Outcome) + Send + Sync + 'static,
    ) -> Self {
        self.farewell = Some((limit, Arc::new(say)));
        self
    }

    /// Has `f` told of every error that the server waits out: no descriptors, no memory, no stack for a task.
    ///
    /// `f` runs in the accepting task, before the wait.
    pub fn on_accept_error(mut self, f: impl Fn(&io::Error) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Arc::new(f));
        self
    }

    #[track_caller]
    fn open(self, threads: bool) -> io::Result<Arc<Core<S::Listener>>> {
        let listeners = self.at.open(Opening {
            lanes: self.hubs,
            backlog: self.backlog,
            nodelay: self.nodelay,
        })?;
        let addr = listeners[0].local_addr()?;
        let settings = Settings {
            name: self.name,
            pool: self.pool,
            stack: self.stack,
            farewell: self.farewell,
            on_error: self.on_error,
            site: Location::caller(),
        };
        Ok(Core::new(settings, addr, listeners, threads))
    }
}

impl<S: Listen<Listener = TcpListener>, H> Builder<S, H> {
    /// Has what handlers write sent at once (`TCP_NODELAY`): for those that write a reply with one call.
    pub fn nodelay(mut self) -> Self {
        self.nodelay = true;
        self
    }
}

impl<S: Listen> Builder<S, Here> {
    /// Gives the server `n` threads of its own, each with a hub. The handler is then called on all of them, so it must be
    /// `Send` and `Sync`; each connection stays on the thread that accepted it.
    ///
    /// At an address every thread has a socket of its own, bound with `SO_REUSEPORT`, and the system deals the connections
    /// out by a hash of their addresses. The system lets other programs of the same user listen at the same address then.
    /// A listener that was made before is shared: whoever is first gets a connection.
    ///
    /// Tasks that handlers have spawned are ended with the thread, after the last connection.
    pub fn hubs(self, n: NonZeroUsize) -> Builder<S, Threads> {
        Builder {
            at: self.at,
            name: self.name,
            pool: self.pool,
            backlog: self.backlog,
            nodelay: self.nodelay,
            stack: self.stack,
            farewell: self.farewell,
            on_error: self.on_error,
            hubs: n.get(),
            spin: self.spin,
            whose: PhantomData,
        }
    }

    /// Starts the server on this thread's hub: listens, and returns. Connections are served while the thread waits.
    ///
    /// # Blocking
    /// Never switches. A host name, unlike an address in numbers, is looked up by std, which blocks the thread.
    ///
    /// # Errors
    /// The system's, of binding; no task could be had to accept in.
    #[doc(alias = "start")]
    #[track_caller]
    pub fn serve(
        self,
        handler: impl Fn(StreamOf<S>, AddrOf<S>) + 'static,
    ) -> io::Result<ServerHandle<S::Listener>> {
        let core = self.open(false)?;
        let handle = ServerHandle {
            core: Arc::clone(&core),
        };
        let name = format!("{} accepting", core.settings.name);
        let handler = Rc::new(handler);
        let door = Door::new(&core, 0);
        let body = move || accept_all(door, &move |stream, peer| handler(stream, peer));
        // Dropping the handle detaches the task: its end is seen by the event.
        let builder = task::Builder::new().name(name).site(core.settings.site);
        drop(builder.spawn(body)?);
        Ok(handle)
    }

    /// [`serve`](Self::serve)s until the server has ended, which takes another task or thread with a
    /// [`ServerHandle`], or an error of the listener.
    ///
    /// Who is killed here, or times out, leaves a server that refuses connections and serves those it has.
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// As [`serve`](Self::serve), and as [`ServerHandle::wait`].
    #[doc(alias = "serve_forever")]
    #[track_caller]
    pub fn run(self, handler: impl Fn(StreamOf<S>, AddrOf<S>) + 'static) -> io::Result<()> {
        until_ended(self.serve(handler)?)
    }
}

impl<S: Listen> Builder<S, Threads> {
    /// Has each of the server's hubs look out for so long before it blocks: see [`hub::Builder::spin`]. Off at first.
    ///
    /// A server that is run by the hub of its thread has that one's, which is set before anything else.
    pub fn spin(mut self, at_most: Duration) -> Self {
        self.spin = at_most;
        self
    }

    /// Starts the server on threads of its own: listens, and returns.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// The system's, of binding and of starting threads. A thread that gets no hub, for want of descriptors, ends the server
    /// with that error.
    #[track_caller]
    pub fn serve(
        self,
        handler: impl Fn(StreamOf<S>, AddrOf<S>) + Send + Sync + 'static,
    ) -> io::Result<ServerHandle<S::Listener>> {
        let settings = Hub::builder().spin(self.spin);
        let core = self.open(true)?;
        let handle = ServerHandle {
            core: Arc::clone(&core),
        };
        let handler = Arc::new(handler);
        for lane in 0..core.lanes.len() {
            let thread = Thread(Arc::clone(&core));
            let door = Door::new(&core, lane);
            let (handler, settings) = (Arc::clone(&handler), settings.clone());
            let body = move || {
                let core = &thread.0;
                if let Err(error) = settings.start() {
                    return core.fail(error);
                }
                hub::run(|| {
                    // Connections share what is on this thread alone.
                    let handler = Rc::new(handler);
                    accept_all(door, &move |stream, peer| handler(stream, peer));
                    core.lanes[lane].over.wait();
                });
            };
            let name = format!("{} {lane}", core.settings.name);
            if let Err(e) = thread::Builder::new().name(name).spawn(body) {
                handle.close();
                return Err(e);
            }
        }
        Ok(handle)
    }

    /// [`serve`](Self::serve)s until the server has ended, which takes another task or thread with a
    /// [`ServerHandle`], or an error of a listener.
    ///
    /// Who is killed here, or times out, leaves a server that refuses connections and serves those it has.
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// As [`serve`](Self::serve), and as [`ServerHandle::wait`].
    #[doc(alias = "serve_forever")]
    #[track_caller]
    pub fn run(
        self,
        handler: impl Fn(StreamOf<S>, AddrOf<S>) + Send + Sync + 'static,
    ) -> io::Result<()> {
        until_ended(self.serve(handler)?)
    }
}

/// One of the server's threads, which has not ended. Dropped after its hub.
struct Thread<L: Listener>(Arc<Core<L>>);

impl<L: Listener> Drop for Thread<L> {
    fn drop(&mut self) {
        self.0.retire();
    }
}

#[track_caller]
fn until_ended<L: Listener>(server: ServerHandle<L>) -> io::Result<()> {
    struct Closing<L: Listener>(ServerHandle<L>);

    impl<L: Listener> Drop for Closing<L> {
        fn drop(&mut self) {
            self.0.close();
        }
    }

    Closing(server).0.wait()
}

impl<S: Listen, H> fmt::Debug for Builder<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("pool", &self.pool)
            .field("backlog", &self.backlog)
            .field("hubs", &self.hubs)
            .field("spin", &self.spin)
            .field("farewell", &self.farewell.as_ref().map(|(limit, _)| limit))
            .finish_non_exhaustive()
    }
}
