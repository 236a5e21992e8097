//! `io::poll`, `wait_readable` and `wait_writable`: waiting for descriptors of any kind.
//!
//! A task that was spawned has run up to its first wait after one `yield_now`. A timeout of `LONG` is there to fail instead
//! of hanging; it is never waited for.
#![forbid(unsafe_code)]

mod util;

use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use greenloom::io::{self, PollFd, TimeoutElapsed, pipe, poll};
use greenloom::net::unix::UnixStream;
use greenloom::{spawn, timeout, yield_now};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

#[test]
fn says_which_of_many_is_ready_and_wakes_for_any() {
    let pipes: Vec<_> = (0..100).map(|_| pipe().unwrap()).collect();
    let mut fds: Vec<_> = pipes.iter().map(|(r, _)| PollFd::readable(r)).collect();
    assert_eq!(poll(&mut fds, Some(Duration::ZERO)).unwrap(), 0);
    assert_eq!(poll(&mut fds, Some(SHORT)).unwrap(), 0);
    for chosen in [63, 0, 99] {
        let mut writer = pipes[chosen].1.try_clone().unwrap();
        let task = spawn(move || writer.write_all(b"x"));
        assert_eq!(poll(&mut fds, Some(LONG)).unwrap(), 1);
        task.join().unwrap().unwrap();
        let ready: Vec<_> = (0..100).filter(|i| fds[*i].is_ready()).collect();
        assert_eq!(ready, [chosen]);
        assert!(fds[chosen].is_readable() && !fds[chosen].is_writable());
        (&pipes[chosen].0).read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn tells_the_other_side_s_end_and_errors() {
    let (reader, writer) = pipe().unwrap();
    let mut fds = [PollFd::readable(&reader)];
    let closer = spawn(move || drop(writer));
    assert_eq!(poll(&mut fds, Some(LONG)).unwrap(), 1);
    closer.join().unwrap();
    assert!(fds[0].is_hung_up() && fds[0].is_readable() && !fds[0].is_error());
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut fds = [PollFd::writable(&writer)];
    assert_eq!(poll(&mut fds, Some(LONG)).unwrap(), 1);
    assert!(fds[0].is_error() && fds[0].is_writable() && !fds[0].is_readable());
    let (a, b) = UnixStream::pair().unwrap();
    let mut fds = [PollFd::readable(&a)];
    let closer = spawn(move || b.shutdown(std::net::Shutdown::Write).map(|()| b));
    assert_eq!(poll(&mut fds, Some(LONG)).unwrap(), 1);
    assert!(fds[0].is_readable() && !fds[0].is_hung_up());
    drop(closer.join().unwrap());
}

#[test]
fn the_same_descriptor_may_be_there_twice_and_for_both() {
    let (mut a, mut b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    while a.write(&[0; 4096]).is_ok() {}
    a.set_nonblocking(false).unwrap();
    let peer = Rc::new(b.try_clone().unwrap());
    {
        let mut fds = [PollFd::readable(&a), PollFd::writable(&a)];
        assert_eq!(poll(&mut fds, Some(SHORT)).unwrap(), 0);
        let task = spawn(move || b.write_all(b"x"));
        assert_eq!(poll(&mut fds, Some(LONG)).unwrap(), 1);
        assert!(fds[0].is_readable() && !fds[1].is_ready());
        task.join().unwrap().unwrap();
    }
    a.read_exact(&mut [0]).unwrap();
    let mut fds = [PollFd::both(&a)];
    let reading = Rc::clone(&peer);
    let sink = spawn(move || {
        let mut buf = vec![0; 1 << 20];
        assert!((&*reading).read(&mut buf).unwrap() > 0);
    });
    assert_eq!(poll(&mut fds, Some(LONG)).unwrap(), 1);
    assert!(fds[0].is_writable() && !fds[0].is_readable());
    sink.join().unwrap();
}

#[test]
fn a_regular_file_is_always_ready_and_nothing_at_all_is_a_sleep() {
    let file = File::open("/proc/self/status").unwrap();
    let (reader, _writer) = pipe().unwrap();
    let mut fds = [PollFd::readable(&reader), PollFd::both(&file)];
    assert_eq!(poll(&mut fds, None).unwrap(), 1);
    assert!(fds[1].is_readable() && fds[1].is_writable());
    assert_eq!(poll(&mut [], Some(SHORT)).unwrap(), 0);
}

#[test]
fn others_may_wait_for_the_same_and_use_it() {
    let (reader, mut writer) = pipe().unwrap();
    let reader = Rc::new(reader);
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let reader = Rc::clone(&reader);
            spawn(move || poll(&mut [PollFd::readable(&*reader)], Some(LONG)))
        })
        .collect();
    let reading = Rc::clone(&reader);
    let reading = spawn(move || (&*reading).read(&mut [0; 4]));
    let waiting = Rc::clone(&reader);
    let waiting = spawn(move || io::wait_readable(waiting.as_fd(), Some(LONG)));
    yield_now();
    writer.write_all(b"12").unwrap();
    // Whoever looks after the reader has read finds nothing, and waits on.
    assert_eq!(reading.join().unwrap().unwrap(), 2);
    writer.write_all(b"34").unwrap();
    for task in tasks {
        assert_eq!(task.join().unwrap().unwrap(), 1);
    }
    waiting.join().unwrap().unwrap();
}

#[test]
fn an_enclosing_timeout_is_told_apart_from_its_own_and_a_kill_leaves_nothing() {
    util::alone(
        "an_enclosing_timeout_is_told_apart_from_its_own_and_a_kill_leaves_nothing",
        || {
            let (reader, _writer) = pipe().unwrap();
            let reader = Rc::new(reader);
            let error = timeout(SHORT, || {
                poll(&mut [PollFd::readable(&*reader)], None).unwrap_err()
            });
            let error = error.unwrap_err().into_value().unwrap();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(error.get_ref().unwrap().is::<TimeoutElapsed>());
            util::assert_no_leak(|| {
                let waiting = Rc::clone(&reader);
                let task = spawn(move || poll(&mut [PollFd::readable(&*waiting)], None));
                yield_now();
                task.kill();
                assert!(task.join().is_err());
            });
        },
    );
}

#[test]
fn a_loop_that_always_finds_something_lets_others_run() {
    let (a, mut b) = UnixStream::pair().unwrap();
    b.write_all(b"x").unwrap();
    let ran = Rc::new(Cell::new(false));
    let other = Rc::clone(&ran);
    spawn(move || other.set(true));
    for _ in 0..10_000 {
        assert_eq!(poll(&mut [PollFd::readable(&a)], None).unwrap(), 1);
        if ran.get() {
            break;
        }
    }
    assert!(ran.get(), "poll gives way");
    let ran = Rc::new(Cell::new(false));
    let other = Rc::clone(&ran);
    spawn(move || other.set(true));
    for _ in 0..10_000 {
        io::wait_readable(a.as_fd(), None).unwrap();
        if ran.get() {
            return;
        }
    }
    panic!("wait_readable never gives way");
}

#[test]
fn works_on_a_thread_without_a_hub() {
    thread::spawn(|| {
        let (reader, mut writer) = pipe().unwrap();
        let (other, _writer) = pipe().unwrap();
        let mut fds = [PollFd::readable(&other), PollFd::readable(&reader)];
        assert_eq!(poll(&mut fds, Some(SHORT)).unwrap(), 0);
        let thread = thread::spawn(move || writer.write_all(b"x"));
        assert_eq!(poll(&mut fds, Some(LONG)).unwrap(), 1);
        assert!(fds[1].is_readable());
        thread.join().unwrap().unwrap();
        // None of that made a hub.
        greenloom::hub::Hub::builder().start().unwrap();
    })
    .join()
    .unwrap();
}
