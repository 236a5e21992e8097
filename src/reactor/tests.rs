//! The reactor against real descriptors.
//!
//! No test waits for time to pass: what must happen is waited for, without limit, and what must not happen is
//! asked for after something that was caused later has been seen.
#![allow(unsafe_code)] // `dup2` and signals, which std does not have

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use socket2::{Domain, Socket, Type};

use super::Direction::{Read as R, Write as W};
use super::Emptied::{Short, WouldBlock};
use super::*;

type TestReactor = Reactor<u32>;

fn new() -> TestReactor {
    Reactor::new().expect("an epoll instance")
}

fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().expect("a socket pair");
    a.set_nonblocking(true).expect("set");
    b.set_nonblocking(true).expect("set");
    (a, b)
}

/// A connected TCP pair; a FIN behind data is only to be had there.
fn tcp_pair() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let address = listener.local_addr().expect("an address");
    let a = std::net::TcpStream::connect(address).expect("connected");
    let (b, _) = listener.accept().expect("accepted");
    a.set_nonblocking(true).expect("set");
    (a, b)
}

fn poll(reactor: &mut TestReactor, wait: Wait) -> (Polled, Vec<u32>) {
    let mut woken = Vec::new();
    let polled = reactor
        .poll(wait, Instant::now(), |waiter| woken.push(waiter))
        .expect("polled");
    (polled, woken)
}

fn take(reactor: &mut TestReactor) -> Vec<u32> {
    poll(reactor, Wait::Now).1
}

/// Polls until somebody is woken.
fn wait(reactor: &mut TestReactor) -> Vec<u32> {
    loop {
        let (_, woken) = poll(reactor, Wait::FOREVER);
        if !woken.is_empty() {
            return woken;
        }
    }
}

/// What the io layer does after a call that would block.
fn park(reactor: &mut TestReactor, token: Token, direction: Direction, waiter: u32) {
    reactor.clear_ready(token, direction, WouldBlock);
    assert_eq!(reactor.set_waiter(token, direction, waiter), Ok(()));
}

fn would_block<T>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn fill(stream: &mut UnixStream) {
    while stream.write(&[0; 4096]).is_ok() {}
}

fn empty(stream: &mut UnixStream) {
    while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
}

/// Makes `old` a duplicate of `new`: the number stays, the open file behind it changes.
fn dup_onto(new: &impl AsRawFd, old: &impl AsRawFd) {
    // SAFETY: both are open descriptors of this test's, and what the number stands for afterwards is of the
    // same kind.
    let result = unsafe { libc::dup2(new.as_raw_fd(), old.as_raw_fd()) };
    assert_eq!(result, old.as_raw_fd());
}

#[test]
fn tokens_survive_the_kernel_and_are_small() {
    assert_eq!(size_of::<Option<Token>>(), 8);
    for slot in [0, 1, 0x7fff_ffff] {
        for generation in [NonZeroU32::MIN, NonZeroU32::MAX] {
            let token = Token { slot, generation };
            assert_eq!(Token::from_mio(token.to_mio()), Some(token));
            assert!(![WAKER, TIMER].contains(&token.to_mio()));
        }
    }
}

#[test]
fn a_new_registration_is_worth_trying_both_ways() {
    let (a, _b) = pair();
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    assert!(reactor.is_ready(token, R) && reactor.is_ready(token, W));
    assert_eq!(reactor.set_waiter(token, R, 1), Err(Refused::Ready));
    assert_eq!(reactor.fd(token), Some(a.as_raw_fd()));
    assert_eq!((reactor.len(), reactor.waiting()), (1, 0));
}

#[test]
fn a_reader_is_woken_by_data_and_once() {
    let (a, mut b) = pair();
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    assert!(would_block((&a).read(&mut [0; 8])));
    park(&mut reactor, token, R, 7);
    assert_eq!(
        take(&mut reactor),
        [],
        "it can be written, which is not what was waited for"
    );
    assert!(!reactor.is_ready(token, R));
    b.write_all(b"x").expect("written");
    assert_eq!(wait(&mut reactor), [7]);
    assert!(reactor.is_ready(token, R));
    assert_eq!(reactor.waiting(), 0);
    b.write_all(b"y").expect("written");
    let (polled, woken) = poll(&mut reactor, Wait::FOREVER);
    assert_eq!((polled.events, woken), (1, vec![]), "nobody waits any more");
}

#[test]
fn a_writer_is_woken_by_room() {
    let (mut a, mut b) = pair();
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    fill(&mut a);
    park(&mut reactor, token, W, 9);
    assert_eq!(take(&mut reactor), []);
    b.write_all(b"x").expect("written");
    let (polled, woken) = poll(&mut reactor, Wait::FOREVER);
    assert_eq!((polled.events, woken), (1, vec![]), "readable only");
    assert!(!reactor.is_ready(token, W));
    empty(&mut b);
    assert_eq!(wait(&mut reactor), [9]);
    assert!(reactor.is_ready(token, W));
}

#[test]
fn a_pipe_is_ready_one_way_and_told_of_the_other_end() {
    let (reader, writer) = io::pipe().expect("a pipe");
    let mut reactor = new();
    let read = reactor.register(reader.as_raw_fd()).expect("registered");
    park(&mut reactor, read, R, 1);
    assert_eq!(take(&mut reactor), []);
    drop(writer);
    assert_eq!(wait(&mut reactor), [1], "end of file");

    let (reader, writer) = io::pipe().expect("a pipe");
    let write = reactor.register(writer.as_raw_fd()).expect("registered");
    park(&mut reactor, write, W, 2);
    assert_eq!(take(&mut reactor), [2]);
    reactor.clear_ready(write, W, WouldBlock);
    drop(reader);
    park(&mut reactor, write, W, 3);
    assert_eq!(wait(&mut reactor), [3], "a broken pipe");
}

#[test]
fn what_arrives_between_the_call_and_the_clear_is_not_lost() {
    let (a, mut b) = pair();
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    take(&mut reactor);
    assert!(would_block((&a).read(&mut [0; 8])));
    b.write_all(b"x").expect("written");
    park(&mut reactor, token, R, 1);
    assert_eq!(wait(&mut reactor), [1]);
}

#[test]
fn an_end_behind_data_survives_a_short_read() {
    let (mut a, mut b) = tcp_pair();
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    b.write_all(b"data").expect("written");
    b.shutdown(std::net::Shutdown::Write).expect("shut down");
    // The end may come as an edge of its own: until it has, a short read may clear.
    park(&mut reactor, token, R, 1);
    wait(&mut reactor);
    reactor.clear_ready(token, R, Short);
    while !reactor.is_ready(token, R) {
        assert_eq!(reactor.set_waiter(token, R, 2), Ok(()));
        assert_eq!(wait(&mut reactor), [2]);
        reactor.clear_ready(token, R, Short);
    }
    assert_eq!(a.read(&mut [0; 64]).expect("read"), 4);
    reactor.clear_ready(token, R, Short);
    assert!(reactor.is_ready(token, R), "no event will come for the end");
    assert_eq!(a.read(&mut [0; 64]).expect("read"), 0);
    reactor.clear_ready(token, W, Short);
    assert!(
        !reactor.is_ready(token, W),
        "half closed: writing is not at its end"
    );
}

#[test]
fn a_short_read_clears_what_has_no_end() {
    let (a, mut b) = pair();
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    b.write_all(b"x").expect("written");
    take(&mut reactor);
    reactor.clear_ready(token, R, Short);
    assert!(!reactor.is_ready(token, R));
    assert!(reactor.is_ready(token, W), "the other side is untouched");
}

#[test]
fn a_hang_up_wakes_both_sides_reader_first() {
    let (mut a, b) = pair();
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    fill(&mut a);
    park(&mut reactor, token, W, 2);
    park(&mut reactor, token, R, 1);
    assert_eq!(take(&mut reactor), []);
    drop(b);
    assert_eq!(wait(&mut reactor), [1, 2]);
    for direction in [R, W] {
        reactor.clear_ready(token, direction, Short);
        assert!(reactor.is_ready(token, direction), "for good");
    }
}

/// Error and hang-up are no ends here, and to take them for such would spin.
#[test]
fn a_datagram_socket_can_wait_again_after_its_error() {
    let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let address = gone.local_addr().expect("an address");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    socket.set_nonblocking(true).expect("set");
    socket.connect(address).expect("connected");
    drop(gone);
    let mut reactor = new();
    let token = reactor.register(socket.as_raw_fd()).expect("registered");
    park(&mut reactor, token, R, 1);
    socket.send(b"anyone?").expect("sent");
    assert_eq!(wait(&mut reactor), [1]);
    let refused = socket.recv(&mut [0; 8]).expect_err("nobody there");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(would_block(socket.recv(&mut [0; 8])));
    park(&mut reactor, token, R, 2);
}

#[test]
fn a_socket_registered_before_it_connects_is_not_closed_afterwards() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let address = listener.local_addr().expect("an address");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("set");
    let mut reactor = new();
    let token = reactor.register(socket.as_raw_fd()).expect("registered");
    // The kernel calls it hung up, being neither connected nor listening.
    assert_eq!(poll(&mut reactor, Wait::FOREVER).0.events, 1);
    if let Err(error) = socket.connect(&address.into()) {
        assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS));
        park(&mut reactor, token, W, 1);
        assert_eq!(wait(&mut reactor), [1]);
    }
    let (mut peer, _) = listener.accept().expect("accepted");
    assert!(would_block((&socket).read(&mut [0; 8])));
    park(&mut reactor, token, R, 2);
    assert_eq!(take(&mut reactor), []);
    peer.write_all(b"x").expect("written");
    assert_eq!(wait(&mut reactor), [2]);
}

#[test]
fn one_waiter_to_a_side() {
    let (a, _b) = pair();
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    park(&mut reactor, token, R, 1);
    assert_eq!(reactor.set_waiter(token, R, 2), Err(Refused::Busy(1)));
    park(&mut reactor, token, W, 2);
    assert_eq!(reactor.waiting(), 2);
    assert!(
        !reactor.take_waiter(token, R, 2),
        "that one waits elsewhere"
    );
    assert!(reactor.take_waiter(token, R, 1));
    assert!(!reactor.take_waiter(token, R, 1), "twice");
    assert_eq!(reactor.waiting(), 1);
    assert_eq!(reactor.set_waiter(token, R, 3), Ok(()));
    assert_eq!(take(&mut reactor), [2]);
    assert!(!reactor.take_waiter(token, W, 2), "it was woken");
}

#[test]
fn deregistering_hands_back_who_waited() {
    let (a, mut b) = pair();
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    park(&mut reactor, token, R, 1);
    park(&mut reactor, token, W, 2);
    let waiters = reactor.deregister(token, a.as_raw_fd());
    assert_eq!((waiters.read, waiters.write), (Some(1), Some(2)));
    assert_eq!(waiters.into_iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!((reactor.len(), reactor.waiting()), (0, 0));
    b.write_all(b"x").expect("written");
    assert_eq!(poll(&mut reactor, Wait::Now), (Polled::default(), vec![]));

    assert_eq!(reactor.set_waiter(token, R, 3), Err(Refused::Stale));
    assert!(!reactor.take_waiter(token, R, 1));
    assert!(reactor.is_ready(token, R), "let the call tell");
    assert_eq!(reactor.fd(token), None);
    assert_eq!(reactor.deregister(token, a.as_raw_fd()), Waiters::NONE);
    assert_eq!(reactor.forget(token), Waiters::NONE);
    assert_eq!(
        reactor.counters().ctls,
        2,
        "a stale token asks nothing of the kernel"
    );
}

#[test]
fn a_stale_token_does_not_touch_who_has_slot_and_number_now() {
    let (old, _peer) = pair();
    let (new_file, mut new_peer) = pair();
    let mut reactor = new();
    let stale = reactor.register(old.as_raw_fd()).expect("registered");
    let _ = reactor.deregister(stale, old.as_raw_fd());
    dup_onto(&new_file, &old);
    let fd = old.as_raw_fd();
    let token = reactor.register(fd).expect("registered");
    assert_eq!(token.slot, stale.slot, "the case is the one meant");
    park(&mut reactor, token, R, 1);
    reactor.clear_ready(token, W, WouldBlock);

    assert_eq!(reactor.deregister(stale, fd), Waiters::NONE);
    assert_eq!(reactor.forget(stale), Waiters::NONE);
    assert!(!reactor.take_waiter(stale, R, 1));
    assert_eq!(reactor.set_waiter(stale, W, 2), Err(Refused::Stale));
    new_peer.write_all(b"x").expect("written");
    assert_eq!(wait(&mut reactor), [1], "still registered, still waiting");
    reactor.clear_ready(stale, R, WouldBlock);
    assert!(reactor.is_ready(token, R));
}

#[test]
fn a_stale_event_does_not_reach_who_has_the_slot_now() {
    let (old, mut old_peer) = pair();
    let duplicate = old.try_clone().expect("duplicated");
    let (other, _other_peer) = pair();
    let mut reactor = new();
    let stale = reactor.register(old.as_raw_fd()).expect("registered");
    take(&mut reactor);
    // Closed without a word to the kernel: its entry lives on with the duplicate.
    let _ = reactor.forget(stale);
    drop(old);
    let token = reactor.register(other.as_raw_fd()).expect("registered");
    assert_eq!(token.slot, stale.slot, "the case is the one meant");
    park(&mut reactor, token, R, 1);
    take(&mut reactor);
    old_peer.write_all(b"x").expect("written");
    let (polled, woken) = poll(&mut reactor, Wait::FOREVER);
    assert_eq!((polled.events, woken), (0, vec![]));
    assert_eq!(reactor.counters().stale, 1);
    assert!(!reactor.is_ready(token, R));
    drop(duplicate);
}

#[test]
fn a_duplicate_of_a_deregistered_descriptor_gives_no_event() {
    let (a, mut b) = pair();
    let _duplicate = a.try_clone().expect("duplicated");
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    let _ = reactor.deregister(token, a.as_raw_fd());
    drop(a);
    b.write_all(b"x").expect("written");
    assert_eq!(poll(&mut reactor, Wait::Now), (Polled::default(), vec![]));
    assert_eq!(reactor.counters().stale, 0);
}

#[test]
fn a_duplicate_has_a_registration_of_its_own() {
    let (a, mut b) = pair();
    let duplicate = a.try_clone().expect("duplicated");
    let mut reactor = new();
    let first = reactor.register(a.as_raw_fd()).expect("registered");
    let second = reactor.register(duplicate.as_raw_fd()).expect("registered");
    park(&mut reactor, first, R, 1);
    park(&mut reactor, second, R, 2);
    assert_eq!(take(&mut reactor), []);
    let _ = reactor.deregister(first, a.as_raw_fd());
    b.write_all(b"x").expect("written");
    assert_eq!(wait(&mut reactor), [2]);
}

#[test]
fn another_thread_can_take_a_descriptor_out() {
    let (a, mut b) = pair();
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    park(&mut reactor, token, R, 1);
    take(&mut reactor);
    let registry = reactor.registry().expect("cloned");
    thread::spawn(move || {
        registry
            .deregister(&mut SourceFd(&a.as_raw_fd()))
            .expect("deregistered");
        b.write_all(b"x").expect("written");
    })
    .join()
    .expect("no panic");
    assert_eq!(poll(&mut reactor, Wait::Now), (Polled::default(), vec![]));
    assert_eq!(reactor.forget(token).read, Some(1));
}

#[test]
fn what_cannot_be_registered_leaves_nothing_behind() {
    let mut reactor = new();
    let file = File::open("/proc/self/exe").expect("opened");
    let error = reactor
        .register(file.as_raw_fd())
        .expect_err("a regular file");
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    let error = reactor.register(-1).expect_err("no descriptor");
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    assert_eq!(reactor.len(), 0);

    let (a, mut b) = pair();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    let error = reactor.register(a.as_raw_fd()).expect_err("twice");
    assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
    assert_eq!(reactor.len(), 1);
    park(&mut reactor, token, R, 1);
    b.write_all(b"x").expect("written");
    assert_eq!(
        wait(&mut reactor),
        [1],
        "the first registration is unharmed"
    );
}

#[test]
fn generations_wrap_past_zero() {
    let (a, _b) = pair();
    let mut reactor = new();
    reactor.generation = NonZeroU32::MAX;
    let last = reactor.register(a.as_raw_fd()).expect("registered");
    let _ = reactor.deregister(last, a.as_raw_fd());
    let first = reactor.register(a.as_raw_fd()).expect("registered");
    assert_eq!(reactor.fd(last), None);
    assert_eq!(reactor.fd(first), Some(a.as_raw_fd()));
}

#[test]
fn the_waker_ends_a_poll_each_time_anew() {
    let mut reactor = new();
    let waker = reactor.waker().expect("a waker");
    assert!(
        Arc::ptr_eq(&waker, &reactor.waker().expect("a waker")),
        "only ever one"
    );
    assert_eq!(poll(&mut reactor, Wait::Now).0, Polled::default());
    for _ in 0..3 {
        let waker = Arc::clone(&waker);
        let thread = thread::spawn(move || waker.wake());
        let (polled, _) = poll(&mut reactor, Wait::FOREVER);
        assert_eq!((polled.woken, polled.events), (true, 0));
        thread.join().expect("no panic").expect("woken");
        assert!(!poll(&mut reactor, Wait::Now).0.woken, "told once");
    }
    // A wake that comes before the poll counts as well.
    waker.wake().expect("woken");
    waker.wake().expect("woken");
    assert!(poll(&mut reactor, Wait::FOREVER).0.woken);
}

#[test]
fn a_signal_ends_a_poll_early_and_is_no_error() {
    extern "C" fn nothing(_: libc::c_int) {}
    let signal = libc::SIGRTMIN() + 7;
    // SAFETY: an all-zero `sigaction` is a valid one, and the handler does nothing, so it may interrupt anything.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        assert_eq!(
            libc::sigaction(signal, &raw const action, std::ptr::null_mut()),
            0
        );
    }
    // SAFETY: takes nothing.
    let poller = unsafe { libc::pthread_self() };
    let mut reactor = new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                // SAFETY: the poller's thread waits for this one, so it lives.
                unsafe { libc::pthread_kill(poller, signal) };
                thread::yield_now();
            }
        });
        let (polled, woken) = poll(&mut reactor, Wait::FOREVER);
        done.store(true, Ordering::Release);
        assert!(polled.interrupted);
        assert_eq!((polled.events, woken), (0, vec![]));
    });
}

fn until(coarse: Option<Instant>, fine: Option<Instant>) -> Wait {
    Wait::Until { coarse, fine }
}

#[test]
fn no_deadline_ends_a_poll_early() {
    let mut reactor = new();
    for micros in [1_000, 2_300, 50, 400] {
        // What is far is epoll's.
        let far = reactor.counters().arms == 0;
        assert!(far || micros < 1_000, "a timerfd for a far coarse deadline");
        let deadline = Instant::now() + Duration::from_micros(micros);
        let (polled, _) = poll(&mut reactor, until(Some(deadline), None));
        assert!(polled.interrupted || Instant::now() >= deadline);
    }
}

/// Each of these polls has no timeout but the timerfd's, which is never read: without a new edge it would hang.
#[test]
#[cfg(target_os = "linux")]
fn the_timerfd_ends_polls_again_and_again_and_never_early() {
    let mut reactor = new();
    for round in 1..=20 {
        let now = Instant::now();
        let deadline = now + Duration::from_micros(round * 45);
        // The time of the poll is given, so that a pause of this thread does not turn it into a past deadline.
        // It is also stale the second time, as a cached one may be: what fired must not be taken for armed.
        for _ in 0..2 {
            let polled = reactor
                .poll(until(None, Some(deadline)), now, |_| {})
                .expect("polled");
            assert!(polled.interrupted || Instant::now() >= deadline);
            assert_eq!((polled.events, polled.woken), (0, false));
        }
        assert_eq!(reactor.counters().arms, round * 2);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn events_come_through_while_the_timerfd_is_armed_and_do_not_arm_it_again() {
    let (a, mut b) = pair();
    let mut reactor = new();
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    take(&mut reactor);
    // An hour ahead but near by the given time: armed, and not to fire in this test.
    let deadline = Instant::now() + Duration::from_secs(3600);
    let now = deadline - Duration::from_micros(500);
    for round in 0..3 {
        park(&mut reactor, token, R, round);
        b.write_all(b"x").expect("written");
        let mut woken = Vec::new();
        reactor
            .poll(until(None, Some(deadline)), now, |waiter| {
                woken.push(waiter)
            })
            .expect("polled");
        assert_eq!(woken, [round]);
        empty(&mut a.try_clone().expect("duplicated"));
    }
    assert_eq!(reactor.counters().arms, 1);
}

/// As many descriptors as asked for, if the system allows it: the limit is raised as far as it goes.
fn allow_descriptors(wanted: u64) {
    // SAFETY: plain data, filled by the first call and read by the second; raising the own soft limit is allowed.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        if limit.rlim_cur < wanted {
            limit.rlim_cur = limit.rlim_max.min(wanted);
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        }
    }
}

#[test]
fn three_thousand_ready_at_once_are_all_served_and_the_buffer_grows() {
    const COUNT: usize = 3000;
    allow_descriptors(4096);
    let mut reactor = new();
    let mut ends: Vec<OwnedFd> = Vec::new();
    let mut served = HashMap::new();
    while ends.len() < COUNT {
        let (a, b) = pair();
        ends.extend([OwnedFd::from(a), OwnedFd::from(b)]);
    }
    for (end, waiter) in ends.iter().zip(0..) {
        let token = reactor.register(end.as_raw_fd()).expect("registered");
        park(&mut reactor, token, W, waiter);
    }
    assert_eq!(reactor.waiting(), COUNT);
    let mut polls = Vec::new();
    loop {
        let (polled, woken) = poll(&mut reactor, Wait::Now);
        if polled.events == 0 {
            break;
        }
        polls.push(polled.events);
        for waiter in woken {
            *served.entry(waiter).or_insert(0) += 1;
        }
    }
    assert_eq!(served.len(), COUNT);
    assert!(served.values().all(|count| *count == 1));
    assert_eq!(polls, [1024, 1976], "1024, then room for 2048");
    assert_eq!((reactor.waiting(), reactor.len()), (0, COUNT));
    assert_eq!(reactor.counters().events, COUNT as u64);
    assert_eq!(reactor.counters().polls, 3);
}

#[test]
fn counters_count_system_calls() {
    let (a, mut b) = pair();
    let mut reactor = new();
    assert_eq!(reactor.counters(), Counters::default());
    let token = reactor.register(a.as_raw_fd()).expect("registered");
    for _ in 0..5 {
        park(&mut reactor, token, R, 1);
        b.write_all(b"x").expect("written");
        wait(&mut reactor);
    }
    let _ = reactor.deregister(token, a.as_raw_fd());
    let counters = reactor.counters();
    assert_eq!((counters.ctls, counters.stale, counters.arms), (2, 0, 0));
    assert_eq!((counters.polls, counters.events), (5, 5));
}
