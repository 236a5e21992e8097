//! The rows of descriptors: sockets and pipes that other descriptors of this thread make ready.
//!
//! ```text
//! waiter 0 ── handle ─┐                                  ┌── std's end, non-blocking, of which the hub knows nothing
//! waiter 1 ── handle ─┼── one open file ══ its peer ─────┘     grant: a byte, a datagram, a connection, room
//! waiter 2 ── handle ─┘        └── probe: std's, to see what came and was not taken
//! ```
//!
//! Each waiter has a handle of its own, since two may not wait in one direction of one. The event of one byte wakes them
//! all, and the first that runs has it; the others wait on, unless it is killed and leaves it to them.
//!
//! Pipes and Unix sockets hand over within the call. The internet's may take a moment of real time, in which the simulated
//! one must not move: their grants return when it has come, and there is one at a time.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net as unix;
use std::rc::Rc;
use std::time::Duration;

use greenloom::inspect;
use greenloom::io::{PipeReader, wait_readable};
use greenloom::net::unix::{UnixDatagram, UnixListener, UnixStream};
use greenloom::net::{TcpListener, TcpStream, UdpSocket};
use greenloom::timeout;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use crate::driver::{Kind, Row, Subject, TICK};

const ANY: &str = "127.0.0.1:0";

pub(crate) fn rows() -> Vec<Row> {
    fn row(
        name: &'static str,
        kind: Kind,
        timed: bool,
        closes: bool,
        new: fn(&crate::util::Drops, usize) -> Rc<dyn Subject>,
    ) -> Row {
        Row {
            name,
            kind,
            timed,
            closes,
            stays: true,
            new,
        }
    }
    use Kind::{Consumed, ForAll};
    vec![
        row("UnixStream::read", Consumed, true, true, |_, n| {
            unix_stream(n)
        }),
        row("TcpStream::read", Consumed, true, true, |_, n| {
            tcp_stream(n)
        }),
        row("io::pipe, read", Consumed, false, true, |_, n| pipe(n)),
        row("UnixDatagram::recv", Consumed, true, true, |_, n| {
            unix_datagram(n)
        }),
        row("UdpSocket::recv", Consumed, true, true, |_, n| udp(n)),
        row("UnixListener::accept", Consumed, false, true, |_, n| {
            unix_listener(n)
        }),
        row("TcpListener::accept", Consumed, false, true, |_, n| {
            tcp_listener(n)
        }),
        row("io::wait_readable", Consumed, true, false, |_, n| {
            readable(n)
        }),
        row("UnixStream::write", ForAll, true, true, |_, n| {
            Rc::new(Full::new(n))
        }),
    ]
}

/// A call of one waiter: whether it got one.
type Call = Box<dyn Fn(Option<Duration>) -> io::Result<bool>>;

/// What can be had one at a time.
struct Wires {
    calls: Vec<Call>,
    closes: Vec<Box<dyn Fn()>>,
    /// Makes one available, without the hub.
    send: Box<dyn Fn() -> io::Result<()>>,
    /// Takes one that is there, without the hub.
    take: Box<dyn Fn() -> io::Result<()>>,
    /// The waiters' open file, if there may be only one at a time, which takes a moment to come.
    slow: Option<OwnedFd>,
    /// The system drops what came and was not taken.
    drops_on_close: bool,
    closed: Cell<bool>,
}

/// Whether it is readable, now or within so much of real time. The thread waits.
fn is_readable(fd: &OwnedFd, patience: Duration) -> io::Result<bool> {
    let mut poll = Poll::new()?;
    let fd = fd.as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(1);
    poll.poll(&mut events, Some(patience))?;
    Ok(!events.is_empty())
}

impl Subject for Wires {
    fn block(&self, who: usize, limit: Option<Duration>, got: &dyn Fn()) {
        match self.calls[who](limit) {
            Ok(true) => got(),
            Ok(false) => panic!("the end of what never ends"),
            // Timed out, closed, or unwinding: the books say whether it may.
            Err(_) => {}
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        let full = |fd| is_readable(fd, Duration::ZERO).unwrap();
        if self.closed.get() || self.slow.as_ref().is_some_and(full) {
            return false;
        }
        (self.send)().expect("room for it");
        if let Some(fd) = &self.slow {
            let came = is_readable(fd, Duration::from_secs(60));
            assert!(came.unwrap(), "it never came");
        }
        true
    }

    fn left(&self) -> Option<usize> {
        if self.closed.get() && self.drops_on_close {
            return None;
        }
        // By the victim's handle, as the next one would who uses it: what was left there is not to wait for another event.
        let mut seen = 0;
        let mut in_use = self.closed.get();
        while !in_use {
            match timeout(TICK, || self.calls[0](None)) {
                Ok(Ok(true)) => seen += 1,
                Ok(_) => in_use = true,
                Err(_) => break,
            }
        }
        let unseen = (0..).take_while(|_| (self.take)().is_ok()).count();
        assert!(
            in_use || unseen == 0,
            "{unseen} that the next one waits for"
        );
        Some(seen + unseen)
    }

    fn close(&self) {
        self.closed.set(true);
        self.closes.iter().for_each(|close| close());
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        assert_eq!(waiting(), 0, "waiters that have gone");
    }
}

/// How many wait for a descriptor, by the hub's own count.
fn waiting() -> usize {
    inspect::counters().descriptors
}

/// Would block, as an error.
fn none() -> io::Error {
    ErrorKind::WouldBlock.into()
}

/// A socket with a timeout of its own: zero is none for it, but a try.
macro_rules! limited {
    ($handle:expr, $limit:expr, $call:expr) => {{
        let (handle, limit): (_, Option<Duration>) = (&$handle, $limit);
        let tries = limit == Some(Duration::ZERO);
        handle.set_nonblocking(tries)?;
        handle.set_read_timeout(limit.filter(|d| !d.is_zero()))?;
        $call(handle)
    }};
}

/// The parts of `Wires` for `n` handles to one open file, each closed by its `close`.
macro_rules! wires {
    ($n:expr, $first:expr, $call:expr, $send:expr, $take:expr, $slow:expr) => {
        wires!($n, $first, $call, $send, $take, $slow, false)
    };
    ($n:expr, $first:expr, $call:expr, $send:expr, $take:expr, $slow:expr, $drops_on_close:expr) => {{
        let first = $first;
        let handles: Vec<_> = (0..$n)
            .map(|_| Rc::new(first.try_clone().unwrap()))
            .collect();
        let calls = handles.iter().map(|handle| {
            let handle = Rc::clone(handle);
            Box::new(move |limit: Option<Duration>| $call(&handle, limit)) as Call
        });
        let calls = calls.collect();
        let closes = handles
            .into_iter()
            .map(|handle| Box::new(move || handle.close()) as Box<dyn Fn()>);
        let closes = closes.collect();
        Rc::new(Wires {
            calls,
            closes,
            send: Box::new($send),
            take: Box::new($take),
            slow: $slow,
            drops_on_close: $drops_on_close,
            closed: Cell::new(false),
        })
    }};
}

/// One byte, which is the one that is sent.
fn one_byte(mut from: impl Read) -> io::Result<bool> {
    let mut byte = [0; 2];
    let n = from.read(&mut byte[..1])?;
    assert!(n == 0 || byte == [b'!', 0]);
    Ok(n == 1)
}

fn take_byte(from: impl Read) -> io::Result<()> {
    one_byte(from)?.then_some(()).ok_or_else(none)
}

fn unix_stream(n: usize) -> Rc<dyn Subject> {
    let (ours, theirs) = unix::UnixStream::pair().unwrap();
    let probe = ours.try_clone().unwrap();
    wires!(
        n,
        UnixStream::try_from(ours).unwrap(),
        |handle: &UnixStream, limit| limited!(*handle, limit, one_byte),
        move || (&theirs).write_all(b"!"),
        move || take_byte(&probe),
        None
    )
}

fn tcp_stream(n: usize) -> Rc<dyn Subject> {
    let listener = std::net::TcpListener::bind(ANY).unwrap();
    let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let ours = listener.accept().unwrap().0;
    theirs.set_nodelay(true).unwrap();
    // So many programs, and a port of each would be kept for a minute.
    SockRef::from(&theirs)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    let (probe, slow) = (ours.try_clone().unwrap(), ours.try_clone().unwrap());
    wires!(
        n,
        TcpStream::try_from(ours).unwrap(),
        |handle: &TcpStream, limit| limited!(*handle, limit, one_byte),
        move || (&theirs).write_all(b"!"),
        move || take_byte(&probe),
        Some(slow.into())
    )
}

fn pipe(n: usize) -> Rc<dyn Subject> {
    let (ours, theirs) = io::pipe().unwrap();
    let probe = ours.try_clone().unwrap();
    wires!(
        n,
        PipeReader::from(OwnedFd::from(ours)),
        |handle: &PipeReader, _| one_byte(handle),
        move || (&theirs).write_all(b"!"),
        move || take_byte(&probe),
        None
    )
}

fn unix_datagram(n: usize) -> Rc<dyn Subject> {
    let (ours, theirs) = unix::UnixDatagram::pair().unwrap();
    let probe = ours.try_clone().unwrap();
    wires!(
        n,
        UnixDatagram::try_from(ours).unwrap(),
        |handle: &UnixDatagram, limit| limited!(*handle, limit, |h: &UnixDatagram| h
            .recv(&mut [0; 2])
            .map(|n| n == 1)),
        move || theirs.send(b"!").map(drop),
        move || probe.recv(&mut [0; 2]).map(drop),
        None
    )
}

fn udp(n: usize) -> Rc<dyn Subject> {
    let ours = std::net::UdpSocket::bind(ANY).unwrap();
    let theirs = std::net::UdpSocket::bind(ANY).unwrap();
    theirs.connect(ours.local_addr().unwrap()).unwrap();
    ours.connect(theirs.local_addr().unwrap()).unwrap();
    let (probe, slow) = (ours.try_clone().unwrap(), ours.try_clone().unwrap());
    wires!(
        n,
        UdpSocket::try_from(ours).unwrap(),
        |handle: &UdpSocket, limit| limited!(*handle, limit, |h: &UdpSocket| h
            .recv(&mut [0; 2])
            .map(|n| n == 1)),
        move || theirs.send(b"!").map(drop),
        move || probe.recv(&mut [0; 2]).map(drop),
        Some(slow.into())
    )
}

/// A name of no file, which no other program of any test has.
fn name() -> unix::SocketAddr {
    use std::os::linux::net::SocketAddrExt;
    use std::sync::atomic::{AtomicUsize, Ordering};
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    let name = format!("greenloom-matrix-{}-{number}", std::process::id());
    unix::SocketAddr::from_abstract_name(name).unwrap()
}

fn unix_listener(n: usize) -> Rc<dyn Subject> {
    let name = name();
    let ours = unix::UnixListener::bind_addr(&name).unwrap();
    let probe = ours.try_clone().unwrap();
    let clients = RefCell::new(Vec::new());
    wires!(
        n,
        UnixListener::try_from(ours).unwrap(),
        |handle: &UnixListener, _| handle.accept().map(|_| true),
        move || {
            let client = unix::UnixStream::connect_addr(&name)?;
            clients.borrow_mut().push(client);
            Ok(())
        },
        move || probe.accept().map(drop),
        None
    )
}

fn tcp_listener(n: usize) -> Rc<dyn Subject> {
    let ours = std::net::TcpListener::bind(ANY).unwrap();
    let address = ours.local_addr().unwrap();
    let (probe, slow) = (ours.try_clone().unwrap(), ours.try_clone().unwrap());
    let clients = RefCell::new(Vec::new());
    wires!(
        n,
        TcpListener::try_from(ours).unwrap(),
        |handle: &TcpListener, _| handle.accept().map(|_| true),
        move || {
            let client = std::net::TcpStream::connect(address)?;
            SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
            clients.borrow_mut().push(client);
            Ok(())
        },
        move || probe.accept().map(drop),
        Some(slow.into()),
        true
    )
}

/// Descriptors of others: each waits until there is something, and then tries to be the first.
fn readable(n: usize) -> Rc<dyn Subject> {
    let (ours, theirs) = unix::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let call = |_| {
        let ours = ours.try_clone().unwrap();
        let call = move |limit: Option<Duration>| {
            let begin = greenloom::time::Instant::now();
            loop {
                wait_readable(
                    ours.as_fd(),
                    limit.map(|d| d.saturating_sub(begin.elapsed())),
                )?;
                match one_byte(&ours) {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    result => return result,
                }
            }
        };
        Box::new(call) as Call
    };
    Rc::new(Wires {
        calls: (0..n).map(call).collect(),
        closes: Vec::new(),
        send: Box::new(move || (&theirs).write_all(b"!")),
        take: Box::new(move || take_byte(&ours)),
        slow: None,
        drops_on_close: false,
        closed: Cell::new(false),
    })
}

/// A stream without room: a grant makes room for all.
struct Full {
    handles: Vec<UnixStream>,
    peer: unix::UnixStream,
    /// Bytes that the calls have written, and that have come.
    written: Cell<usize>,
    came: Cell<usize>,
    room: Cell<bool>,
}

impl Full {
    fn new(n: usize) -> Self {
        let (ours, peer) = unix::UnixStream::pair().unwrap();
        SockRef::from(&ours).set_send_buffer_size(1).unwrap();
        ours.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        while (&ours).write(&[0; 64]).is_ok() {}
        ours.set_nonblocking(false).unwrap();
        let first = UnixStream::try_from(ours).unwrap();
        Self {
            handles: (0..n).map(|_| first.try_clone().unwrap()).collect(),
            peer,
            written: Cell::new(0),
            came: Cell::new(0),
            room: Cell::new(false),
        }
    }

    fn drain(&self) {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = (&self.peer).read(&mut buffer) {
            let new = buffer[..n].iter().filter(|b| **b == b'!').count();
            self.came.set(self.came.get() + new);
        }
    }
}

impl Subject for Full {
    fn block(&self, who: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let handle = &self.handles[who];
        let call = || {
            handle.set_nonblocking(limit == Some(Duration::ZERO))?;
            handle.set_write_timeout(limit.filter(|d| !d.is_zero()))?;
            (&*handle).write(b"!")
        };
        // As in `Wires`.
        if let Ok(n) = call() {
            assert_eq!(n, 1);
            self.written.set(self.written.get() + 1);
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        self.drain();
        self.room.set(true);
        true
    }

    fn left(&self) -> Option<usize> {
        self.drain();
        assert_eq!(self.came.get(), self.written.get(), "written, and known of");
        Some(usize::from(self.room.get()))
    }

    fn close(&self) {
        self.handles.iter().for_each(UnixStream::close);
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        assert_eq!(waiting(), 0, "waiters that have gone");
    }
}
