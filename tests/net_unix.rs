//! `net::unix` as a user of std's `os::unix::net` knows it, and under attack.
//!
//! A task that was spawned has run up to its first wait after one `yield_now`. A timeout of `LONG` is there to fail instead
//! of hanging; it is never waited for. Names are abstract, so that no file is left behind, where the test is not about files.

mod util;

use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs, process, thread};

use greenloom::io::{Closed, ConcurrentUse, Direction};
use greenloom::net::unix::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use greenloom::{spawn, timeout, yield_now};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

/// A name that nobody else has.
fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("greenloom-{}-{next}", process::id())
}

fn abstract_addr() -> SocketAddr {
    SocketAddr::from_abstract_name(name()).unwrap()
}

/// A path that is removed at the end.
struct Temp(PathBuf);

impl Temp {
    fn new() -> Self {
        Self(env::temp_dir().join(name()))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn is_closed(error: &Error) -> bool {
    error.kind() == ErrorKind::NotConnected
        && error.get_ref().is_some_and(|inner| inner.is::<Closed>())
}

/// Writes until the system takes no more.
fn fill(mut stream: &UnixStream) -> usize {
    let mut all = 0;
    stream.set_nonblocking(true).unwrap();
    while let Ok(n) = stream.write(&[0; 4096]) {
        all += n;
    }
    stream.set_nonblocking(false).unwrap();
    all
}

#[test]
fn is_send_and_sync() {
    fn check<T: Send + Sync + std::fmt::Debug + AsFd + AsRawFd + IntoRawFd + From<OwnedFd>>() {}
    check::<UnixStream>();
    check::<UnixListener>();
    check::<UnixDatagram>();
    fn io<T: Read + Write>() {}
    io::<UnixStream>();
    io::<&UnixStream>();
}

#[test]
fn a_path_is_listened_at_and_connected_to() {
    // Elsewhere a child that a neighbour forks may hold a socket a little longer.
    util::alone("a_path_is_listened_at_and_connected_to", || {
        let path = Temp::new();
        let listener = UnixListener::bind(&path.0).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path.0));
        let taken = UnixListener::bind(&path.0).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        let server = spawn(move || {
            let (mut stream, addr) = listener.accept().unwrap();
            assert!(addr.is_unnamed());
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            stream.write_all(text.to_uppercase().as_bytes()).unwrap();
        });
        yield_now();
        let mut stream = UnixStream::connect(&path.0).unwrap();
        assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path.0));
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "HELLO");
        server.join().unwrap();
        // The listener is gone, its file is not.
        let refused = UnixStream::connect(&path.0).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let missing = UnixStream::connect(Temp::new().0.join("x")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let long = UnixStream::connect("x".repeat(200)).unwrap_err();
        assert_eq!(long.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn an_abstract_name_is_had_by_one_at_a_time() {
    // Elsewhere a child that a neighbour forks may hold a socket a little longer.
    util::alone("an_abstract_name_is_had_by_one_at_a_time", || {
        let addr = abstract_addr();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        let local = listener.local_addr().unwrap();
        assert_eq!(local.as_abstract_name(), addr.as_abstract_name());
        assert!(UnixListener::bind_addr(&addr).is_err());
        let stream = UnixStream::connect_addr(&addr).unwrap();
        let peer = stream.peer_addr().unwrap();
        assert_eq!(peer.as_abstract_name(), addr.as_abstract_name());
        let cred = listener.incoming().next().unwrap().unwrap().peer_cred();
        assert_eq!(cred.unwrap().pid, Some(process::id() as i32));
        drop((stream, listener));
        UnixListener::bind_addr(&addr).unwrap();
    });
}

#[test]
fn a_named_client_is_told_by_its_name() {
    let (addr, client) = (abstract_addr(), abstract_addr());
    let listener = UnixListener::bind_addr(&addr).unwrap();
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let path = |a: &SocketAddr| {
        let name = String::from_utf8(a.as_abstract_name().unwrap().to_vec()).unwrap();
        SockAddr::unix(format!("\0{name}")).unwrap()
    };
    socket.bind(&path(&client)).unwrap();
    socket.connect(&path(&addr)).unwrap();
    let (_, from) = listener.accept().unwrap();
    assert_eq!(from.as_abstract_name(), client.as_abstract_name());
}

#[test]
fn three_hundred_clients_get_their_echo() {
    let addr = abstract_addr();
    let listener = UnixListener::bind_addr(&addr).unwrap();
    let server = spawn(move || {
        for stream in listener.incoming().take(300) {
            let mut stream = stream.unwrap();
            spawn(move || {
                let mut buf = [0; 64];
                loop {
                    match stream.read(&mut buf).unwrap() {
                        0 => return,
                        n => stream.write_all(&buf[..n]).unwrap(),
                    }
                }
            });
        }
    });
    let clients: Vec<_> = (0..300_u32)
        .map(|i| {
            let addr = addr.clone();
            spawn(move || {
                let mut stream = UnixStream::connect_addr(&addr).unwrap();
                for round in 0..5_u32 {
                    let message = [i.to_le_bytes(), round.to_le_bytes()].concat();
                    stream.write_all(&message).unwrap();
                    let mut reply = [0; 8];
                    stream.read_exact(&mut reply).unwrap();
                    assert_eq!(reply[..], message);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    server.join().unwrap();
}

/// A listener that takes one connection into its queue, and then none.
fn crowded() -> (UnixListener, SocketAddr, Vec<UnixStream>) {
    let addr = abstract_addr();
    let name = String::from_utf8(addr.as_abstract_name().unwrap().to_vec()).unwrap();
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket
        .bind(&SockAddr::unix(format!("\0{name}")).unwrap())
        .unwrap();
    socket.listen(0).unwrap();
    let listener = UnixListener::from(OwnedFd::from(socket));
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) = timeout(SHORT, || UnixStream::connect_addr(&addr)) {
        queue.push(stream);
    }
    assert!(!queue.is_empty());
    (listener, addr, queue)
}

#[test]
fn a_connect_waits_while_the_queue_is_full() {
    let (listener, addr, queue) = crowded();
    let client = spawn(move || {
        let mut stream = UnixStream::connect_addr(&addr).unwrap();
        stream.write_all(b"at last").unwrap();
    });
    yield_now();
    assert!(!client.is_finished());
    for _ in &queue {
        listener.accept().unwrap();
    }
    let (mut stream, _) = listener.accept().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "at last");
    client.join().unwrap();
}

#[test]
fn a_connect_that_waits_is_killed_timed_out_and_refused() {
    let (listener, addr, _queue) = crowded();
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let addr = addr.clone();
            spawn(move || UnixStream::connect_addr(&addr).map(drop))
        })
        .collect();
    yield_now();
    let late = timeout(SHORT, || {
        UnixStream::connect_addr(&addr).unwrap_err().kind()
    });
    assert_eq!(late.unwrap_err().into_value(), Some(ErrorKind::TimedOut));
    let mut clients = clients.into_iter();
    let victim = clients.next().unwrap();
    victim.kill();
    assert!(victim.join().is_err());
    drop(listener);
    for client in clients {
        let refused = client.join().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    // On a thread without a hub, too.
    let (listener, addr, queue) = crowded();
    let thread = thread::spawn(move || UnixStream::connect_addr(&addr).map(drop));
    for _ in 0..=queue.len() {
        listener.accept().unwrap();
    }
    thread.join().unwrap().unwrap();
}

#[test]
fn short_transfers_prove_nothing_and_lose_nothing() {
    let (mut a, mut b) = UnixStream::pair().unwrap();
    b.set_read_timeout(Some(LONG)).unwrap();
    let reader = spawn(move || {
        let mut buf = [0; 64];
        let first = b.read(&mut buf).unwrap();
        b.read_exact_timeout(&mut buf[first..6], LONG).unwrap();
        let ends = b.read(&mut buf[6..]).unwrap();
        (buf[..6].to_vec(), ends)
    });
    yield_now();
    a.write_all(b"abc").unwrap();
    a.write_all(b"def").unwrap();
    drop(a);
    assert_eq!(reader.join().unwrap(), (b"abcdef".to_vec(), 0));
}

#[test]
fn vectored_calls_and_peek() {
    let (mut a, mut b) = UnixStream::pair().unwrap();
    let n = a
        .write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cde")])
        .unwrap();
    assert_eq!(n, 5);
    let mut buf = [0; 8];
    assert_eq!(b.peek(&mut buf).unwrap(), 5);
    let (mut x, mut y) = ([0; 1], [0; 8]);
    let n = b
        .read_vectored(&mut [IoSliceMut::new(&mut x), IoSliceMut::new(&mut y)])
        .unwrap();
    assert_eq!((n, &x, &y[..4]), (5, b"a", &b"bcde"[..]));
    let peeker = spawn(move || {
        let n = b.peek(&mut buf).unwrap();
        let m = b.read(&mut buf).unwrap();
        (n, m, b.peek(&mut buf).unwrap())
    });
    yield_now();
    a.write_all(b"fg").unwrap();
    drop(a);
    assert_eq!(peeker.join().unwrap(), (2, 2, 0));
}

#[test]
fn a_full_stream_holds_the_writer_and_a_deadline_ends_it() {
    let (a, b) = UnixStream::pair().unwrap();
    let there = fill(&a);
    let late = a.write_all_timeout(b"more", SHORT).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    a.set_write_timeout(Some(SHORT)).unwrap();
    assert_eq!((&a).write(b"more").unwrap_err().kind(), ErrorKind::TimedOut);
    a.set_write_timeout(Some(LONG)).unwrap();
    let writer = spawn(move || (&a).write_all(b"more"));
    yield_now();
    let mut all = Vec::new();
    (&b).read_to_end(&mut all).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(all.len(), there + 4);
}

#[test]
fn one_reads_while_another_writes_and_a_third_is_refused() {
    let (a, b) = UnixStream::pair().unwrap();
    fill(&a);
    let a = Rc::new(a);
    let reader = Rc::clone(&a);
    let reader = spawn(move || (&*reader).read(&mut [0; 8]));
    let writer = Rc::clone(&a);
    let writer = spawn(move || (&*writer).write_all(b"end"));
    yield_now();
    for (error, direction) in [
        ((&*a).read(&mut [0]).unwrap_err(), Direction::Read),
        (a.peek(&mut [0]).unwrap_err(), Direction::Read),
        ((&*a).write(b"x").unwrap_err(), Direction::Write),
    ] {
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        let busy = error.get_ref().unwrap().downcast_ref::<ConcurrentUse>();
        assert_eq!(busy.unwrap().direction(), direction);
    }
    (&b).write_all(b"in").unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 2);
    let sink = spawn(move || std::io::copy(&mut &b, &mut std::io::sink()));
    writer.join().unwrap().unwrap();
    drop(a);
    sink.join().unwrap().unwrap();
}

#[test]
fn close_wakes_reader_writer_and_acceptor() {
    let (a, b) = UnixStream::pair().unwrap();
    fill(&a);
    let a = Rc::new(a);
    let reader = Rc::clone(&a);
    let reader = spawn(move || (&*reader).read(&mut [0; 8]));
    let writer = Rc::clone(&a);
    let writer = spawn(move || (&*writer).write(b"x"));
    let addr = abstract_addr();
    let listener = Rc::new(UnixListener::bind_addr(&addr).unwrap());
    let acceptor = Rc::clone(&listener);
    let acceptor = spawn(move || acceptor.accept().map(drop));
    yield_now();
    a.close();
    listener.close();
    assert!(is_closed(&reader.join().unwrap().unwrap_err()));
    assert!(is_closed(&writer.join().unwrap().unwrap_err()));
    assert!(is_closed(&acceptor.join().unwrap().unwrap_err()));
    assert!(is_closed(&a.peer_addr().unwrap_err()));
    let refused = UnixStream::connect_addr(&addr).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // The peer finds the end behind what was sent.
    (&b).read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_new_socket_with_the_same_number_is_not_touched() {
    util::alone("a_new_socket_with_the_same_number_is_not_touched", || {
        let (a, b) = UnixStream::pair().unwrap();
        let number = a.as_raw_fd();
        let a = Rc::new(a);
        let reader = Rc::clone(&a);
        let reader = spawn(move || (&*reader).read(&mut [0; 8]));
        yield_now();
        a.close();
        drop(a);
        assert!(is_closed(&reader.join().unwrap().unwrap_err()));
        let (mut c, mut d) = UnixStream::pair().unwrap();
        assert_eq!(c.as_raw_fd(), number);
        let reader = spawn(move || c.read(&mut [0; 8]));
        yield_now();
        drop(b);
        yield_now();
        d.write_all(b"new").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 3);
    });
}

#[test]
fn conversions_keep_the_connection_its_mode_and_its_timeouts() {
    let (a, mut b) = UnixStream::pair().unwrap();
    a.set_read_timeout(Some(LONG)).unwrap();
    let text = format!("{a:?}");
    let a = std::os::unix::net::UnixStream::try_from(a).unwrap();
    assert_eq!(text, format!("{a:?}"));
    assert!(!SockRef::from(&a).nonblocking().unwrap());
    assert_eq!(a.read_timeout().unwrap(), Some(LONG));
    let a = UnixStream::try_from(a).unwrap();
    assert_eq!(a.read_timeout().unwrap(), Some(LONG));
    // SAFETY: the number was just given up by its owner, and nobody else has it.
    let mut a = unsafe { UnixStream::from_raw_fd(a.into_raw_fd()) };
    let reader = spawn(move || a.read(&mut [0; 8]));
    yield_now();
    b.write_all(b"raw").unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 3);
    let addr = abstract_addr();
    let listener = UnixListener::bind_addr(&addr).unwrap();
    let listener = std::os::unix::net::UnixListener::try_from(listener).unwrap();
    assert!(!SockRef::from(&listener).nonblocking().unwrap());
    let listener = UnixListener::try_from(listener).unwrap();
    let clone = listener.try_clone().unwrap();
    drop(listener);
    clone.set_nonblocking(true).unwrap();
    assert_eq!(clone.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(clone.take_error().unwrap().is_none());
}

// ---- datagrams ----

#[test]
fn datagrams_keep_their_bounds_and_tell_where_they_came_from() {
    // Elsewhere a child that a neighbour forks may hold a socket a little longer.
    util::alone(
        "datagrams_keep_their_bounds_and_tell_where_they_came_from",
        || {
            let path = Temp::new();
            let server = UnixDatagram::bind(&path.0).unwrap();
            let addr = abstract_addr();
            let client = UnixDatagram::bind_addr(&addr).unwrap();
            for text in [&b"one"[..], b"", b"three"] {
                assert_eq!(client.send_to(text, &path.0).unwrap(), text.len());
            }
            let mut buf = [0; 16];
            let (n, from) = server.peek_from(&mut buf).unwrap();
            assert_eq!((n, from.as_abstract_name()), (3, addr.as_abstract_name()));
            let (n, from) = server.recv_from(&mut buf).unwrap();
            assert_eq!((n, from.as_abstract_name()), (3, addr.as_abstract_name()));
            assert_eq!(server.recv(&mut buf).unwrap(), 0);
            assert_eq!(server.peek(&mut buf).unwrap(), 5);
            assert_eq!(server.recv(&mut buf[..2]).unwrap(), 2, "cut off");
            server.send_to_addr(b"back", &from).unwrap();
            client.connect(&path.0).unwrap();
            assert_eq!(client.recv(&mut buf).unwrap(), 4);
            assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path.0));
            drop(server);
            let gone = client.send(b"x").unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
            let nobody = UnixDatagram::unbound().unwrap().send(b"x").unwrap_err();
            assert_eq!(nobody.kind(), ErrorKind::NotConnected);
        },
    );
}

#[test]
fn a_connected_sender_waits_for_room_and_loses_nothing() {
    let (a, b) = UnixDatagram::pair().unwrap();
    let sender = spawn(move || {
        for i in 0..500_u32 {
            a.send(&i.to_le_bytes()).unwrap();
        }
    });
    yield_now();
    assert!(!sender.is_finished(), "500 do not fit");
    b.set_read_timeout(Some(LONG)).unwrap();
    for i in 0..500_u32 {
        let mut buf = [0; 8];
        assert_eq!(b.recv(&mut buf).unwrap(), 4);
        assert_eq!(buf[..4], i.to_le_bytes());
    }
    sender.join().unwrap();
}

#[test]
fn several_tasks_send_to_one_that_has_no_room() {
    let addr = abstract_addr();
    let receiver = UnixDatagram::bind_addr(&addr).unwrap();
    let socket = Rc::new(UnixDatagram::unbound().unwrap());
    let senders: Vec<_> = (0..3_u8)
        .map(|id| {
            let (socket, addr) = (Rc::clone(&socket), addr.clone());
            spawn(move || {
                for _ in 0..100 {
                    socket.send_to_addr(&[id], &addr).unwrap();
                }
            })
        })
        .collect();
    yield_now();
    let late = timeout(SHORT, || {
        socket.send_to_addr(b"x", &addr).unwrap_err().kind()
    });
    assert_eq!(late.unwrap_err().into_value(), Some(ErrorKind::TimedOut));
    receiver.set_read_timeout(Some(LONG)).unwrap();
    let mut counts = [0; 3];
    for _ in 0..300 {
        let mut id = [0];
        assert_eq!(receiver.recv(&mut id).unwrap(), 1);
        counts[usize::from(id[0])] += 1;
    }
    assert_eq!(counts, [100; 3]);
    for sender in senders {
        sender.join().unwrap();
    }
}

#[test]
fn a_send_timeout_is_kept_and_a_nonblocking_send_does_not_wait() {
    let addr = abstract_addr();
    let _receiver = UnixDatagram::bind_addr(&addr).unwrap();
    let socket = UnixDatagram::unbound().unwrap();
    socket.set_nonblocking(true).unwrap();
    while socket.send_to_addr(b"x", &addr).is_ok() {}
    let error = socket.send_to_addr(b"x", &addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
    socket.set_write_timeout(Some(SHORT)).unwrap();
    let late = socket.send_to_addr(b"x", &addr).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    assert!(late.get_ref().is_none(), "its own");
}

#[test]
fn close_ends_a_datagram_socket_under_its_users_and_no_clone() {
    let addr = abstract_addr();
    let _full = UnixDatagram::bind_addr(&addr).unwrap();
    let (a, b) = UnixDatagram::pair().unwrap();
    let clone = a.try_clone().unwrap();
    let a = Rc::new(a);
    let reader = Rc::clone(&a);
    let reader = spawn(move || reader.recv(&mut [0; 8]));
    let sender = Rc::new(UnixDatagram::unbound().unwrap());
    let sending = Rc::clone(&sender);
    let sending = spawn(move || {
        loop {
            if let Err(e) = sending.send_to_addr(b"x", &addr) {
                return e;
            }
        }
    });
    yield_now();
    a.close();
    sender.close();
    assert!(is_closed(&reader.join().unwrap().unwrap_err()));
    assert!(is_closed(&sending.join().unwrap()));
    b.send(b"clone").unwrap();
    assert_eq!(clone.recv(&mut [0; 8]).unwrap(), 5);
    clone.shutdown(Shutdown::Read).unwrap();
    let broken = b.send(b"x").unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn close_wakes_a_plain_thread() {
    let (a, _b) = UnixDatagram::pair().unwrap();
    let a = Arc::new(a);
    let reader = Arc::clone(&a);
    let thread = thread::spawn(move || {
        loop {
            match reader.recv(&mut [0; 8]) {
                // While the probe below waits.
                Err(e) if e.kind() == ErrorKind::ResourceBusy => thread::yield_now(),
                other => return other,
            }
        }
    });
    // Until the thread waits.
    let probe = || a.recv(&mut [0; 8]).unwrap_err().kind();
    while !matches!(timeout(SHORT, probe), Ok(ErrorKind::ResourceBusy)) {}
    a.close();
    assert!(is_closed(&thread.join().unwrap().unwrap_err()));
}

#[test]
fn descriptors_and_memory_are_given_back() {
    util::alone("descriptors_and_memory_are_given_back", || {
        util::assert_no_leak(|| {
            let (mut a, mut b) = UnixStream::pair().unwrap();
            let (c, d) = UnixDatagram::pair().unwrap();
            let reader = spawn(move || {
                b.read_exact(&mut [0]).unwrap();
                d.recv(&mut [0]).unwrap()
            });
            yield_now();
            a.write_all(b"x").unwrap();
            c.send(b"x").unwrap();
            reader.join().unwrap();
        });
    });
}
