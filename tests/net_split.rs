//! The owned halves of streams: `into_split`, `reunite`, and what their drops say to the peer.
//!
//! A task that was spawned has run up to its first wait after one `yield_now`. A timeout of `LONG` is there to fail instead
//! of hanging; it is never waited for.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::time::Duration;

use greenloom::net::unix::UnixStream;
use greenloom::net::{OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream};
use greenloom::{spawn, yield_now};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (a, listener.accept().unwrap().0)
}

#[test]
fn is_send_and_sync() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<OwnedReadHalf<TcpStream>>();
    check::<OwnedWriteHalf<UnixStream>>();
}

#[test]
fn both_halves_work_at_once_on_both_ends() {
    const SIZE: usize = 1 << 20;
    let (a, b) = pair();
    let tasks: Vec<_> = [a, b]
        .into_iter()
        .flat_map(|end| {
            let (mut read, mut write) = end.into_split();
            let writer = spawn(move || write.write_all(&[7; SIZE]).unwrap());
            let reader = spawn(move || {
                let mut all = Vec::new();
                read.read_to_end(&mut all).unwrap();
                assert_eq!(all.len(), SIZE);
            });
            [writer, reader]
        })
        .collect();
    for task in tasks {
        task.join().unwrap();
    }
}

#[test]
fn the_drop_of_the_writing_half_is_the_end_for_the_peer_only() {
    let (a, mut b) = pair();
    let (mut read, mut write) = a.into_split();
    write.write_all(b"last").unwrap();
    drop(write);
    let mut all = Vec::new();
    b.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"last");
    b.write_all(b"reply").unwrap();
    let mut reply = [0; 5];
    read.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"reply");
    let broken = { read.as_ref() }.write(b"x").unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_killed_writer_says_that_it_is_done() {
    let (a, mut b) = UnixStream::pair().unwrap();
    let (_read, mut write) = a.into_split();
    let writer = spawn(move || {
        loop {
            write.write_all(&[0; 1 << 16]).unwrap();
        }
    });
    yield_now();
    writer.kill();
    assert!(writer.join().is_err());
    std::io::copy(&mut b, &mut std::io::sink()).unwrap();
}

#[test]
fn the_drop_of_the_reading_half_does_nothing_to_the_writer() {
    let (a, mut b) = pair();
    let (read, mut write) = a.into_split();
    drop(read);
    write.write_all(b"on").unwrap();
    drop(write);
    let mut text = String::new();
    b.read_to_string(&mut text).unwrap();
    assert_eq!(text, "on");
}

#[test]
fn a_forgotten_writing_half_leaves_its_direction_open() {
    let (a, b) = pair();
    let (read, write) = a.into_split();
    write.forget();
    let late = b.read_exact_timeout(&mut [0], SHORT).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    { read.as_ref() }.write_all(b"x").unwrap();
    b.read_exact_timeout(&mut [0], LONG).unwrap();
    drop(read);
    let end = b.read_exact_timeout(&mut [0], LONG).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn halves_of_one_stream_are_one_again_and_of_two_are_not() {
    let (a, b) = pair();
    a.set_read_timeout(Some(LONG)).unwrap();
    let ((a_read, a_write), (b_read, b_write)) = (a.into_split(), b.into_split());
    let error = a_read.reunite(b_write).unwrap_err();
    assert_eq!(error.to_string(), "the two halves are of two streams");
    let (a_read, b_write) = error.into_inner();
    let mut a = a_read.reunite(a_write).unwrap();
    assert_eq!(a.read_timeout().unwrap(), Some(LONG));
    let mut b = b_read.reunite(b_write).unwrap();
    // Nothing was shut down on the way.
    a.write_all(b"to").unwrap();
    b.read_exact(&mut [0; 2]).unwrap();
    b.write_all(b"fro").unwrap();
    a.read_exact(&mut [0; 3]).unwrap();
    // What is not reunited is dropped as a half is.
    let ((a_read, _a), (_b, b_write)) = (a.into_split(), b.into_split());
    drop(a_read.reunite(b_write));
}

#[test]
fn vectored_calls_reach_the_stream() {
    let (a, b) = UnixStream::pair().unwrap();
    let ((mut read, _w), (_r, mut write)) = (a.into_split(), b.into_split());
    let n = write
        .write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"c")])
        .unwrap();
    write.flush().unwrap();
    let (mut x, mut y) = ([0; 2], [0; 2]);
    let m = read
        .read_vectored(&mut [IoSliceMut::new(&mut x), IoSliceMut::new(&mut y)])
        .unwrap();
    assert_eq!((n, m, &x, y[0]), (3, 3, b"ab", b'c'));
}
