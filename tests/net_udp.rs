//! `net::UdpSocket` as a user of std's knows it, and under attack.
//!
//! Everything is on loopback. A task that was spawned has run up to its first wait after one `yield_now`. A timeout of
//! `LONG` is there to fail instead of hanging; it is never waited for.

mod util;

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use greenloom::io::{Closed, ConcurrentUse, Direction};
use greenloom::net::UdpSocket;
use greenloom::{spawn, timeout, yield_now};
use socket2::SockRef;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Two sockets, each the other's peer.
fn pair() -> (UdpSocket, UdpSocket) {
    let ((a, a_addr), (b, b_addr)) = (bound(), bound());
    a.connect(b_addr).unwrap();
    b.connect(a_addr).unwrap();
    (a, b)
}

fn is_closed(error: &Error) -> bool {
    error.kind() == ErrorKind::NotConnected
        && error.get_ref().is_some_and(|inner| inner.is::<Closed>())
}

#[test]
fn is_send_and_sync() {
    fn check<T: Send + Sync + std::fmt::Debug + AsFd + AsRawFd + IntoRawFd + From<OwnedFd>>() {}
    check::<UdpSocket>();
}

#[test]
fn datagrams_keep_their_bounds_and_tell_where_they_came_from() {
    let ((a, a_addr), (b, b_addr)) = (bound(), bound());
    for text in [&b"one"[..], b"", b"three"] {
        assert_eq!(a.send_to(text, b_addr).unwrap(), text.len());
    }
    let mut buf = [0; 16];
    assert_eq!(b.peek_from(&mut buf).unwrap(), (3, a_addr));
    assert_eq!(b.recv_from(&mut buf).unwrap(), (3, a_addr));
    assert_eq!(&buf[..3], b"one");
    assert_eq!(b.recv_from(&mut buf).unwrap(), (0, a_addr));
    assert_eq!(b.recv_from(&mut buf[..2]).unwrap(), (2, a_addr), "cut off");
    b.set_read_timeout(Some(SHORT)).unwrap();
    let late = b.recv_from(&mut buf).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
}

#[test]
fn a_short_datagram_does_not_hide_the_next_one() {
    let (a, b) = pair();
    b.set_read_timeout(Some(LONG)).unwrap();
    let reader = spawn(move || {
        let mut buf = [0; 64];
        (0..3).map(|_| b.recv(&mut buf).unwrap()).sum::<usize>()
    });
    yield_now();
    // One event for all of them.
    for _ in 0..3 {
        a.send(b"x").unwrap();
    }
    assert_eq!(reader.join().unwrap(), 3);
}

#[test]
fn a_hundred_clients_are_answered_by_one_task() {
    let (server, addr) = bound();
    let server = Rc::new(server);
    let serving = Rc::clone(&server);
    let task = spawn(move || {
        let mut buf = [0; 64];
        while let Ok((n, from)) = serving.recv_from(&mut buf) {
            serving.send_to(&buf[..n], from).unwrap();
        }
    });
    let clients: Vec<_> = (0..100_u32)
        .map(|i| {
            spawn(move || {
                let (client, _) = bound();
                client.connect(addr).unwrap();
                client.set_read_timeout(Some(LONG)).unwrap();
                for round in 0..10_u32 {
                    let message = [i.to_le_bytes(), round.to_le_bytes()].concat();
                    client.send(&message).unwrap();
                    let mut reply = [0; 16];
                    let n = client.recv(&mut reply).unwrap();
                    assert_eq!(reply[..n], message);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    server.close();
    task.join().unwrap();
}

#[test]
fn a_peer_that_is_not_there_is_told() {
    // Elsewhere a child that a neighbour forks may hold a socket a little longer.
    util::alone("a_peer_that_is_not_there_is_told", || {
        let (a, a_addr) = bound();
        let (b, b_addr) = bound();
        drop(b);
        a.connect(b_addr).unwrap();
        a.set_read_timeout(Some(LONG)).unwrap();
        let a = Rc::new(a);
        let reader = Rc::clone(&a);
        let reader = spawn(move || reader.recv(&mut [0; 8]));
        yield_now();
        a.send(b"anybody").unwrap();
        let refused = reader.join().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        // That was an event, not an end.
        let (c, _) = bound();
        a.connect(c.local_addr().unwrap()).unwrap();
        c.send_to(b"me", a_addr).unwrap();
        assert_eq!(a.recv(&mut [0; 8]).unwrap(), 2);
        a.set_read_timeout(Some(SHORT)).unwrap();
        let late = a.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn options_are_those_of_the_socket() {
    let (a, addr) = bound();
    assert_eq!(a.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    a.connect(addr).unwrap();
    assert_eq!(a.peer_addr().unwrap(), addr);
    assert!(!a.broadcast().unwrap());
    a.set_broadcast(true).unwrap();
    assert!(a.broadcast().unwrap());
    a.set_ttl(41).unwrap();
    assert_eq!(a.ttl().unwrap(), 41);
    a.set_multicast_ttl_v4(3).unwrap();
    assert_eq!(a.multicast_ttl_v4().unwrap(), 3);
    assert!(a.multicast_loop_v4().unwrap());
    a.set_multicast_loop_v4(false).unwrap();
    assert!(!a.multicast_loop_v4().unwrap());
    assert!(a.take_error().unwrap().is_none());

    let six = UdpSocket::bind("[::1]:0").unwrap();
    assert!(six.multicast_loop_v6().unwrap());
    six.set_multicast_loop_v6(false).unwrap();
    assert!(!six.multicast_loop_v6().unwrap());
    let no_group = six.join_multicast_v6(&Ipv6Addr::LOCALHOST, 0).unwrap_err();
    assert!(no_group.raw_os_error().is_some(), "{no_group}");
    let not_joined = six.leave_multicast_v6(&"ff02::1:2".parse().unwrap(), 0);
    assert!(not_joined.is_err());
}

#[test]
fn a_group_is_joined_and_left() {
    let group = Ipv4Addr::new(239, 255, 77, 9);
    let (member, addr) = {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        (socket, SocketAddr::from((group, port)))
    };
    member
        .join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
        .unwrap();
    let (sender, from) = bound();
    SockRef::from(&sender)
        .set_multicast_if_v4(&Ipv4Addr::LOCALHOST)
        .unwrap();
    member.set_read_timeout(Some(LONG)).unwrap();
    sender.send_to(b"all", addr).unwrap();
    assert_eq!(member.recv_from(&mut [0; 8]).unwrap(), (3, from));
    member
        .leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
        .unwrap();
    let again = member.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST);
    assert!(again.is_err());
}

#[test]
fn ipv6_works_the_same() {
    let a = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let b = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let reader_addr = b.local_addr().unwrap();
    let reader = spawn(move || b.recv_from(&mut [0; 8]));
    yield_now();
    a.send_to(b"six", reader_addr).unwrap();
    let (n, from) = reader.join().unwrap().unwrap();
    assert_eq!((n, from), (3, a.local_addr().unwrap()));
}

#[test]
fn sends_wait_for_room_and_lose_nothing_on_the_way_out() {
    let (a, b) = pair();
    SockRef::from(&b).set_recv_buffer_size(1 << 20).unwrap();
    let too_long = a.send(&[0; 70_000]).unwrap_err();
    assert!(too_long.raw_os_error().is_some(), "{too_long}");
    let sender = spawn(move || {
        for i in 0..200_u32 {
            a.send(&i.to_le_bytes()).unwrap();
        }
    });
    b.set_read_timeout(Some(LONG)).unwrap();
    for i in 0..200_u32 {
        let mut buf = [0; 8];
        assert_eq!(b.recv(&mut buf).unwrap(), 4);
        assert_eq!(buf[..4], i.to_le_bytes());
    }
    sender.join().unwrap();
}

#[test]
fn a_second_reader_is_refused_and_a_writer_is_not() {
    let (a, b) = pair();
    let a = Rc::new(a);
    let first = Rc::clone(&a);
    let first = spawn(move || first.recv(&mut [0; 8]));
    yield_now();
    for error in [
        a.recv(&mut [0]).unwrap_err(),
        a.peek(&mut [0]).unwrap_err(),
        a.recv_from(&mut [0]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        let busy = error.get_ref().unwrap().downcast_ref::<ConcurrentUse>();
        assert_eq!(busy.unwrap().direction(), Direction::Read);
    }
    assert_eq!(a.send(b"out").unwrap(), 3);
    assert_eq!(b.recv(&mut [0; 8]).unwrap(), 3);
    b.send(b"in").unwrap();
    assert_eq!(first.join().unwrap().unwrap(), 2);
}

#[test]
fn would_block_is_for_those_who_ask_for_it() {
    let (a, b) = pair();
    a.set_nonblocking(true).unwrap();
    assert_eq!(a.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    b.send(b"x").unwrap();
    assert_eq!(a.try_clone().unwrap().recv(&mut [0]).unwrap(), 1);
    a.set_nonblocking(false).unwrap();
    a.set_read_timeout(Some(SHORT)).unwrap();
    assert_eq!(a.recv(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(a.read_timeout().unwrap(), Some(SHORT));
    assert_eq!(a.write_timeout().unwrap(), None);
    let zero = a.set_write_timeout(Some(Duration::ZERO)).unwrap_err();
    assert_eq!(zero.kind(), ErrorKind::InvalidInput);
}

#[test]
fn an_enclosing_timeout_and_a_kill_end_the_wait_and_nothing_else() {
    let (a, b) = pair();
    let a = Rc::new(a);
    let elapsed = timeout(SHORT, || a.recv(&mut [0]).unwrap_err().kind()).unwrap_err();
    assert_eq!(elapsed.into_value(), Some(ErrorKind::TimedOut));
    let victim = Rc::clone(&a);
    let victim = spawn(move || victim.recv(&mut [0]));
    yield_now();
    victim.kill();
    b.send(b"kept").unwrap();
    assert!(victim.join().is_err());
    assert_eq!(a.recv(&mut [0; 8]).unwrap(), 4);
}

#[test]
fn close_wakes_the_reader_and_leaves_clones_alone() {
    let (a, b) = pair();
    let clone = a.try_clone().unwrap();
    let a = Rc::new(a);
    let reader = Rc::clone(&a);
    let reader = spawn(move || reader.recv(&mut [0; 8]));
    yield_now();
    a.close();
    a.close();
    assert!(is_closed(&reader.join().unwrap().unwrap_err()));
    assert!(is_closed(&a.send(b"x").unwrap_err()));
    assert!(is_closed(&a.local_addr().unwrap_err()));
    assert!(is_closed(&a.set_read_timeout(None).unwrap_err()));
    let reader = spawn(move || clone.recv(&mut [0; 8]));
    yield_now();
    b.send(b"still").unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 5);
}

#[test]
fn close_wakes_a_plain_thread() {
    let (a, _b) = pair();
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
fn a_new_socket_with_the_same_number_is_not_touched() {
    util::alone("a_new_socket_with_the_same_number_is_not_touched", || {
        let (a, addr) = bound();
        let number = a.as_raw_fd();
        let a = Rc::new(a);
        let reader = Rc::clone(&a);
        let reader = spawn(move || reader.recv(&mut [0; 8]));
        yield_now();
        a.close();
        drop(a);
        assert!(is_closed(&reader.join().unwrap().unwrap_err()));
        let b = UdpSocket::bind(addr).unwrap();
        assert_eq!(b.as_raw_fd(), number);
        let reader = spawn(move || b.recv(&mut [0; 8]));
        yield_now();
        bound().0.send_to(b"new", addr).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 3);
    });
}

#[test]
fn conversions_keep_the_socket_its_mode_and_its_timeouts() {
    let (a, addr) = bound();
    let (b, _) = bound();
    a.set_read_timeout(Some(LONG)).unwrap();
    let text = format!("{a:?}");
    let a = std::net::UdpSocket::try_from(a).unwrap();
    assert_eq!(text, format!("{a:?}"));
    assert!(!SockRef::from(&a).nonblocking().unwrap());
    assert_eq!(a.read_timeout().unwrap(), Some(LONG));
    let a = UdpSocket::try_from(a).unwrap();
    assert!(SockRef::from(&a).nonblocking().unwrap());
    assert_eq!(a.read_timeout().unwrap(), Some(LONG));
    let fd = OwnedFd::from(a);
    assert!(!SockRef::from(&fd).nonblocking().unwrap());
    let a = UdpSocket::from(fd);
    // SAFETY: the number was just given up by its owner, and nobody else has it.
    let a = unsafe { UdpSocket::from_raw_fd(a.into_raw_fd()) };
    let reader = spawn(move || a.recv(&mut [0; 8]));
    yield_now();
    b.send_to(b"raw", addr).unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 3);
}

#[test]
fn an_address_that_cannot_be_had_is_told_or_passed_over() {
    let (_taken, addr) = bound();
    let error = UdpSocket::bind(addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    UdpSocket::bind(&[addr, free][..]).unwrap();
    let none = UdpSocket::bind(&[][..]).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::InvalidInput);
    let (a, _) = bound();
    let unspecified = a.send(b"whom").unwrap_err();
    assert!(unspecified.raw_os_error().is_some(), "{unspecified}");
}

#[test]
fn works_between_two_threads_one_of_them_with_a_hub() {
    let (server, addr) = bound();
    let thread = thread::spawn(move || {
        let (n, from) = server.recv_from(&mut [0; 8]).unwrap();
        server.send_to(&vec![b'y'; n], from).unwrap();
    });
    let client = spawn(move || {
        let (client, _) = bound();
        client.send_to(b"xxx", addr).unwrap();
        let mut buf = [0; 8];
        let (n, from) = client.recv_from(&mut buf).unwrap();
        assert_eq!((&buf[..n], from), (&b"yyy"[..], addr));
    });
    client.join().unwrap();
    thread.join().unwrap();
}

#[test]
fn descriptors_and_memory_are_given_back() {
    util::alone("descriptors_and_memory_are_given_back", || {
        util::assert_no_leak(|| {
            let (a, b) = pair();
            let reader = spawn(move || b.recv(&mut [0]));
            yield_now();
            a.send(b"x").unwrap();
            reader.join().unwrap().unwrap();
        });
    });
}
