//! `net` under attack: resets, closes, kills, two users at once, other threads, no descriptors left.
//!
//! Everything is on loopback. A task that was spawned has run up to its first wait after one `yield_now`. A timeout of
//! `LONG` is there to fail instead of hanging; it is never waited for.
#![forbid(unsafe_code)]

mod util;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Error, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use greenloom::hub::{InCallback, Unwinding};
use greenloom::io::{Closed, ConcurrentUse, Direction, TimeoutElapsed};
use greenloom::net::{TcpListener, TcpStream};
use greenloom::task::JoinError;
use greenloom::{spawn, timeout, yield_now};
use socket2::{Domain, SockRef, Socket, Type};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = listen();
    let a = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (a, listener.accept().unwrap().0)
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

fn is<E: std::error::Error + 'static>(error: &Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<E>())
}

fn is_closed(error: &Error) -> bool {
    error.kind() == ErrorKind::NotConnected && is::<Closed>(error)
}

fn busy(error: &Error) -> Option<&ConcurrentUse> {
    assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{error}");
    error.get_ref()?.downcast_ref()
}

/// Runs `body` on a thread of its own, with a hub there, once `parked` has run up to its first wait in a task.
fn with_parked_on_another_thread<R: Send + 'static>(
    parked: impl FnOnce() -> R + Send + 'static,
    meanwhile: impl FnOnce(),
) -> R {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let task = spawn(parked);
        // Runs after the task has parked.
        spawn(move || tell.send(()).unwrap());
        task.join().unwrap()
    });
    told.recv().unwrap();
    meanwhile();
    thread.join().unwrap()
}

/// Registered descriptors of this process, which has one hub. Its epoll instance may have several descriptors.
fn registrations() -> usize {
    let all: BTreeSet<String> = fs::read_dir("/proc/self/fdinfo")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.starts_with("tfd:"))
        .collect();
    all.len()
}

#[test]
fn a_reset_in_the_middle_is_told_to_reader_and_writer() {
    let (a, b) = pair();
    fill(&a, &b);
    let a = Rc::new(a);
    let reader = Rc::clone(&a);
    let reader = spawn(move || (&*reader).read(&mut [0; 8]));
    let writer = Rc::clone(&a);
    let writer = spawn(move || (&*writer).write_all(&[0; 8]));
    yield_now();
    SockRef::from(&b).set_linger(Some(Duration::ZERO)).unwrap();
    drop(b);
    let errors = [
        reader.join().unwrap().map(drop),
        writer.join().unwrap(),
        (&*a).write_all(&[0]),
    ];
    let kinds = errors.map(|e| e.err().map(|e| e.kind()));
    // The system tells it once by its name.
    assert!(
        kinds.contains(&Some(ErrorKind::ConnectionReset)),
        "{kinds:?}"
    );
    assert!(kinds[1..].iter().all(Option::is_some), "{kinds:?}");
}

#[test]
fn a_second_waiter_is_refused_and_the_first_not_disturbed() {
    let (a, mut b) = pair();
    fill(&a, &b);
    let a = Rc::new(a);
    let reader = Rc::clone(&a);
    let line = line!() + 1;
    let reader = spawn(move || (&*reader).read(&mut [0; 8]));
    let writer = Rc::clone(&a);
    let writer = spawn(move || (&*writer).write_all(&[7; 8]));
    yield_now();
    for _ in 0..2 {
        let error = (&*a).read(&mut [0; 8]).unwrap_err();
        let concurrent = busy(&error).unwrap();
        assert_eq!(concurrent.direction(), Direction::Read);
        let first = concurrent.first().unwrap();
        assert_eq!((first.file(), first.line()), (file!(), line));
        assert!(error.to_string().contains("tests/net_enemy.rs"), "{error}");
        assert!(busy(&a.peek(&mut [0]).unwrap_err()).is_some());
        let error = (&*a).write(&[0; 8]).unwrap_err();
        assert_eq!(busy(&error).unwrap().direction(), Direction::Write);
    }
    b.write_all(b"1").unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 1);
    let sink = spawn(move || {
        let mut all = Vec::new();
        b.read_to_end(&mut all).unwrap();
        all
    });
    writer.join().unwrap().unwrap();
    // Both directions are free again.
    a.read_exact_timeout(&mut [0], SHORT).unwrap_err();
    a.write_all_timeout(b"end", LONG).unwrap();
    drop(a);
    assert!(sink.join().unwrap().ends_with(b"\x07\x07end"));
}

#[test]
fn a_reader_whose_data_another_took_waits_on() {
    let (a, mut b) = pair();
    let a = Rc::new(a);
    let patient = Rc::clone(&a);
    let patient = spawn(move || {
        let mut byte = [0];
        (&*patient).read_exact(&mut byte).map(|()| byte)
    });
    yield_now();
    // Runnable all the time, so that it is before the one that the event wakes.
    let thief = spawn(move || {
        let mut buf = [0; 8];
        loop {
            match (&*a).read(&mut buf) {
                Ok(n) => return buf[..n].to_vec(),
                Err(e) => assert!(busy(&e).is_some()),
            }
            yield_now();
        }
    });
    b.write_all(b"first").unwrap();
    assert_eq!(thief.join().unwrap(), b"first");
    yield_now();
    b.write_all(b"2").unwrap();
    assert_eq!(patient.join().unwrap().unwrap(), *b"2");
}

#[test]
fn a_thread_counts_as_a_waiter() {
    let (a, mut b) = pair();
    let a = Arc::new(a);
    let reader = Arc::clone(&a);
    let thread = thread::spawn(move || {
        let mut byte = [0];
        // Refused while the probe below waits, for no time at all.
        while let Err(e) = (&*reader).read_exact(&mut byte) {
            assert!(busy(&e).is_some());
        }
        byte
    });
    loop {
        let error = a.read_exact_timeout(&mut [0], Duration::ZERO).unwrap_err();
        if error.kind() != ErrorKind::TimedOut {
            assert_eq!(busy(&error).unwrap().direction(), Direction::Read);
            break;
        }
        thread::yield_now();
    }
    b.write_all(b"x").unwrap();
    assert_eq!(thread.join().unwrap(), *b"x");
}

#[test]
fn close_wakes_reader_and_writer() {
    let (a, b) = pair();
    fill(&a, &b);
    let a = Rc::new(a);
    let reader = Rc::clone(&a);
    let reader = spawn(move || (&*reader).read(&mut [0; 8]));
    let writer = Rc::clone(&a);
    let writer = spawn(move || (&*writer).write(&[0; 8]));
    yield_now();
    a.close();
    assert!(is_closed(&reader.join().unwrap().unwrap_err()));
    assert!(is_closed(&writer.join().unwrap().unwrap_err()));
}

#[test]
fn close_wakes_tasks_of_another_thread() {
    let (a, b) = pair();
    fill(&a, &b);
    let a = Arc::new(a);
    let there = Arc::clone(&a);
    let error =
        with_parked_on_another_thread(move || (&*there).write(&[0; 8]).unwrap_err(), || a.close());
    assert!(is_closed(&error));
    // The number belongs to a socket that is shut down, not to anybody else's.
    assert!(is_closed(&a.peer_addr().unwrap_err()));

    let b = Arc::new(b);
    let listener = Arc::new(listen());
    let there = Arc::clone(&listener);
    let error = with_parked_on_another_thread(
        move || there.accept().unwrap_err(),
        || {
            b.close();
            listener.close();
        },
    );
    assert!(is_closed(&error));
}

#[test]
fn close_wakes_a_plain_thread() {
    let (a, _b) = pair();
    let a = Arc::new(a);
    let there = Arc::clone(&a);
    let thread = thread::spawn(move || {
        loop {
            let error = (&*there).read(&mut [0]).unwrap_err();
            if error.kind() != ErrorKind::ResourceBusy {
                return error;
            }
        }
    });
    while a
        .read_exact_timeout(&mut [0], Duration::ZERO)
        .unwrap_err()
        .kind()
        == ErrorKind::TimedOut
    {
        thread::yield_now();
    }
    a.close();
    assert!(is_closed(&thread.join().unwrap()));

    // Whether it waits yet or not.
    let listener = Arc::new(listen());
    let there = Arc::clone(&listener);
    let thread = thread::spawn(move || there.accept().unwrap_err());
    listener.close();
    assert!(is_closed(&thread.join().unwrap()));
}

#[test]
fn a_closed_listener_refuses_at_once() {
    let listener = Rc::new(listen());
    let addr = listener.local_addr().unwrap();
    let acceptor = Rc::clone(&listener);
    let acceptor = spawn(move || acceptor.accept().map(drop));
    yield_now();
    listener.close();
    let refused = TcpStream::connect(addr).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(is_closed(&acceptor.join().unwrap().unwrap_err()));
    listener.close();
    let calls = [
        listener.accept().map(drop),
        listener.local_addr().map(drop),
        listener.try_clone().map(drop),
        listener.set_nonblocking(true),
        listener.take_error().map(drop),
        listener.ttl().map(drop),
    ];
    assert!(calls.iter().all(|c| is_closed(c.as_ref().unwrap_err())));
}

#[test]
fn every_call_on_a_closed_stream_fails_alike() {
    let (a, mut b) = pair();
    a.close();
    a.close();
    let calls = [
        (&a).read(&mut [0]).map(drop),
        (&a).write(&[0]).map(drop),
        a.peek(&mut [0]).map(drop),
        a.read_exact_timeout(&mut [0], LONG),
        a.write_all_timeout(&[0], LONG),
        a.peer_addr().map(drop),
        a.local_addr().map(drop),
        a.shutdown(std::net::Shutdown::Both),
        a.try_clone().map(drop),
        a.set_read_timeout(None),
        a.set_nodelay(true),
        a.nodelay().map(drop),
        a.take_error().map(drop),
    ];
    assert!(calls.iter().all(|c| is_closed(c.as_ref().unwrap_err())));
    // The other side sees the end.
    assert_eq!(b.read(&mut [0]).unwrap(), 0);
}

#[test]
fn an_idle_socket_moves_between_hubs_and_back() {
    let (a, b) = pair();
    let (a, b) = (Arc::new(a), Arc::new(b));
    // Here first, so that each later wait is a move. On the other thread it gets the same slot of another reactor.
    a.read_exact_timeout(&mut [0], SHORT).unwrap_err();
    for round in 0..20_u8 {
        let there = Arc::clone(&a);
        let read = with_parked_on_another_thread(
            move || {
                let mut byte = [0];
                (&*there).read_exact(&mut byte).map(|()| byte)
            },
            || (&*b).write_all(&[round]).unwrap(),
        );
        assert_eq!(read.unwrap(), [round]);
        let here = Arc::clone(&a);
        let here = spawn(move || {
            let mut byte = [0];
            (&*here).read_exact(&mut byte).map(|()| byte)
        });
        yield_now();
        (&*b).write_all(&[round]).unwrap();
        assert_eq!(here.join().unwrap().unwrap(), [round]);
    }
}

#[test]
fn a_socket_that_is_waited_on_does_not_move() {
    let (a, mut b) = pair();
    fill(&a, &b);
    let a = Arc::new(a);
    let there = Arc::clone(&a);
    let read = with_parked_on_another_thread(
        move || {
            let mut byte = [0];
            (&*there).read_exact(&mut byte).map(|()| byte)
        },
        || {
            // On this thread's hub, in both directions.
            spawn(|| ()).join().unwrap();
            assert!(busy(&(&*a).read(&mut [0]).unwrap_err()).is_some());
            let error = (&*a).write(&[0]).unwrap_err();
            assert!(busy(&error).is_some(), "of another hub");
            b.write_all(b"x").unwrap();
        },
    );
    assert_eq!(read.unwrap(), *b"x");
    // Now it does.
    a.write_all_timeout(&[0], SHORT).unwrap_err();
}

#[test]
fn two_threads_that_fight_over_a_socket_lose_nothing() {
    const BYTES: usize = 20_000;
    let (a, mut b) = pair();
    let a = Arc::new(a);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let a = Arc::clone(&a);
            thread::spawn(move || {
                // With a hub, so that the registration is what they fight for.
                spawn(move || {
                    let mut sum = 0;
                    loop {
                        match (&*a).read(&mut [0; 3]) {
                            Ok(0) => return sum,
                            Ok(n) => sum += n,
                            Err(e) => {
                                assert!(busy(&e).is_some());
                                yield_now();
                                thread::yield_now();
                            }
                        }
                    }
                })
                .join()
                .unwrap()
            })
        })
        .collect();
    for _ in 0..BYTES / 10 {
        b.write_all(&[0; 10]).unwrap();
    }
    drop(b);
    let sum: usize = readers.into_iter().map(|t| t.join().unwrap()).sum();
    assert_eq!(sum, BYTES);
}

#[test]
fn a_hub_that_ends_leaves_its_sockets_usable() {
    let (a, mut b) = pair();
    let a = Arc::new(a);
    // Its task is leaked in the middle of a read, as it must be, and so holds the socket for ever.
    let there = Arc::clone(&a);
    thread::spawn(move || {
        spawn(move || (&*there).read(&mut [0]));
        yield_now();
    })
    .join()
    .unwrap();
    let here = Arc::clone(&a);
    let here = spawn(move || (&*here).read(&mut [0; 8]));
    yield_now();
    b.write_all(b"four").unwrap();
    assert_eq!(here.join().unwrap().unwrap(), 4);
}

#[test]
fn a_killed_reader_takes_nothing_and_leaves_no_waiter() {
    let (a, mut b) = pair();
    let a = Rc::new(a);
    for _ in 0..3 {
        let reader = Rc::clone(&a);
        let reader = spawn(move || (&*reader).read(&mut [0; 8]));
        yield_now();
        // The event and the kill come in the same turn, in either order.
        b.write_all(b"data").unwrap();
        reader.kill();
        match reader.join() {
            Err(JoinError::Killed) => a.read_exact_timeout(&mut [0; 4], LONG).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_kill_ends_every_kind_of_wait() {
    let (a, b) = pair();
    fill(&a, &b);
    let a = Rc::new(a);
    let listener = Rc::new(listen());
    let (r, w, l) = (Rc::clone(&a), Rc::clone(&a), Rc::clone(&listener));
    let (full, _backlog) = full_listener();
    let tasks = [
        spawn(move || drop((&*r).read(&mut [0]))),
        spawn(move || drop((&*w).write(&[0]))),
        spawn(move || drop(l.accept())),
        spawn(move || drop(TcpStream::connect(full))),
    ];
    yield_now();
    for task in tasks {
        assert!(!task.is_finished());
        task.kill();
        assert!(matches!(task.join(), Err(JoinError::Killed)));
    }
    // The next ones wait, and are not taken for second ones.
    a.read_exact_timeout(&mut [0], SHORT).unwrap_err();
    let late = a.write_all_timeout(&[0], SHORT).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    let acceptor = Rc::clone(&listener);
    let acceptor = spawn(move || acceptor.accept().map(drop));
    yield_now();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    acceptor.join().unwrap().unwrap();
}

/// A listener that takes no more connections: to connect to it takes very long.
fn full_listener() -> (SocketAddr, Vec<Socket>) {
    let new = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = new();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut kept = vec![listener];
    for _ in 0..8 {
        let client = new();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&addr);
        kept.push(client);
    }
    (addr.as_socket().unwrap(), kept)
}

#[test]
fn connect_timeout_ends_a_connect_that_hangs() {
    let (full, _backlog) = full_listener();
    let late = TcpStream::connect_timeout(&full, SHORT).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    assert!(late.raw_os_error().is_none());
    // An enclosing timeout ends it too, and no further address is tried.
    let late = timeout(SHORT, || TcpStream::connect(&[full, full][..]).unwrap_err()).unwrap_err();
    assert!(is::<TimeoutElapsed>(&late.into_value().unwrap()));
}

#[test]
fn an_enclosing_timeout_is_reported_once_and_then_unwinds() {
    let (a, mut b) = pair();
    let late = timeout(SHORT, || {
        let error = (&a).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(is::<TimeoutElapsed>(&error), "{error:?}");
        7
    });
    assert_eq!(late.unwrap_err().into_value(), Some(7));
    let late = timeout(SHORT, || {
        let _ = (&a).read(&mut [0]);
        let _ = (&a).read(&mut [0]);
        unreachable!("the second wait unwinds");
    });
    assert_eq!(late.unwrap_err().into_value(), None::<()>);
    b.write_all(b"x").unwrap();
    a.read_exact_timeout(&mut [0], LONG).unwrap();
}

#[test]
fn a_task_that_never_has_to_wait_is_killed_and_timed_out_all_the_same() {
    let (mut a, mut b) = pair();
    let sink = thread::spawn(move || std::io::copy(&mut b, &mut std::io::sink()).unwrap());
    let writer = spawn(move || {
        loop {
            a.write_all(&[0]).unwrap();
        }
    });
    yield_now();
    writer.kill();
    assert!(matches!(writer.join(), Err(JoinError::Killed)));
    assert!(sink.join().unwrap() > 0);

    let (mut a, mut b) = pair();
    let sink = thread::spawn(move || std::io::copy(&mut b, &mut std::io::sink()).unwrap());
    let late = timeout(SHORT, || {
        loop {
            if let Err(e) = a.write_all(&[0]) {
                return e;
            }
        }
    });
    let error = late.unwrap_err().into_value().unwrap();
    assert!(is::<TimeoutElapsed>(&error), "{error:?}");
    drop(a);
    sink.join().unwrap();
}

#[test]
fn while_unwinding_a_call_is_tried_and_never_waits() {
    struct OnDrop<F: FnMut()>(F);
    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    // A thread without a hub would wait like one of std.
    spawn(|| ()).join().unwrap();
    let (a, mut b) = pair();
    let a = Rc::new(a);
    // Known to be empty.
    a.read_exact_timeout(&mut [0], SHORT).unwrap_err();
    let (mut first, mut second) = (None, None);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _late = OnDrop(|| {
            first = Some((&*a).read(&mut [0; 8]));
            // No poll lies between, so nobody but the system knows.
            b.write_all(b"x").unwrap();
            second = Some((&*a).read(&mut [0; 8]));
        });
        panic!("on purpose");
    }));
    assert!(unwound.is_err());
    assert!(is::<Unwinding>(&first.unwrap().unwrap_err()));
    assert_eq!(second.unwrap().unwrap(), 1);

    // The same in a task that is killed.
    let result = Rc::new(std::cell::RefCell::new(None));
    let (told, reader) = (Rc::clone(&result), Rc::clone(&a));
    let task = spawn(move || {
        let _late = OnDrop(|| *told.borrow_mut() = Some((&*reader).read(&mut [0])));
        let _ = (&*reader).read(&mut [0]);
    });
    yield_now();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    let error = result.borrow_mut().take().unwrap().unwrap_err();
    assert!(is::<Unwinding>(&error), "{error:?}");
    // Not a second waiter: that one is gone.
    a.read_exact_timeout(&mut [0], SHORT).unwrap_err();
}

#[test]
fn in_a_callback_of_the_hub_a_call_is_tried_and_never_waits() {
    let (a, mut b) = pair();
    b.write_all(b"x").unwrap();
    let (tell, told) = mpsc::channel();
    let task = spawn(|| ());
    task.on_done(move |_| {
        for _ in 0..2 {
            tell.send((&a).read(&mut [0; 8])).unwrap();
        }
    });
    task.join().unwrap();
    yield_now();
    assert_eq!(told.recv().unwrap().unwrap(), 1);
    assert!(is::<InCallback>(&told.recv().unwrap().unwrap_err()));
}

#[test]
fn a_listener_outlives_the_lack_of_descriptors() {
    util::alone("a_listener_outlives_the_lack_of_descriptors", || {
        let listener = listen();
        let addr = listener.local_addr().unwrap();
        // One accept, so that it is registered.
        let first = spawn(move || listener.accept().map(|_| listener));
        yield_now();
        let mut clients = vec![TcpStream::connect(addr).unwrap()];
        let listener = first.join().unwrap().unwrap();
        clients.push(TcpStream::connect(addr).unwrap());
        let mut taken = Vec::new();
        let none_left = loop {
            match File::open("/dev/null") {
                Ok(file) => taken.push(file),
                Err(e) => break e.raw_os_error(),
            }
        };
        for _ in 0..3 {
            let error = listener.accept().unwrap_err();
            assert_eq!(error.raw_os_error(), none_left, "{error}");
        }
        taken.pop();
        let (stream, peer) = listener.accept().unwrap();
        assert_eq!(peer, clients[1].local_addr().unwrap());
        // Nor does a connect or a bind without one do harm.
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.raw_os_error(), none_left);
        drop(stream);
        TcpStream::connect(addr).unwrap();
    });
}

#[test]
fn a_drop_takes_the_socket_out_of_the_poll() {
    util::alone("a_drop_takes_the_socket_out_of_the_poll", || {
        spawn(|| ()).join().unwrap();
        let (fds, before) = (util::open_fds(), registrations());
        let sockets: Vec<_> = (0..50).map(|_| pair()).collect();
        for (a, b) in &sockets {
            for end in [a, b] {
                end.read_exact_timeout(&mut [0], Duration::from_nanos(1))
                    .unwrap_err();
            }
        }
        // With a duplicate, closing alone would not take it out.
        let clones: Vec<_> = sockets
            .iter()
            .map(|(a, _)| a.try_clone().unwrap())
            .collect();
        assert_eq!(registrations(), before + 100);
        drop(sockets);
        assert_eq!(registrations(), before);
        drop(clones);

        // Nor does one that another thread drops stay.
        let (a, _b) = pair();
        a.read_exact_timeout(&mut [0], SHORT).unwrap_err();
        assert_eq!(registrations(), before + 1);
        let clone = a.try_clone().unwrap();
        thread::spawn(move || drop(a)).join().unwrap();
        assert_eq!(registrations(), before);
        // A close does so too, at once.
        clone.read_exact_timeout(&mut [0], SHORT).unwrap_err();
        assert_eq!(registrations(), before + 1);
        clone.close();
        assert_eq!(registrations(), before);
        drop((clone, _b));
        yield_now();
        assert_eq!(util::open_fds(), fds);
    });
}

#[test]
fn nine_thousand_connections_are_held() {
    const MANY: usize = 9_000;
    util::alone("nine_thousand_connections_are_held", || {
        // Two descriptors each; where the limit is lower, as many as it allows.
        let limit = fs::read_to_string("/proc/self/limits").unwrap();
        let limit = limit.lines().find(|l| l.starts_with("Max open files"));
        let limit = limit.and_then(|l| l.split_whitespace().nth(3));
        let limit: usize = limit.and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
        let many = MANY.min(limit.saturating_sub(100) / 2);

        let listener = listen();
        let addr = listener.local_addr().unwrap();
        let server = spawn(move || {
            for stream in listener.incoming().take(many) {
                let mut stream = stream.unwrap();
                spawn(move || {
                    let mut buf = [0; 8];
                    while stream.read_exact(&mut buf).is_ok() {
                        stream.write_all(&buf).unwrap();
                    }
                });
            }
        });
        let mut streams: Vec<_> = (0..many)
            .map(|_| TcpStream::connect(addr).unwrap())
            .collect();
        server.join().unwrap();
        for _ in 0..2 {
            for (i, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&i.to_le_bytes()).unwrap();
            }
            for (i, stream) in streams.iter_mut().enumerate() {
                let mut reply = [0; 8];
                stream.read_exact(&mut reply).unwrap();
                assert_eq!(usize::from_le_bytes(reply), i);
            }
        }
    });
}
