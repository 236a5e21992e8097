//! Host names: looked up on the pool, while the hub goes on.

#[path = "util/sharing.rs"]
mod sharing;
mod util;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use greenloom::blocking::{ThreadPool, default_pool};
use greenloom::hub::InCallback;
use greenloom::io::TimeoutElapsed;
use greenloom::net::{TcpListener, TcpStream, ToSocketAddrs, lookup_host};
use greenloom::task::JoinError;
use greenloom::{spawn, timeout, yield_now};

/// A default pool of one thread, which is held until the sender is dropped: a lookup waits in its queue. Of a process of the
/// caller's own.
fn held_pool() -> mpsc::Sender<()> {
    ThreadPool::builder(1).install_default().unwrap();
    let (hold, held) = mpsc::channel::<()>();
    drop(default_pool().spawn(move || held.recv()).unwrap());
    hold
}

fn is_local(mut addrs: impl Iterator<Item = SocketAddr>, port: u16) -> bool {
    let first = addrs.next().expect("an address");
    addrs
        .chain([first])
        .all(|a| a.ip().is_loopback() && a.port() == port)
}

#[test]
fn a_name_is_looked_up_while_another_task_runs() {
    util::alone("a_name_is_looked_up_while_another_task_runs", || {
        let hold = held_pool();
        let log = Rc::new(RefCell::new(Vec::new()));
        let theirs = Rc::clone(&log);
        let lookup = spawn(move || {
            theirs.borrow_mut().push("asks");
            let local = is_local(lookup_host("localhost:80").unwrap(), 80);
            theirs.borrow_mut().push("knows");
            local
        });
        let theirs = Rc::clone(&log);
        let other = spawn(move || {
            theirs.borrow_mut().push("runs");
            // Only now is there a thread for it: had the lookup blocked the hub, nobody would get here.
            drop(hold);
        });
        other.join().unwrap();
        assert!(lookup.join().unwrap());
        assert_eq!(*log.borrow(), ["asks", "runs", "knows"]);
    });
}

#[test]
fn numbers_never_wait() {
    util::alone("numbers_never_wait", || {
        let _hold = held_pool();
        // In a callback of the hub nothing can wait: numbers are fine, names are not.
        let (tx, rx) = mpsc::channel();
        let task = spawn(|| ());
        task.on_done(move |_| {
            let numbers = "127.0.0.1:1".to_socket_addrs().map(Iterator::count);
            tx.send((
                numbers,
                "localhost:1".to_socket_addrs().map(Iterator::count),
            ))
            .unwrap();
        });
        task.join().unwrap();
        yield_now();
        let (numbers, name) = rx.recv().unwrap();
        assert_eq!(numbers.unwrap(), 1);
        assert!(name.unwrap_err().get_ref().unwrap().is::<InCallback>());
        assert_eq!(default_pool().queued(), 0);
    });
}

#[test]
fn everything_that_std_takes_is_taken() {
    fn count(addr: impl ToSocketAddrs, port: u16) -> usize {
        let addrs: Vec<_> = addr.to_socket_addrs().unwrap().collect();
        assert!(addrs.iter().all(|a| a.port() == port));
        addrs.len()
    }
    let v4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7);
    let v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7, 0, 0);
    assert_eq!(count(SocketAddr::from(v4), 7), 1);
    assert_eq!(count(v4, 7), 1);
    let v6_behind_a_reference: &SocketAddrV6 = &v6;
    assert_eq!(count(v6_behind_a_reference, 7), 1);
    assert_eq!(count((IpAddr::from(Ipv4Addr::LOCALHOST), 7), 7), 1);
    assert_eq!(count((Ipv4Addr::LOCALHOST, 7), 7), 1);
    assert_eq!(count((Ipv6Addr::LOCALHOST, 7), 7), 1);
    assert_eq!(count("127.0.0.1:7", 7), 1);
    assert_eq!(count("[::1]:7", 7), 1);
    assert_eq!(count(String::from("[::1]:7"), 7), 1);

    assert_eq!(count(("::1", 7), 7), 1);
    assert_eq!(count((String::from("127.0.0.1"), 7), 7), 1);
    assert_eq!(
        count(&[SocketAddr::from(v4), SocketAddr::from(v6)][..], 7),
        2
    );
    for n in [
        count(("localhost", 7), 7),
        count("localhost:7", 7),
        count(String::from("localhost:7"), 7),
        count((String::from("localhost"), 7), 7),
    ] {
        assert!(n >= 1);
    }
}

#[test]
fn what_is_no_address_is_an_error_with_stds_kind() {
    for text in [
        "localhost",
        "localhost:",
        "localhost:x",
        "localhost:65536",
        "",
    ] {
        let ours = lookup_host(text).map(Iterator::count).unwrap_err();
        let std = std::net::ToSocketAddrs::to_socket_addrs(text).unwrap_err();
        assert_eq!(
            (ours.kind(), ours.to_string()),
            (std.kind(), std.to_string()),
            "{text:?}"
        );
        assert_eq!(ours.kind(), ErrorKind::InvalidInput);
    }
    // Not a name that any resolver would ask others for.
    let bad = ("no such host", 80);
    let ours = lookup_host(bad).map(Iterator::count).unwrap_err();
    let std = std::net::ToSocketAddrs::to_socket_addrs(&bad).unwrap_err();
    assert_eq!(ours.kind(), std.kind());
    assert_eq!(TcpStream::connect(bad).unwrap_err().kind(), std.kind());
}

#[test]
fn a_stream_connects_by_name_to_a_listener_bound_by_name() {
    let listener = TcpListener::bind(("localhost", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
    });
    let mut text = String::new();
    TcpStream::connect(("localhost", port))
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "hello");
    server.join().unwrap();
}

#[test]
fn a_lookup_that_takes_too_long_or_is_killed_goes_on_alone() {
    util::alone(
        "a_lookup_that_takes_too_long_or_is_killed_goes_on_alone",
        || {
            let hold = held_pool();
            let late = timeout(Duration::from_millis(1), || {
                TcpStream::connect("localhost:1")
            });
            let error = late.unwrap_err().into_value().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(error.get_ref().unwrap().is::<TimeoutElapsed>());

            let reached = Rc::new(Cell::new(false));
            let theirs = Rc::clone(&reached);
            let task = spawn(move || {
                drop(lookup_host("localhost:1"));
                theirs.set(true);
            });
            yield_now();
            task.kill();
            assert!(matches!(task.join(), Err(JoinError::Killed)));
            assert!(!reached.get());
            // In the queue still; but the first was never handed in if its time had passed by then.
            assert!((1..=2).contains(&default_pool().queued()));
            drop(hold);
            default_pool().join();
            assert!(is_local(lookup_host("localhost:1").unwrap(), 1));
        },
    );
}

#[test]
fn many_tasks_and_a_plain_thread_look_up_at_once() {
    sharing::crowd(2, 10, 2, |_| {
        assert!(is_local(lookup_host("localhost:9").unwrap(), 9))
    });
    let plain = thread::spawn(|| is_local(lookup_host("localhost:9").unwrap(), 9));
    assert!(plain.join().unwrap());
}
