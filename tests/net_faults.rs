//! Peers that are slow, that are gone, and that are gone half: TCP when things go wrong.
//!
//! Everything is on loopback. A task that was spawned has run up to its first wait after one `yield_now`. A timeout of
//! `LONG` is there to fail instead of hanging; it is never waited for. Intervals only make peers slow: nothing depends on
//! how slow.
#![forbid(unsafe_code)]

mod util;

use std::fs;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{Ipv6Addr, Shutdown};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use greenloom::io::{Closed, copy_bidirectional};
use greenloom::net::unix::UnixStream;
use greenloom::net::{TcpListener, TcpStream};
use greenloom::{join_all, sleep, spawn, timeout, yield_now};
use socket2::SockRef;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);
const TICK: Duration = Duration::from_millis(1);

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (a, listener.accept().unwrap().0)
}

/// Ends the connection by a reset.
fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Small buffers, so that little fills them.
fn narrow(a: &TcpStream, b: &TcpStream) {
    SockRef::from(a).set_send_buffer_size(16 << 10).unwrap();
    SockRef::from(b).set_recv_buffer_size(16 << 10).unwrap();
}

/// Writes until the system takes no more, and has settled.
fn fill(mut a: &TcpStream, b: &TcpStream) {
    narrow(a, b);
    loop {
        a.set_nonblocking(true).unwrap();
        while a.write(&[0; 64 << 10]).is_ok() {}
        a.set_nonblocking(false).unwrap();
        if a.write_all_timeout(&[0], SHORT).is_err() {
            return;
        }
    }
}

fn is_closed(error: &Error) -> bool {
    error.kind() == ErrorKind::NotConnected
        && error.get_ref().is_some_and(|inner| inner.is::<Closed>())
}

#[test]
fn a_slow_reader_gets_everything_and_holds_only_its_writer() {
    const SIZE: usize = 512 << 10;
    let (a, b) = pair();
    narrow(&a, &b);
    let writer = spawn(move || (&a).write_all(&vec![3; SIZE]).map(|()| drop(a)));
    // Another connection of the same hub goes on.
    let (mut c, mut d) = pair();
    let echo = spawn(move || {
        let mut byte = [0];
        while d.read(&mut byte).unwrap() > 0 {
            d.write_all(&byte).unwrap();
        }
    });
    let mut all = 0;
    let mut buf = vec![0; 4096];
    loop {
        let n = (&b).read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        all += n;
        if all % 7 == 0 {
            sleep(TICK);
        }
        c.write_all(b"?").unwrap();
        c.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(all, SIZE);
    writer.join().unwrap().unwrap();
    drop(c);
    echo.join().unwrap();
}

#[test]
fn a_trickle_does_not_prolong_a_deadline_for_the_whole() {
    let (a, b) = pair();
    fill(&a, &b);
    // The peer reads one byte at a time, without end.
    let sip = spawn(move || {
        while (&b).read(&mut [0]).unwrap_or(0) > 0 {
            sleep(TICK);
        }
    });
    let late = a.write_all_timeout(&vec![0; 64 << 20], Duration::from_millis(40));
    assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    drop(a);
    sip.kill();
    let _ = sip.join();

    let (a, b) = pair();
    let drip = spawn(move || {
        while (&b).write_all(b".").is_ok() {
            sleep(TICK);
        }
    });
    // A timeout for each read would never expire here; the deadline for the whole does.
    a.set_read_timeout(Some(LONG)).unwrap();
    let late = a.read_exact_timeout(&mut vec![0; 1 << 20], Duration::from_millis(40));
    assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    let whole = timeout(Duration::from_millis(40), || {
        (&a).read_exact(&mut vec![0; 1 << 20])
    });
    let error = whole.unwrap_err().into_value().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(a);
    drip.join().unwrap();
}

#[test]
fn a_peer_that_sends_byte_by_byte_is_read_whole() {
    let (mut a, b) = pair();
    let drip = spawn(move || {
        for byte in b"one at a time" {
            (&b).write_all(&[*byte]).unwrap();
            sleep(TICK);
        }
    });
    let mut text = String::new();
    a.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one at a time");
    drip.join().unwrap();
}

#[test]
fn a_connection_reset_before_it_is_accepted_disturbs_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    reset(TcpStream::connect(addr).unwrap());
    let mut good = TcpStream::connect(addr).unwrap();
    good.write_all(b"good").unwrap();
    // Linux still hands out the one that was reset: its first read says so.
    let mut texts = Vec::new();
    while texts.is_empty() {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buf = [0; 4];
        match stream.read_exact(&mut buf) {
            Ok(()) => texts.push(buf),
            Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert_eq!(texts, [*b"good"]);
}

#[test]
fn a_reset_is_told_to_who_reads_and_to_who_writes() {
    let (a, b) = pair();
    let reader = spawn(move || (&a).read(&mut [0; 8]).map(|_| a));
    yield_now();
    reset(b);
    let error = reader.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let (a, b) = pair();
    fill(&a, &b);
    let writer = spawn(move || {
        let error = (&a).write_all(&[0; 8]).unwrap_err();
        (error.kind(), (&a).write(&[0]).unwrap_err().kind())
    });
    yield_now();
    reset(b);
    let kinds = (ErrorKind::ConnectionReset, ErrorKind::BrokenPipe);
    assert_eq!(writer.join().unwrap(), kinds);
}

#[test]
fn a_reset_of_a_half_open_connection_is_told() {
    // The peer has said that it writes no more, and is reset afterwards.
    let (a, b) = pair();
    b.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&a).read(&mut [0]).unwrap(), 0);
    fill(&a, &b);
    let a = Rc::new(a);
    let writer = Rc::clone(&a);
    let writer = spawn(move || (&*writer).write_all(&[0; 8]));
    yield_now();
    reset(b);
    assert!(writer.join().unwrap().is_err());
    // This side has said so, and waits for the answer.
    let (a, b) = pair();
    a.shutdown(Shutdown::Write).unwrap();
    let reader = spawn(move || (&a).read(&mut [0; 8]));
    yield_now();
    assert_eq!((&b).read(&mut [0]).unwrap(), 0);
    reset(b);
    let error = reader.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn data_that_was_not_read_makes_the_close_a_reset() {
    let (a, b) = pair();
    (&a).write_all(b"never read").unwrap();
    let waiting = spawn(move || (&a).read(&mut [0; 8]));
    yield_now();
    b.peek(&mut [0]).unwrap();
    drop(b);
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn each_direction_ends_for_itself() {
    let (mut a, mut b) = pair();
    a.write_all(b"question").unwrap();
    a.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    b.read_to_string(&mut text).unwrap();
    b.write_all(b"answer").unwrap();
    b.shutdown(Shutdown::Write).unwrap();
    a.read_to_string(&mut text).unwrap();
    assert_eq!(text, "questionanswer");
    assert_eq!(a.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    // A side that reads no more finds the end at once, and can still write.
    let (mut a, mut b) = pair();
    let reader = a.try_clone().unwrap();
    let reader = spawn(move || (&reader).read(&mut [0]));
    yield_now();
    a.shutdown(Shutdown::Read).unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 0);
    a.write_all(b"still").unwrap();
    b.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn a_close_in_the_middle_of_a_transfer_ends_both_directions() {
    let (a, b) = pair();
    fill(&a, &b);
    let a = Rc::new(a);
    let reader = Rc::clone(&a);
    let reader = spawn(move || (&*reader).read_to_end(&mut Vec::new()));
    let writer = Rc::clone(&a);
    let writer = spawn(move || (&*writer).write_all(&vec![0; 1 << 20]));
    yield_now();
    a.close();
    assert!(is_closed(&reader.join().unwrap().unwrap_err()));
    assert!(is_closed(&writer.join().unwrap().unwrap_err()));
    std::io::copy(&mut &b, &mut std::io::sink()).unwrap();
}

#[test]
fn ipv6_works_the_same() {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    assert!(addr.is_ipv6());
    let server = spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        assert!(from.is_ipv6());
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        stream.write_all(text.to_uppercase().as_bytes()).unwrap();
        listener.into_incoming()
    });
    let mut stream = TcpStream::connect(addr).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addr);
    stream.write_all(b"six").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "SIX");
    let mut incoming = server.join().unwrap();
    let again = TcpStream::connect(addr).unwrap();
    let peer = incoming.next().unwrap().unwrap().peer_addr().unwrap();
    assert_eq!(peer, again.local_addr().unwrap());
}

#[test]
fn linger_and_keepalive_are_those_of_the_socket() {
    let (a, _b) = pair();
    assert_eq!(a.linger().unwrap(), None);
    a.set_linger(Some(Duration::from_secs(3))).unwrap();
    assert_eq!(a.linger().unwrap(), Some(Duration::from_secs(3)));
    a.set_linger(None).unwrap();
    assert_eq!(a.keepalive().unwrap(), None);
    a.set_keepalive(Some(LONG)).unwrap();
    assert_eq!(a.keepalive().unwrap(), Some(LONG));
    assert_eq!(
        a.set_keepalive(Some(TICK)).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    a.set_keepalive(None).unwrap();
    assert_eq!(a.keepalive().unwrap(), None);
    a.close();
    assert!(is_closed(&a.linger().unwrap_err()));
    assert!(is_closed(&a.set_keepalive(None).unwrap_err()));
}

#[test]
fn a_proxy_passes_on_both_directions_and_their_ends() {
    const SIZE: usize = 1 << 20;
    let (client, near) = pair();
    let (far, server) = UnixStream::pair().unwrap();
    let proxy = spawn(move || copy_bidirectional(&near, &far));
    let upper = spawn(move || {
        let mut all = Vec::new();
        (&server).read_to_end(&mut all).unwrap();
        all.make_ascii_uppercase();
        (&server).write_all(&all).unwrap();
    });
    let (mut read, mut write) = client.into_split();
    let writer = spawn(move || write.write_all(&vec![b'a'; SIZE]).unwrap());
    let mut all = Vec::new();
    read.read_to_end(&mut all).unwrap();
    assert!(all == vec![b'A'; SIZE]);
    writer.join().unwrap();
    upper.join().unwrap();
    let size = SIZE as u64;
    assert_eq!(proxy.join().unwrap().unwrap(), (size, size));
}

#[test]
fn a_proxy_ends_with_an_error_a_kill_and_a_timeout() {
    // One side is reset: the other direction ends too, and its peer is told by the drop.
    let ((client, near), (far, server)) = (pair(), pair());
    let proxy = spawn(move || copy_bidirectional(&near, &far).map_err(|e| e.kind()));
    yield_now();
    yield_now();
    reset(client);
    assert_eq!(proxy.join().unwrap(), Err(ErrorKind::ConnectionReset));
    assert_eq!((&server).read(&mut [0]).unwrap(), 0);

    let ((client, near), (far, _server)) = (pair(), pair());
    let proxy = spawn(move || copy_bidirectional(&near, &far).map_err(|e| e.kind()));
    yield_now();
    yield_now();
    proxy.kill();
    assert!(proxy.join().is_err());
    assert_eq!((&client).read(&mut [0]).unwrap(), 0);

    let ((_client, near), (far, _server)) = (pair(), pair());
    timeout(SHORT, || {
        copy_bidirectional(&near, &far).map_err(|e| e.kind())
    })
    .unwrap_err();
    // Neither direction is waited for any more.
    assert!(near.read_exact_timeout(&mut [0], SHORT).is_err());
    assert_eq!(
        far.read_exact_timeout(&mut [0], SHORT).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
}

#[test]
fn a_new_socket_with_the_same_number_is_not_touched() {
    util::alone("a_new_socket_with_the_same_number_is_not_touched", || {
        let (a, b) = pair();
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

/// Resident memory, in KiB.
fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}

#[test]
fn twenty_thousand_connections_leave_nothing_behind() {
    const BATCH: usize = 200;
    const BATCHES: usize = 100;
    util::alone("twenty_thousand_connections_leave_nothing_behind", || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = Rc::new(listener);
        let serving = Rc::clone(&listener);
        let server = spawn(move || {
            while let Ok((mut stream, _)) = serving.accept() {
                spawn(move || {
                    let mut buf = [0; 64];
                    let n = stream.read(&mut buf).unwrap();
                    stream.write_all(&buf[..n]).unwrap();
                    // The client resets it.
                    assert!(stream.read(&mut buf).is_err());
                });
            }
        });
        let batch = |size: usize| {
            let clients: Vec<_> = (0..size)
                .map(|i| {
                    spawn(move || {
                        let mut stream = TcpStream::connect(addr).unwrap();
                        let message = i.to_le_bytes();
                        stream.write_all(&message).unwrap();
                        let mut reply = [0; 8];
                        stream.read_exact(&mut reply).unwrap();
                        assert_eq!(reply, message);
                        // A connection that ends well keeps its port for a minute, and there are not 20,000 of them.
                        reset(stream);
                    })
                })
                .collect();
            assert!(join_all(clients, None).into_iter().all(|r| r.is_ok()));
        };
        for _ in 0..10 {
            batch(BATCH);
        }
        let (fds, kib) = (util::open_fds(), resident_kib());
        for _ in 10..BATCHES {
            batch(BATCH);
        }
        assert_eq!(util::open_fds(), fds);
        // AddressSanitizer holds back what is freed.
        if !cfg!(feature = "sanitizer") {
            let grown = resident_kib().saturating_sub(kib);
            // A hundred bytes for each of the 18,000 would be more.
            assert!(grown < 1700, "{grown} KiB more");
        }
        listener.close();
        server.join().unwrap();
    });
}
