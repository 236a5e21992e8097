//! `StreamServer` as a user sees it: connections, the pool, panics, stops in every state, several hubs.
//!
//! Everything is on loopback. A timeout of `LONG` is there to fail instead of hanging; it is never waited for.
#![forbid(unsafe_code)]

mod util;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::net::{TcpListener, TcpStream};
use greenloom::select::{Waitable, wait};
use greenloom::server::{Builder, Listener, ServerHandle, Stopped, StreamServer};
use greenloom::task::Outcome;
use greenloom::{sleep, spawn, timeout, yield_now};

const LONG: Duration = Duration::from_secs(60);
const ANY: &str = "127.0.0.1:0";

fn echo(mut stream: TcpStream, _: SocketAddr) {
    let mut buffer = [0; 256];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}

fn at_any() -> Builder<&'static str> {
    StreamServer::builder(ANY)
}

fn ask(mut stream: &TcpStream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes())?;
    let mut reply = vec![0; text.len()];
    stream.read_exact_timeout(&mut reply, LONG)?;
    Ok(String::from_utf8(reply).unwrap())
}

/// What the server says until it closes.
fn rest(mut stream: &TcpStream) -> String {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn connect<L: Listener<Addr = SocketAddr>>(server: &ServerHandle<L>) -> TcpStream {
    TcpStream::connect(server.local_addr()).unwrap()
}

/// Gives way until it is so.
#[track_caller]
fn until(mut so: impl FnMut() -> bool) {
    timeout(LONG, || {
        while !so() {
            sleep(Duration::from_micros(100));
        }
    })
    .expect("it did not come about");
}

fn counts(stopped: Stopped) -> (usize, usize, usize) {
    (stopped.finished, stopped.killed, stopped.left)
}

fn is_refused(server: &ServerHandle) -> bool {
    TcpStream::connect(server.local_addr()).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn handles_are_send_and_sync_and_cloned() {
    fn check<T: Send + Sync + Clone>() {}
    check::<ServerHandle>();
}

#[test]
fn serves_many_connections_at_once_each_with_its_own_task() {
    let server = at_any().nodelay().serve(echo).unwrap();
    let streams: Vec<_> = (0..50).map(|_| connect(&server)).collect();
    for (i, stream) in streams.iter().enumerate().rev() {
        assert_eq!(
            ask(stream, &format!("I am {i}")).unwrap(),
            format!("I am {i}")
        );
    }
    assert_eq!((server.active(), server.accepted()), (50, 50));
    assert!(server.is_running());
    drop(streams);
    until(|| server.active() == 0);
    assert_eq!(counts(server.stop(LONG)), (0, 0, 0));
}

#[test]
fn a_handler_learns_its_peer_and_may_hold_what_is_not_send() {
    let peers = Rc::new(RefCell::new(Vec::new()));
    let list = Rc::clone(&peers);
    let server = at_any()
        .serve(move |_stream, peer| list.borrow_mut().push(peer))
        .unwrap();
    let client = connect(&server);
    assert_eq!(rest(&client), "");
    assert_eq!(*peers.borrow(), [client.local_addr().unwrap()]);
    server.stop(LONG);
}

#[test]
fn a_listener_of_ones_own_will_do() {
    let listener = TcpListener::bind(ANY).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = StreamServer::builder(listener)
        .backlog(16)
        .nodelay()
        .serve(|stream, _| {
            assert!(stream.nodelay().unwrap());
            echo(stream, ([0, 0, 0, 0], 0).into());
        })
        .unwrap();
    assert_eq!(server.local_addr(), addr);
    assert_eq!(ask(&connect(&server), "hello").unwrap(), "hello");
    server.stop(Duration::ZERO);
}

#[test]
fn an_address_that_is_taken_is_an_error_of_the_start() {
    let first = TcpListener::bind(ANY).unwrap();
    let error = StreamServer::builder(first.local_addr().unwrap())
        .serve(echo)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_full_server_accepts_nothing_and_goes_on_when_a_slot_is_free() {
    let server = at_any().pool(2).serve(echo).unwrap();
    let clients: Vec<_> = (0..4).map(|_| connect(&server)).collect();
    assert_eq!(ask(&clients[0], "a").unwrap(), "a");
    assert_eq!(ask(&clients[1], "b").unwrap(), "b");
    // Connected, by the system; but nobody answers them.
    (&clients[2]).write_all(b"c").unwrap();
    (&clients[3]).write_all(b"d").unwrap();
    for _ in 0..100 {
        yield_now();
        sleep(Duration::ZERO);
    }
    assert_eq!((server.active(), server.accepted()), (2, 2));

    clients[0].shutdown(Shutdown::Write).unwrap();
    let mut reply = [0];
    clients[2].read_exact_timeout(&mut reply, LONG).unwrap();
    assert_eq!(reply, *b"c");
    assert_eq!((server.active(), server.accepted()), (2, 3));
    clients[1].close();
    clients[3].read_exact_timeout(&mut reply, LONG).unwrap();
    assert_eq!(reply, *b"d");
    assert_eq!(counts(server.stop(Duration::ZERO)), (0, 2, 0));
}

#[test]
fn a_slot_is_freed_by_a_panic_too() {
    util::alone("a_slot_is_freed_by_a_panic_too", || {
        let server = at_any()
            .pool(1)
            .serve(|mut stream, _| {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                assert_ne!(byte, *b"p", "as it was told");
                stream.write_all(&byte).unwrap();
            })
            .unwrap();
        for _ in 0..3 {
            let client = connect(&server);
            (&client).write_all(b"p").unwrap();
            assert_eq!(rest(&client), "");
        }
        assert_eq!(ask(&connect(&server), "x").unwrap(), "x");
        server.stop(LONG);
    });
}

#[test]
fn a_panic_ends_its_own_connection_and_is_reported_once_by_its_name() {
    const NAME: &str = "a_panic_ends_its_own_connection_and_is_reported_once_by_its_name";
    if util::is_child(NAME) {
        std::panic::set_hook(Box::new(|_| ()));
        let server = at_any()
            .name("talk")
            .serve(|stream, peer| {
                if matches!(stream.peek(&mut [0]), Ok(1)) {
                    let mut byte = [0];
                    (&stream).read_exact(&mut byte).unwrap();
                    assert_ne!(byte, *b"p", "as it was told");
                }
                echo(stream, peer);
            })
            .unwrap();
        let (good, bad) = (connect(&server), connect(&server));
        (&good).write_all(b"x").unwrap();
        (&bad).write_all(b"p").unwrap();
        assert_eq!(rest(&bad), "");
        eprintln!("the peer was {}", bad.local_addr().unwrap());
        assert_eq!(ask(&good, "still here").unwrap(), "still here");
        assert_eq!(server.active(), 1);
        server.stop(Duration::ZERO);
        return;
    }
    let output = util::run(&mut util::child(NAME));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", util::describe(&output));
    let peer = told.lines().find_map(|l| l.strip_prefix("the peer was "));
    let report = format!("task 'talk peer {}'", peer.expect("the child's line"));
    assert_eq!(told.matches(&report).count(), 1, "{told}");
    assert_eq!(told.matches("ended by a panic").count(), 1, "{told}");
    assert!(told.contains("as it was told"), "{told}");
}

// ---- stops ----

#[test]
fn stopped_before_it_ran_it_refuses_and_ends() {
    let server = at_any().serve(echo).unwrap();
    assert_eq!(counts(server.stop(LONG)), (0, 0, 0));
    assert!(is_refused(&server));
    assert!(!server.is_running());
    server.wait().unwrap();
}

#[test]
fn stopped_while_idle_it_refuses_at_once_and_again_does_nothing() {
    let server = at_any().serve(echo).unwrap();
    drop(connect(&server));
    until(|| server.accepted() == 1 && server.active() == 0);
    for _ in 0..3 {
        assert_eq!(counts(server.stop(LONG)), (0, 0, 0));
        assert!(is_refused(&server));
    }
}

#[test]
fn its_address_can_be_had_again_once_it_was_stopped() {
    let server = at_any().serve(echo).unwrap();
    server.stop(LONG);
    let again = StreamServer::builder(server.local_addr())
        .serve(echo)
        .unwrap();
    assert_eq!(ask(&connect(&again), "here").unwrap(), "here");
    again.stop(Duration::ZERO);
}

#[test]
fn close_refuses_at_once_and_leaves_the_connections_alone() {
    let server = at_any().serve(echo).unwrap();
    let client = connect(&server);
    assert_eq!(ask(&client, "a").unwrap(), "a");
    server.close();
    assert!(is_refused(&server));
    assert!(!server.is_running());
    assert_eq!(ask(&client, "b").unwrap(), "b");
    drop(client);
    server.wait().unwrap();
    assert_eq!(server.active(), 0);
}

#[test]
fn a_connection_that_was_not_accepted_is_reset_by_a_stop() {
    let server = at_any().pool(1).serve(echo).unwrap();
    let (served, waiting) = (connect(&server), connect(&server));
    assert_eq!(ask(&served, "a").unwrap(), "a");
    server.close();
    let error = ask(&waiting, "b").unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
        ),
        "{error}"
    );
    server.stop(Duration::ZERO);
}

#[test]
fn handlers_that_finish_in_time_are_left_to() {
    let finish = Rc::new(Event::new());
    let gate = Rc::clone(&finish);
    let server = at_any()
        .serve(move |mut stream, _| {
            gate.wait();
            stream.write_all(b"done").unwrap();
        })
        .unwrap();
    let clients = [connect(&server), connect(&server)];
    until(|| server.active() == 2);
    let stopping = server.clone();
    let stop = spawn(move || stopping.stop(LONG));
    until(|| !server.is_running());
    assert!(is_refused(&server));
    finish.set();
    assert_eq!(counts(stop.join().unwrap()), (2, 0, 0));
    for client in clients {
        assert_eq!(rest(&client), "done");
    }
}

#[test]
fn stuck_handlers_are_killed_with_their_destructors_run() {
    let drops = util::Drops::new();
    let kept = drops.clone();
    let server = at_any()
        .serve(move |mut stream, _| {
            let _guard = kept.local_guard();
            // Swallows its errors, and waits again: an error is not what ends it.
            loop {
                let _ = stream.read(&mut [0]);
                sleep(LONG);
            }
        })
        .unwrap();
    let clients: Vec<_> = (0..5).map(|_| connect(&server)).collect();
    until(|| drops.alive() == 5);
    assert_eq!(counts(server.stop(Duration::from_millis(5))), (0, 5, 0));
    assert_eq!((drops.alive(), drops.dropped()), (0, 5));
    assert_eq!(server.active(), 0);
    for client in clients {
        assert_eq!(rest(&client), "");
    }
}

#[test]
fn stopped_from_another_thread() {
    let drops = util::Drops::new();
    let kept = drops.clone();
    let server = at_any()
        .serve(move |stream, peer| {
            let _guard = kept.local_guard();
            echo(stream, peer);
        })
        .unwrap();
    let clients = [connect(&server), connect(&server)];
    until(|| drops.alive() == 2);
    let stopping = server.clone();
    let stop = thread::spawn(move || stopping.stop(Duration::from_millis(5)));
    server.wait().unwrap();
    assert_eq!(counts(stop.join().unwrap()), (0, 2, 0));
    assert_eq!(drops.alive(), 0);
    drop(clients);
}

#[test]
fn two_stops_at_once_both_return() {
    let server = at_any().serve(echo).unwrap();
    let _client = connect(&server);
    until(|| server.active() == 1);
    let stops = [Duration::from_millis(20), LONG].map(|limit| {
        let server = server.clone();
        spawn(move || server.stop(limit))
    });
    let [first, second] = stops.map(|stop| counts(stop.join().unwrap()));
    assert_eq!(first, (0, 1, 0));
    // For this one it has ended in time.
    assert_eq!(second, (1, 0, 0));
}

#[test]
fn a_handler_stops_its_own_server() {
    let own: Rc<RefCell<Option<ServerHandle>>> = Rc::default();
    let handle = Rc::clone(&own);
    let server = at_any()
        .serve(move |mut stream, peer| {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap() == 1 && byte == *b"s" {
                let server = handle.borrow().clone().unwrap();
                let stopped = server.stop(Duration::from_millis(5));
                write!(stream, "{:?}", counts(stopped)).unwrap();
            } else {
                echo(stream, peer);
            }
        })
        .unwrap();
    own.replace(Some(server.clone()));
    let (_other, stopper) = (connect(&server), connect(&server));
    until(|| server.active() == 2);
    (&stopper).write_all(b"s").unwrap();
    assert_eq!(rest(&stopper), "(0, 1, 0)");
    server.wait().unwrap();
    assert!(is_refused(&server));
}

#[test]
fn run_serves_until_it_is_stopped() {
    let (listener, stopper) = (TcpListener::bind(ANY).unwrap(), Rc::new(Event::new()));
    let addr = listener.local_addr().unwrap();
    let stop = Rc::clone(&stopper);
    let client = spawn(move || {
        let client = TcpStream::connect(addr).unwrap();
        let reply = ask(&client, "x").unwrap();
        stop.set();
        reply
    });
    let served = Rc::new(Cell::new(0));
    let count = Rc::clone(&served);
    let running = spawn(move || {
        StreamServer::builder(listener).run(move |stream, peer| {
            count.set(count.get() + 1);
            echo(stream, peer);
        })
    });
    stopper.wait();
    assert_eq!(client.join().unwrap(), "x");
    // Without a handle, a kill is what ends it: from then on it refuses.
    running.kill();
    assert!(running.join().unwrap_err().is_killed());
    let error = TcpStream::connect(addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(served.get(), 1);
}

#[test]
fn a_handle_is_one_of_the_things_to_wait_for() {
    let server = at_any().serve(echo).unwrap();
    let never = Event::new();
    let none = wait(
        [&server as &dyn Waitable, &never],
        Some(Duration::from_millis(1)),
        None,
    );
    assert!(none.is_empty());
    server.close();
    assert_eq!(
        wait([&server as &dyn Waitable, &never], Some(LONG), Some(1)).len(),
        1
    );
}

// ---- the end of a connection ----

#[test]
fn the_farewell_reaches_the_peer_however_the_handler_ended() {
    util::alone(
        "the_farewell_reaches_the_peer_however_the_handler_ended",
        || {
            let server = at_any()
                .farewell(LONG, |mut stream: &TcpStream, outcome| {
                    // More than one write, and a wait: neither unwinding nor killed.
                    sleep(Duration::from_millis(1));
                    let word: &[u8] = match outcome {
                        Outcome::Returned => b"bye",
                        Outcome::Panicked => b"sorry",
                        _ => b"going down",
                    };
                    stream.write_all(word).unwrap();
                })
                .serve(|mut stream, _| {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    assert_ne!(byte, *b"p", "as it was told");
                    if byte == *b"w" {
                        stream.write_all(b"w").unwrap();
                        sleep(LONG);
                    }
                })
                .unwrap();
            let clients = ["r", "p", "w"].map(|word| {
                let client = connect(&server);
                (&client).write_all(word.as_bytes()).unwrap();
                client
            });
            let mut begun = [0];
            clients[2].read_exact_timeout(&mut begun, LONG).unwrap();
            until(|| server.accepted() == 3 && server.active() == 1);
            assert_eq!(counts(server.stop(Duration::ZERO)), (0, 1, 0));
            let words = clients.map(|client| rest(&client));
            assert_eq!(words, ["bye", "sorry", "going down"]);
        },
    );
}

// ---- several hubs ----

#[test]
fn several_hubs_share_a_port_and_all_of_them_get_connections() {
    let threads: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&threads);
    let server = at_any()
        .name("pair")
        .hubs(NonZeroUsize::new(2).unwrap())
        .serve(move |stream, peer| {
            let name = thread::current().name().unwrap().to_owned();
            seen.lock().unwrap().insert(name);
            echo(stream, peer);
        })
        .unwrap();
    // The system deals them out by a hash: that 200 all go one way is out of the question.
    let clients: Vec<_> = (0..200).map(|_| connect(&server)).collect();
    for client in &clients {
        assert_eq!(ask(client, "x").unwrap(), "x");
    }
    assert_eq!(server.active(), 200);
    assert_eq!(
        threads.lock().unwrap().iter().collect::<Vec<_>>(),
        ["pair 0", "pair 1"]
    );
    assert_eq!(counts(server.stop(Duration::from_millis(5))), (0, 200, 0));
    assert!(is_refused(&server));
    server.wait().unwrap();
}

#[test]
fn several_hubs_share_a_listener_that_was_there() {
    let listener = TcpListener::bind(ANY).unwrap();
    let server = StreamServer::builder(listener)
        .hubs(NonZeroUsize::new(2).unwrap())
        .serve(echo)
        .unwrap();
    for _ in 0..20 {
        assert_eq!(ask(&connect(&server), "x").unwrap(), "x");
    }
    until(|| server.active() == 0);
    assert_eq!(counts(server.stop(LONG)), (0, 0, 0));
    assert!(is_refused(&server));
}

#[test]
fn a_handler_on_a_thread_of_the_server_stops_it() {
    let own: Arc<Mutex<Option<ServerHandle>>> = Arc::default();
    let handle = Arc::clone(&own);
    let server = at_any()
        .hubs(NonZeroUsize::new(2).unwrap())
        .serve(move |mut stream, peer| {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap() == 1 && byte == *b"s" {
                let server = handle.lock().unwrap().clone().unwrap();
                let stopped = server.stop(Duration::from_millis(5));
                write!(stream, "{:?}", counts(stopped)).unwrap();
            } else {
                echo(stream, peer);
            }
        })
        .unwrap();
    own.lock().unwrap().replace(server.clone());
    let others: Vec<_> = (0..8).map(|_| connect(&server)).collect();
    until(|| server.active() == 8);
    let stopper = connect(&server);
    (&stopper).write_all(b"s").unwrap();
    assert_eq!(rest(&stopper), "(0, 8, 0)");
    server.wait().unwrap();
    drop(others);
}

#[test]
fn what_handlers_of_a_thread_spawned_ends_with_it() {
    let drops = util::Drops::new();
    let kept = drops.clone();
    let server = at_any()
        .hubs(NonZeroUsize::MIN)
        .serve(move |_stream, _| {
            let guard = kept.local_guard();
            spawn(move || {
                let _guard = guard;
                sleep(LONG);
            });
        })
        .unwrap();
    let client = connect(&server);
    assert_eq!(rest(&client), "");
    assert_eq!(drops.alive(), 1);
    server.stop(LONG);
    assert_eq!(drops.alive(), 0);
}

// ---- slow peers ----

#[test]
fn a_peer_that_dribbles_is_ended_by_the_handlers_own_timeout() {
    let server = at_any()
        .serve(|mut stream, peer| {
            let mut kind = [0];
            stream.read_exact(&mut kind).unwrap();
            if kind == *b"e" {
                return echo(stream, peer);
            }
            let mut line = String::new();
            let read = timeout(Duration::from_millis(50), || {
                BufReader::new(&stream).read_line(&mut line)
            });
            assert!(read.is_err());
            stream.write_all(b"too slow").unwrap();
        })
        .unwrap();
    let (slow, other) = (connect(&server), connect(&server));
    (&other).write_all(b"e").unwrap();
    // A byte at a time, for as long as anybody listens; each comes well before any timeout of a single read.
    let dribble = spawn(move || {
        while (&slow).write_all(b"x").is_ok() && server_has_not_spoken(&slow) {
            sleep(Duration::from_millis(2));
        }
        let mut word = [0; 8];
        slow.read_exact_timeout(&mut word, LONG).map(|()| word)
    });
    assert_eq!(&dribble.join().unwrap().unwrap(), b"too slow");
    assert_eq!(ask(&other, "meanwhile").unwrap(), "meanwhile");
    server.stop(Duration::ZERO);
}

fn server_has_not_spoken(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    peeked.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
}
