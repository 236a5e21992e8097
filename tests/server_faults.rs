//! `StreamServer` without descriptors, and through more connections than a process could hold.
//!
//! What a server does in a shortage, to the millisecond, is in the unit tests of `server`: these here see that the system
//! plays its part.
#![forbid(unsafe_code)]

mod util;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use greenloom::net::TcpStream;
use greenloom::server::{Builder, ServerHandle, StreamServer};
use greenloom::{join_all, sleep, spawn, yield_now};
use socket2::SockRef;

const LONG: Duration = Duration::from_secs(60);

/// Counts the errors that the server waits out.
fn counting() -> (Builder<&'static str>, Arc<AtomicUsize>) {
    let errors = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&errors);
    let builder = StreamServer::builder("127.0.0.1:0").on_accept_error(move |e| {
        assert_eq!(e.raw_os_error(), Some(libc::EMFILE), "{e}");
        // Who spins would keep everybody else from running: that is for this to end.
        assert!(count.fetch_add(1, Ordering::Relaxed) < 1000, "it spins");
    });
    (builder, errors)
}

fn greet(mut stream: TcpStream, _: net::SocketAddr) {
    stream.write_all(b"hello").unwrap();
}

/// A connection of the system's making: nobody has accepted it, since the hub did not run.
fn knock(server: &ServerHandle) -> net::TcpStream {
    net::TcpStream::connect(server.local_addr()).unwrap()
}

/// Every descriptor there is.
fn hog() -> Vec<File> {
    let mut all = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        all.push(file);
    }
    all
}

/// CPU time of this thread, which runs the hub.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Runs `body` in a process that may have 100 descriptors.
fn with_few_descriptors(test_name: &str, body: impl FnOnce()) {
    if util::is_child(test_name) {
        return body();
    }
    let child = util::child(test_name);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""]);
    shell.arg(child.get_program()).args(child.get_args());
    for (name, value) in child.get_envs() {
        shell.env(name, value.unwrap());
    }
    shell.arg0("sh");
    let output = util::run(&mut shell);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{}",
        util::describe(&output)
    );
}

#[test]
fn without_descriptors_it_waits_without_spinning_and_goes_on_when_there_are_some() {
    const NAME: &str =
        "without_descriptors_it_waits_without_spinning_and_goes_on_when_there_are_some";
    with_few_descriptors(NAME, || {
        let (builder, errors) = counting();
        let server = builder.serve(greet).unwrap();
        yield_now();
        let mut clients = [knock(&server), knock(&server)];
        // The count of the CPU takes a descriptor.
        let spare = File::open("/dev/null").unwrap();
        let hogged = hog();
        drop(spare);
        let (begin, before) = (Instant::now(), cpu());
        let spare = File::open("/dev/null").unwrap();
        sleep(Duration::from_secs(1));
        drop(spare);
        let (used, wall) = (cpu() - before, begin.elapsed());
        // After 10 ms, 20 ms, 40 ms, …, then once a second; on a busy machine less often.
        let tries = errors.load(Ordering::Relaxed) as u64;
        assert!(
            (1..=8 + wall.as_secs()).contains(&tries),
            "{tries} in {wall:?}"
        );
        assert!(used < wall / 20, "{used:?} of CPU in {wall:?}");
        assert_eq!(server.accepted(), 0);

        drop(hogged);
        while server.accepted() < 2 || server.active() > 0 {
            sleep(Duration::from_millis(1));
        }
        for client in &mut clients {
            let mut word = String::new();
            client.read_to_string(&mut word).unwrap();
            assert_eq!(word, "hello");
        }
        server.stop(LONG);
    });
}

#[test]
fn stopped_while_it_has_no_descriptors_it_ends_and_resets_who_waits() {
    const NAME: &str = "stopped_while_it_has_no_descriptors_it_ends_and_resets_who_waits";
    with_few_descriptors(NAME, || {
        let (builder, errors) = counting();
        let server = builder.serve(greet).unwrap();
        yield_now();
        let mut client = knock(&server);
        let hogged = hog();
        while errors.load(Ordering::Relaxed) < 3 {
            sleep(Duration::from_millis(1));
        }
        let stopped = server.stop(LONG);
        assert_eq!((stopped.finished, stopped.killed), (0, 0));
        server.wait().unwrap();
        drop(hogged);
        assert!(client.read(&mut [0]).is_err());
    });
}

/// Memory of this process that is in use, in KiB.
fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let number = line.unwrap().split_whitespace().next();
    number.unwrap().parse().unwrap()
}

#[test]
fn twenty_thousand_connections_leave_nothing_behind() {
    const AT_ONCE: usize = 50;
    const NAME: &str = "twenty_thousand_connections_leave_nothing_behind";
    util::alone(NAME, || {
        let server = StreamServer::builder("127.0.0.1:0").serve(greet).unwrap();
        let addr = server.local_addr();
        let wave = || {
            let clients: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    spawn(move || {
                        let mut stream = TcpStream::connect(addr).unwrap();
                        let mut word = [0; 5];
                        stream.read_exact(&mut word).unwrap();
                        // Reset, so that the system keeps nothing of it, either.
                        let now = Some(Duration::ZERO);
                        SockRef::from(&stream).set_linger(now).unwrap();
                        word
                    })
                })
                .collect();
            for word in join_all(clients, None) {
                assert_eq!(&word.unwrap(), b"hello");
            }
            while server.active() > 0 {
                yield_now();
            }
        };
        for _ in 0..40 {
            wave();
        }
        let (fds, kib) = (util::open_fds(), resident_kib());
        for _ in 0..360 {
            wave();
        }
        assert_eq!(server.accepted(), 20_000);
        assert_eq!(util::open_fds(), fds);
        // AddressSanitizer holds back what is freed. A connection that left its stack's first page would make 70 MiB.
        if !cfg!(feature = "sanitizer") {
            let grown = resident_kib().saturating_sub(kib);
            assert!(grown < 4096, "{grown} KiB more after 18,000 connections");
        }
        server.stop(LONG);
    });
}
