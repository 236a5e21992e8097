//! Servers of Unix sockets and of datagrams: what of `tests/server.rs` is not the same for them.
#![forbid(unsafe_code)]

mod util;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::linux::net::SocketAddrExt;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::net::UdpSocket;
use greenloom::net::unix::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use greenloom::server::{DatagramServer, Datagrams, Reply, ServerHandle, StreamServer};
use greenloom::task::Outcome;
use greenloom::{sleep, spawn, timeout};

const LONG: Duration = Duration::from_secs(60);
const ANY: &str = "127.0.0.1:0";
const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// A name of no file, which no other test has.
fn listen(name: &str) -> UnixListener {
    let name = format!("greenloom-{}-{name}", std::process::id());
    UnixListener::bind_addr(&UnixAddr::from_abstract_name(name).unwrap()).unwrap()
}

fn echo(mut stream: UnixStream, _: UnixAddr) {
    let mut buffer = [0; 256];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        stream.write_all(&buffer[..n]).unwrap();
    }
}

fn ask_unix(server: &ServerHandle<UnixListener>, text: &str) -> String {
    let mut stream = UnixStream::connect_addr(&server.local_addr()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[track_caller]
fn until(mut so: impl FnMut() -> bool) {
    timeout(LONG, || {
        while !so() {
            sleep(Duration::from_micros(100));
        }
    })
    .expect("it did not come about");
}

#[test]
fn unix_sockets_are_served_and_refused_after_a_stop() {
    let server = StreamServer::builder(listen("served")).serve(echo).unwrap();
    assert_eq!(ask_unix(&server, "hello"), "hello");
    server.stop(LONG);
    let refused = UnixStream::connect_addr(&server.local_addr()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn several_hubs_serve_one_unix_socket() {
    let server = StreamServer::builder(listen("hubs"))
        .hubs(TWO)
        .serve(echo)
        .unwrap();
    for i in 0..20 {
        assert_eq!(ask_unix(&server, &i.to_string()), i.to_string());
    }
    let stopped = server.stop(LONG);
    assert_eq!((stopped.killed, stopped.left), (0, 0));
}

#[test]
fn a_unix_stream_has_a_farewell_too() {
    let server = StreamServer::builder(listen("farewell"))
        .farewell(LONG, |mut stream: &UnixStream, outcome| {
            assert_eq!(outcome, Outcome::Returned);
            stream.write_all(b" and bye").unwrap();
        })
        .serve(echo)
        .unwrap();
    assert_eq!(ask_unix(&server, "hello"), "hello and bye");
    server.stop(LONG);
}

// ---- datagrams ----

fn upper(reply: &Reply, bytes: &[u8], _: SocketAddr) {
    reply.send(&bytes.to_ascii_uppercase()).unwrap();
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind(ANY).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

fn ask(server: &ServerHandle<Datagrams>, socket: &UdpSocket, text: &str) -> String {
    socket
        .send_to(text.as_bytes(), server.local_addr())
        .unwrap();
    told(server, socket)
}

fn told(server: &ServerHandle<Datagrams>, socket: &UdpSocket) -> String {
    let mut buffer = [0; 64 << 10];
    let (n, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(from, server.local_addr());
    String::from_utf8(buffer[..n].to_vec()).unwrap()
}

#[test]
fn every_datagram_is_answered_from_the_servers_address() {
    let server = DatagramServer::builder(ANY).serve(upper).unwrap();
    let sockets: Vec<_> = (0..20).map(|_| client()).collect();
    for (i, socket) in sockets.iter().enumerate() {
        assert_eq!(
            ask(&server, socket, &format!("i am {i}")),
            format!("I AM {i}")
        );
    }
    assert_eq!(ask(&server, &sockets[0], ""), "");
    let long = "x".repeat(60_000);
    assert_eq!(ask(&server, &sockets[0], &long), long.to_uppercase());
    server.stop(LONG);
}

#[test]
fn a_datagrams_peer_is_told_and_others_can_be_written_to() {
    let other = client();
    let to = other.local_addr().unwrap();
    let server = DatagramServer::builder(UdpSocket::bind(ANY).unwrap())
        .serve(move |reply, _, peer| {
            reply.send_to(peer.to_string().as_bytes(), to).unwrap();
        })
        .unwrap();
    let socket = client();
    socket.send_to(b"x", server.local_addr()).unwrap();
    let peer = socket.local_addr().unwrap().to_string();
    assert_eq!(told(&server, &other), peer);
    server.stop(LONG);
}

#[test]
fn a_panic_ends_one_datagrams_handler() {
    util::alone("a_panic_ends_one_datagrams_handler", || {
        let server = DatagramServer::builder(ANY)
            .pool(1)
            .serve(|reply, bytes, peer| {
                assert_ne!(bytes, b"p", "as it was told");
                upper(reply, bytes, peer);
            })
            .unwrap();
        let socket = client();
        socket.send_to(b"p", server.local_addr()).unwrap();
        assert_eq!(ask(&server, &socket, "still here"), "STILL HERE");
        server.stop(LONG);
    });
}

#[test]
fn a_full_datagram_server_receives_nothing_until_it_has_room() {
    let gate = Rc::new(Event::new());
    let shut = Rc::clone(&gate);
    let server = DatagramServer::builder(ANY)
        .pool(2)
        .serve(move |reply, bytes, peer| {
            shut.wait();
            upper(reply, bytes, peer);
        })
        .unwrap();
    let socket = client();
    for text in ["a", "b", "c"] {
        socket
            .send_to(text.as_bytes(), server.local_addr())
            .unwrap();
    }
    until(|| server.active() == 2);
    for _ in 0..20 {
        sleep(Duration::ZERO);
    }
    assert_eq!((server.active(), server.accepted()), (2, 2));
    gate.set();
    let replies: BTreeSet<_> = (0..3).map(|_| told(&server, &socket)).collect();
    assert_eq!(replies.into_iter().collect::<String>(), "ABC");
    server.stop(LONG);
}

#[test]
fn handlers_that_are_left_at_a_stop_still_reply() {
    let gate = Rc::new(Event::new());
    let shut = Rc::clone(&gate);
    let server = DatagramServer::builder(ANY)
        .serve(move |reply, bytes, peer| {
            if bytes == b"stuck" {
                sleep(LONG);
            }
            shut.wait();
            upper(reply, bytes, peer);
        })
        .unwrap();
    let socket = client();
    socket.send_to(b"last", server.local_addr()).unwrap();
    until(|| server.active() == 1);
    let stopping = server.clone();
    let stop = spawn(move || stopping.stop(LONG));
    until(|| !server.is_running());
    gate.set();
    assert_eq!(told(&server, &socket), "LAST");
    let stopped = stop.join().unwrap();
    assert_eq!((stopped.finished, stopped.killed), (1, 0));
}

#[test]
fn a_datagrams_handler_that_is_stuck_is_killed() {
    let drops = util::Drops::new();
    let kept = drops.clone();
    let server = DatagramServer::builder(ANY)
        .serve(move |_, _, _| {
            let _guard = kept.local_guard();
            sleep(LONG);
        })
        .unwrap();
    client().send_to(b"x", server.local_addr()).unwrap();
    until(|| drops.alive() == 1);
    let stopped = server.stop(Duration::ZERO);
    assert_eq!((stopped.killed, drops.alive()), (1, 0));
}

#[test]
fn several_hubs_share_a_port_for_datagrams() {
    let threads: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&threads);
    let server = DatagramServer::builder(ANY)
        .name("udp")
        .hubs(TWO)
        .serve(move |reply, bytes, peer| {
            let name = thread::current().name().unwrap().to_owned();
            seen.lock().unwrap().insert(name);
            upper(reply, bytes, peer);
        })
        .unwrap();
    // Dealt out by a hash of the addresses.
    for _ in 0..200 {
        assert_eq!(ask(&server, &client(), "x"), "X");
    }
    assert_eq!(threads.lock().unwrap().len(), 2);
    server.stop(LONG);
    server.wait().unwrap();
}
