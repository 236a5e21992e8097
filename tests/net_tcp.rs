//! `net::TcpStream` and `net::TcpListener` as a user of std's knows them.
//!
//! Everything is on loopback. A task that was spawned has run up to its first wait after one `yield_now`: that is how the
//! tests know that somebody waits. A timeout of `LONG` is there to fail instead of hanging; it is never waited for.

mod util;

use std::cell::Cell;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use greenloom::hub::Hub;
use greenloom::net::{TcpListener, TcpStream};
use greenloom::{io, sleep, spawn, yield_now};
use socket2::SockRef;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Two ends of one connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = listen();
    let a = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (b, addr) = listener.accept().unwrap();
    assert_eq!(addr, a.local_addr().unwrap());
    (a, b)
}

/// Bytes that repeat with no power of two.
fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i % 251) as u8).collect()
}

/// Writes from `a` to `b` until the system takes no more, and has settled.
fn fill(mut a: &TcpStream, b: &TcpStream) {
    // A size that was set does not grow by itself.
    SockRef::from(a).set_send_buffer_size(16 << 10).unwrap();
    SockRef::from(b).set_recv_buffer_size(16 << 10).unwrap();
    loop {
        a.set_nonblocking(true).unwrap();
        while a.write(&[0; 64 << 10]).is_ok() {}
        a.set_nonblocking(false).unwrap();
        if a.write_all_timeout(&[0], SHORT).is_err() {
            return;
        }
    }
}

#[test]
fn is_send_and_sync() {
    fn check<T: Send + Sync + std::fmt::Debug + AsFd + AsRawFd>() {}
    check::<TcpStream>();
    check::<TcpListener>();
    fn io<T: Read + Write>() {}
    io::<TcpStream>();
    io::<&TcpStream>();
}

#[test]
fn five_hundred_clients_get_their_echo() {
    let listener = listen();
    let addr = listener.local_addr().unwrap();
    let server = spawn(move || {
        for _ in 0..500 {
            let (mut stream, _) = listener.accept().unwrap();
            spawn(move || {
                let mut buf = [0; 256];
                loop {
                    match stream.read(&mut buf).unwrap() {
                        0 => return,
                        n => stream.write_all(&buf[..n]).unwrap(),
                    }
                }
            });
        }
    });
    let clients: Vec<_> = (0..500_u32)
        .map(|i| {
            spawn(move || {
                let mut stream = TcpStream::connect(addr).unwrap();
                for round in 0..10_u32 {
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

#[test]
fn eight_mib_go_both_ways_at_once() {
    const SIZE: usize = 8 << 20;
    let (a, b) = pair();
    let tasks: Vec<_> = [a, b]
        .into_iter()
        .map(Rc::new)
        .flat_map(|end| {
            let writer = Rc::clone(&end);
            let write = spawn(move || {
                (&*writer).write_all(&pattern(SIZE)).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let read = spawn(move || {
                let mut all = Vec::new();
                (&*end).read_to_end(&mut all).unwrap();
                assert!(all == pattern(SIZE));
            });
            [write, read]
        })
        .collect();
    for task in tasks {
        task.join().unwrap();
    }
}

#[test]
fn vectored_calls_transfer_in_order() {
    let (mut a, mut b) = pair();
    let n = a
        .write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")])
        .unwrap();
    assert_eq!(n, 5);
    let (mut x, mut y) = ([0; 1], [0; 8]);
    let n = b
        .read_vectored(&mut [IoSliceMut::new(&mut x), IoSliceMut::new(&mut y)])
        .unwrap();
    assert_eq!((n, &x, &y[..4]), (5, b"a", &b"bcde"[..]));
    // The read was short; the next one parks and is woken.
    let reader = spawn(move || {
        b.read_vectored(&mut [IoSliceMut::new(&mut y)])
            .map(|n| (n, y))
    });
    yield_now();
    a.write_all(b"f").unwrap();
    let (n, y) = reader.join().unwrap().unwrap();
    assert_eq!((n, y[0]), (1, b'f'));
}

#[test]
fn empty_buffers_do_not_wait() {
    let (a, mut b) = pair();
    assert_eq!(b.write(&[]).unwrap(), 0);
    a.read_exact_timeout(&mut [], Duration::ZERO).unwrap();
    a.write_all_timeout(&[], Duration::ZERO).unwrap();
}

#[test]
fn peek_takes_nothing_and_leaves_the_stream_ready() {
    let (mut a, b) = pair();
    // The first one parks, so that from here on readiness is known and not asked for.
    let b = Rc::new(b);
    let waiting = Rc::clone(&b);
    let peeker = spawn(move || {
        let mut buf = [0; 64];
        waiting.peek(&mut buf).map(|n| buf[..n].to_vec())
    });
    yield_now();
    a.write_all(b"hello").unwrap();
    assert_eq!(peeker.join().unwrap().unwrap(), b"hello");
    let mut buf = [0; 64];
    assert_eq!(b.peek(&mut buf).unwrap(), 5);
    // No event comes for what is there already.
    b.read_exact_timeout(&mut buf[..5], LONG).unwrap();
    assert_eq!(&buf[..5], b"hello");
}

#[test]
fn the_end_of_the_stream_is_seen_behind_data_that_came_with_it() {
    for size in [64, 5] {
        let (mut a, mut b) = pair();
        b.set_read_timeout(Some(LONG)).unwrap();
        let reader = spawn(move || {
            let mut buf = vec![0; size];
            let n = b.read(&mut buf).unwrap();
            let ends = [b.read(&mut buf).unwrap(), b.read(&mut buf).unwrap()];
            (n, ends, b)
        });
        yield_now();
        a.write_all(b"hello").unwrap();
        a.shutdown(Shutdown::Write).unwrap();
        let (n, ends, mut b) = reader.join().unwrap();
        assert_eq!((n, ends), (5, [0, 0]));
        // Only that half is closed.
        b.write_all(b"bye").unwrap();
        let mut buf = [0; 3];
        a.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"bye");
    }
}

#[test]
fn a_shutdown_ends_waits_also_through_a_clone() {
    let (a, b) = pair();
    fill(&a, &b);
    let clone = a.try_clone().unwrap();
    let mut reader = a.try_clone().unwrap();
    let reader = spawn(move || reader.read(&mut [0; 8]));
    let mut writer = a.try_clone().unwrap();
    let writer = spawn(move || writer.write(&[0; 8]));
    yield_now();
    clone.shutdown(Shutdown::Both).unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 0);
    let error = writer.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    drop(b);
}

#[test]
fn timeouts_are_reported_and_leave_the_stream_usable() {
    let (mut a, mut b) = pair();
    assert_eq!(a.read_timeout().unwrap(), None);
    a.set_read_timeout(Some(SHORT)).unwrap();
    a.set_write_timeout(Some(SHORT)).unwrap();
    assert_eq!(a.read_timeout().unwrap(), Some(SHORT));
    assert_eq!(a.write_timeout().unwrap(), Some(SHORT));
    for _ in 0..2 {
        let late = a.read(&mut [0; 8]).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(late.get_ref().is_none(), "its own, not an enclosing one");
        assert_eq!(a.peek(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    }
    b.write_all(b"x").unwrap();
    assert_eq!(a.read(&mut [0; 8]).unwrap(), 1);

    fill(&a, &b);
    assert_eq!(a.write(&[0]).unwrap_err().kind(), ErrorKind::TimedOut);
    let sink = spawn(move || std::io::copy(&mut b, &mut std::io::sink()).unwrap());
    a.set_write_timeout(Some(LONG)).unwrap();
    a.write_all(&[0]).unwrap();
    drop(a);
    assert!(sink.join().unwrap() > 1);
}

#[test]
fn zero_is_refused_where_std_refuses_it_and_huge_is_never() {
    let (mut a, b) = pair();
    let addr = a.peer_addr().unwrap();
    for result in [
        a.set_read_timeout(Some(Duration::ZERO)),
        a.set_write_timeout(Some(Duration::ZERO)),
        TcpStream::connect_timeout(&addr, Duration::ZERO).map(drop),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let late = a.read_exact_timeout(&mut [0], Duration::ZERO).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    a.write_all_timeout(b"now", Duration::ZERO).unwrap();

    a.set_read_timeout(Some(Duration::MAX)).unwrap();
    let reader = spawn(move || {
        a.read_exact(&mut [0]).unwrap();
        a.read_exact_timeout(&mut [0], Duration::MAX).unwrap();
    });
    yield_now();
    b.write_all_timeout(b"x", Duration::MAX).unwrap();
    yield_now();
    b.write_all_timeout(b"y", Duration::MAX).unwrap();
    reader.join().unwrap();

    let listener = listen();
    let addr = listener.local_addr().unwrap();
    TcpStream::connect_timeout(&addr, Duration::MAX).unwrap();
}

#[test]
fn a_total_deadline_is_not_prolonged_by_progress() {
    let (a, b) = pair();
    let drip = spawn(move || {
        while (&b).write_all(b".").is_ok() {
            sleep(Duration::from_millis(1));
        }
    });
    // At a byte per millisecond this would be a quarter of an hour.
    let late = a
        .read_exact_timeout(&mut vec![0; 1 << 20], Duration::from_millis(30))
        .unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    drop(a);
    drip.join().unwrap();

    let (a, b) = pair();
    let sip = spawn(move || {
        while (&b).read(&mut [0; 4096]).unwrap_or(0) > 0 {
            sleep(Duration::from_millis(1));
        }
    });
    let late = a
        .write_all_timeout(&vec![0; 256 << 20], Duration::from_millis(30))
        .unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    drop(a);
    sip.kill();
    let _ = sip.join();
}

#[test]
fn read_exact_timeout_tells_an_early_end() {
    let (a, b) = pair();
    (&b).write_all(b"abc").unwrap();
    drop(b);
    let error = a.read_exact_timeout(&mut [0; 4], LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn would_block_is_for_those_who_ask_for_it() {
    let (mut a, mut b) = pair();
    let listener = listen();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    a.set_nonblocking(true).unwrap();
    for _ in 0..2 {
        assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    // Sees what has come without the hub ever looking.
    b.write_all(b"12").unwrap();
    assert_eq!(a.read(&mut [0; 8]).unwrap(), 2);
    assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    a.set_nonblocking(false).unwrap();
    let reader = spawn(move || a.read(&mut [0; 8]));
    yield_now();
    b.write_all(b"3").unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 1);
}

#[test]
fn options_are_those_of_the_socket() {
    let (a, _b) = pair();
    assert!(!a.nodelay().unwrap());
    a.set_nodelay(true).unwrap();
    assert!(a.nodelay().unwrap() && a.try_clone().unwrap().nodelay().unwrap());
    a.set_ttl(43).unwrap();
    assert_eq!(a.ttl().unwrap(), 43);
    assert!(a.take_error().unwrap().is_none());
    let listener = listen();
    listener.set_ttl(44).unwrap();
    assert_eq!(listener.ttl().unwrap(), 44);
    assert!(listener.take_error().unwrap().is_none());
}

#[test]
fn debug_is_std_s() {
    let (a, _b) = pair();
    let text = format!("{a:?}");
    let std = std::net::TcpStream::try_from(a).unwrap();
    assert_eq!(text, format!("{std:?}"));
    let listener = listen();
    let text = format!("{listener:?}");
    let std = std::net::TcpListener::try_from(listener).unwrap();
    assert_eq!(text, format!("{std:?}"));
}

#[test]
fn conversions_keep_the_connection_its_mode_and_its_timeouts() {
    let (a, mut b) = pair();
    // Known to the hub: it has waited.
    a.read_exact_timeout(&mut [0], SHORT).unwrap_err();
    a.set_read_timeout(Some(LONG)).unwrap();
    let mut a = std::net::TcpStream::try_from(a).unwrap();
    assert!(!SockRef::from(&a).nonblocking().unwrap());
    assert_eq!(a.read_timeout().unwrap(), Some(LONG));
    b.write_all(b"one").unwrap();
    a.read_exact(&mut [0; 3]).unwrap();

    let a = TcpStream::try_from(a).unwrap();
    assert!(SockRef::from(&a).nonblocking().unwrap());
    assert_eq!(a.read_timeout().unwrap(), Some(LONG));
    let fd = OwnedFd::from(a);
    assert!(!SockRef::from(&fd).nonblocking().unwrap());
    let mut a = TcpStream::from(fd);
    let reader = spawn(move || {
        let mut buf = [0; 3];
        a.read_exact(&mut buf).map(|()| (buf, a))
    });
    yield_now();
    b.write_all(b"two").unwrap();
    let (two, a) = reader.join().unwrap().unwrap();
    assert_eq!(&two, b"two");
    a.set_nonblocking(true).unwrap();
    let std = std::net::TcpStream::try_from(a).unwrap();
    assert!(SockRef::from(&std).nonblocking().unwrap());

    let listener = std::net::TcpListener::try_from(listen()).unwrap();
    assert!(!SockRef::from(&listener).nonblocking().unwrap());
    let listener = TcpListener::try_from(listener).unwrap();
    let listener = TcpListener::from(OwnedFd::from(listener));
    let addr = listener.local_addr().unwrap();
    let acceptor = spawn(move || listener.accept().map(|(_, addr)| addr));
    yield_now();
    let stream = TcpStream::connect(addr).unwrap();
    assert_eq!(
        acceptor.join().unwrap().unwrap(),
        stream.local_addr().unwrap()
    );
}

#[test]
fn incoming_and_clones_share_the_connections() {
    let listener = listen();
    let addr = listener.local_addr().unwrap();
    let clone = listener.try_clone().unwrap();
    assert_eq!(clone.local_addr().unwrap(), addr);
    let all: Vec<_> = [listener, clone]
        .map(|l| spawn(move || l.incoming().next().unwrap().unwrap()))
        .into();
    yield_now();
    let clients: Vec<_> = (0..2).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let mut peers: Vec<_> = all
        .into_iter()
        .map(|t| t.join().unwrap().peer_addr().unwrap())
        .collect();
    let mut locals: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
    peers.sort();
    locals.sort();
    assert_eq!(peers, locals);
}

#[test]
fn connect_tries_the_next_address() {
    let listener = listen();
    let good = listener.local_addr().unwrap();
    let bad = listen().local_addr().unwrap();
    let stream = TcpStream::connect(&[bad, good][..]).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), good);
    let refused = TcpStream::connect(&[bad, bad][..]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let none = TcpStream::connect(&[][..]).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::InvalidInput);
}

#[test]
fn an_address_can_be_bound_again_at_once() {
    let listener = listen();
    let addr = listener.local_addr().unwrap();
    let client = TcpStream::connect(addr).unwrap();
    let (server, _) = listener.accept().unwrap();
    let taken = TcpListener::bind(addr).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    // Its side closes first and lingers.
    drop((server, listener));
    drop(client);
    TcpListener::bind(addr).unwrap();
}

#[test]
fn a_task_whose_socket_is_always_ready_lets_others_run() {
    let (mut a, mut b) = pair();
    a.write_all(&[0; 1000]).unwrap();
    let ran = Rc::new(Cell::new(false));
    let other = Rc::clone(&ran);
    spawn(move || other.set(true));
    for i in 0..1000 {
        b.read_exact(&mut [0]).unwrap();
        if ran.get() {
            assert!(i > 0, "a single read does not yield");
            return;
        }
    }
    panic!("a thousand reads and nobody else ran");
}

#[test]
fn a_thread_without_a_hub_waits_in_the_system() {
    let thread = thread::spawn(|| {
        let listener = listen();
        let addr = listener.local_addr().unwrap();
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(&pattern(8 << 20)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut reply = [0; 2];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"ok");
            Hub::builder().start().unwrap();
        });
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert!(all == pattern(8 << 20));
        stream.write_all(b"ok").unwrap();
        client.join().unwrap();

        let (mut a, _b) = pair();
        a.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        let late = io::wait_readable(a.as_fd(), Some(SHORT)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        // None of that made a hub.
        Hub::builder().start().unwrap();
        // Now there is one, and the same socket parks.
        let reader = spawn(move || a.read(&mut [0]).unwrap_err().kind());
        assert_eq!(reader.join().unwrap(), ErrorKind::TimedOut);
    });
    thread.join().unwrap();
}

#[test]
fn any_descriptor_can_be_waited_for_by_several() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let reader = Rc::new(reader);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let reader = Rc::clone(&reader);
            spawn(move || io::wait_readable(reader.as_fd(), Some(LONG)))
        })
        .collect();
    yield_now();
    io::wait_writable(writer.as_fd(), None).unwrap();
    writer.write_all(b"x").unwrap();
    for waiter in waiters {
        waiter.join().unwrap().unwrap();
    }
    let file = std::fs::File::open("/proc/self/status").unwrap();
    io::wait_readable(file.as_fd(), None).unwrap();
}

#[test]
fn a_stream_can_be_waited_for_while_it_is_used() {
    let (a, b) = pair();
    fill(&a, &b);
    let a = Rc::new(a);
    let waiting = Rc::clone(&a);
    let waiting = spawn(move || io::wait_readable(waiting.as_fd(), Some(LONG)));
    let writer = Rc::clone(&a);
    let writer = spawn(move || (&*writer).write_all(b"end"));
    yield_now();
    (&b).write_all(b"hi").unwrap();
    waiting.join().unwrap().unwrap();
    (&*a).read_exact(&mut [0; 2]).unwrap();
    let sink = spawn(move || std::io::copy(&mut &b, &mut std::io::sink()));
    writer.join().unwrap().unwrap();
    drop(a);
    sink.join().unwrap().unwrap();
}

#[test]
fn descriptors_and_memory_are_given_back() {
    util::alone("descriptors_and_memory_are_given_back", || {
        util::assert_no_leak(|| {
            let (mut a, mut b) = pair();
            let reader = spawn(move || b.read(&mut [0]));
            yield_now();
            a.write_all(b"x").unwrap();
            reader.join().unwrap().unwrap();
        });
    });
}

/// A raw descriptor goes out and comes in, and stays usable.
#[test]
fn goes_through_a_raw_descriptor() {
    use std::os::fd::{FromRawFd, IntoRawFd};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // SAFETY: the number was just given up by its owner, and nobody else has it.
    let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
    let server = greenloom::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"raw").unwrap();
    });
    let stream = TcpStream::connect(addr).unwrap();
    // SAFETY: as above.
    let mut stream = unsafe { TcpStream::from_raw_fd(stream.into_raw_fd()) };
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "raw");
    server.join().unwrap();
}
