//! `io::pipe` as a user of std's knows it, and under attack.
//!
//! A task that was spawned has run up to its first wait after one `yield_now`. A timeout of `SHORT` passes while nothing else
//! happens.

mod util;

use std::cell::Cell;
use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use greenloom::io::{Closed, ConcurrentUse, Direction, PipeReader, PipeWriter, pipe};
use greenloom::{spawn, timeout, yield_now};
use socket2::SockRef;

const SHORT: Duration = Duration::from_millis(5);

fn is_closed(error: &Error) -> bool {
    error.kind() == ErrorKind::NotConnected
        && error.get_ref().is_some_and(|inner| inner.is::<Closed>())
}

/// Writes until the system takes no more.
fn fill(writer: &PipeWriter) -> usize {
    let mut all = 0;
    while let Ok(Ok(n)) = timeout(SHORT, || (&*writer).write(&[0; 4096])) {
        all += n;
    }
    all
}

#[test]
fn is_send_and_sync() {
    fn check<T: Send + Sync + std::fmt::Debug + AsFd + AsRawFd + IntoRawFd + From<OwnedFd>>() {}
    check::<PipeReader>();
    check::<PipeWriter>();
    fn reads<T: Read>() {}
    reads::<PipeReader>();
    reads::<&PipeReader>();
    fn writes<T: Write>() {}
    writes::<PipeWriter>();
    writes::<&PipeWriter>();
}

#[test]
fn a_mebibyte_goes_through_and_ends_with_the_last_writer() {
    let (mut reader, mut writer) = pipe().unwrap();
    let mut second = writer.try_clone().unwrap();
    let first = spawn(move || writer.write_all(&[1; 1 << 20]).unwrap());
    let reading = spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        all
    });
    first.join().unwrap();
    assert!(!reading.is_finished(), "one writer is left");
    second.write_all(b"end").unwrap();
    drop(second);
    let all = reading.join().unwrap();
    assert_eq!(all.len(), (1 << 20) + 3);
    assert!(all.ends_with(b"\x01end"));
}

#[test]
fn nobody_left_to_read_is_a_broken_pipe_also_for_who_waits() {
    let (reader, mut writer) = pipe().unwrap();
    fill(&writer);
    let waiting = spawn(move || {
        let error = writer.write(b"x").unwrap_err();
        (error.kind(), writer.write(b"x").unwrap_err().kind())
    });
    yield_now();
    drop(reader);
    let broken = ErrorKind::BrokenPipe;
    assert_eq!(waiting.join().unwrap(), (broken, broken));
}

#[test]
fn short_reads_hide_nothing_and_vectored_calls_keep_the_order() {
    let (mut reader, mut writer) = pipe().unwrap();
    let first = Rc::new(Cell::new(0));
    let told = Rc::clone(&first);
    let reading = spawn(move || {
        let (mut x, mut y) = ([0; 2], [0; 8]);
        let n = reader
            .read_vectored(&mut [IoSliceMut::new(&mut x), IoSliceMut::new(&mut y)])
            .unwrap();
        told.set(n);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        (n, x, y[0], rest)
    });
    yield_now();
    let n = writer
        .write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"bc")])
        .unwrap();
    assert_eq!(n, 3);
    while first.get() == 0 {
        yield_now();
    }
    writer.write_all(b"def").unwrap();
    writer.flush().unwrap();
    drop(writer);
    let (n, x, y, rest) = reading.join().unwrap();
    let mut all = [&x[..], &[y]].concat();
    assert_eq!(n, 3);
    all.extend(rest);
    assert_eq!(all, b"abcdef");
}

#[test]
fn a_second_waiter_is_refused_and_a_killed_one_takes_nothing() {
    let (reader, mut writer) = pipe().unwrap();
    let reader = Rc::new(reader);
    let first = Rc::clone(&reader);
    let first = spawn(move || (&*first).read(&mut [0; 8]));
    yield_now();
    let error = (&*reader).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    let busy = error.get_ref().unwrap().downcast_ref::<ConcurrentUse>();
    assert_eq!(busy.unwrap().direction(), Direction::Read);
    first.kill();
    writer.write_all(b"kept").unwrap();
    assert!(first.join().is_err());
    assert_eq!((&*reader).read(&mut [0; 8]).unwrap(), 4);
}

#[test]
fn close_wakes_reader_and_writer_and_leaves_the_clones_alone() {
    let (reader, writer) = pipe().unwrap();
    let clone = writer.try_clone().unwrap();
    let filled = fill(&writer);
    let (full, writer) = (reader, Rc::new(writer));
    let writing = Rc::clone(&writer);
    let writing = spawn(move || (&*writing).write(b"x"));
    let (reader, _keep) = pipe().unwrap();
    let reader = Rc::new(reader);
    let reading = Rc::clone(&reader);
    let reading = spawn(move || (&*reading).read(&mut [0]));
    yield_now();
    writer.close();
    reader.close();
    reader.close();
    assert!(is_closed(&writing.join().unwrap().unwrap_err()));
    assert!(is_closed(&reading.join().unwrap().unwrap_err()));
    assert!(is_closed(&(&*reader).read(&mut [0]).unwrap_err()));
    assert!(is_closed(&writer.try_clone().unwrap_err()));
    let last = spawn(move || (&clone).write_all(b"last"));
    drop(writer);
    let mut all = Vec::new();
    (&full).read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), filled + 4);
    last.join().unwrap().unwrap();
}

#[test]
fn close_wakes_a_plain_thread() {
    let (reader, _writer) = pipe().unwrap();
    let reader = Arc::new(reader);
    let reading = Arc::clone(&reader);
    let thread = thread::spawn(move || {
        loop {
            match (&*reading).read(&mut [0]) {
                // While the probe below waits.
                Err(e) if e.kind() == ErrorKind::ResourceBusy => thread::yield_now(),
                other => return other,
            }
        }
    });
    // Until the thread waits.
    let probe = || (&*reader).read(&mut [0]).unwrap_err().kind();
    while !matches!(timeout(SHORT, probe), Ok(ErrorKind::ResourceBusy)) {}
    reader.close();
    assert!(is_closed(&thread.join().unwrap().unwrap_err()));
}

#[test]
fn a_new_pipe_with_the_same_number_is_not_touched() {
    util::alone("a_new_pipe_with_the_same_number_is_not_touched", || {
        let (reader, writer) = pipe().unwrap();
        let number = reader.as_raw_fd();
        let reader = Rc::new(reader);
        let reading = Rc::clone(&reader);
        let reading = spawn(move || (&*reading).read(&mut [0]));
        yield_now();
        reader.close();
        drop(reader);
        assert!(is_closed(&reading.join().unwrap().unwrap_err()));
        let (mut reader, mut other) = pipe().unwrap();
        assert_eq!(reader.as_raw_fd(), number);
        let reading = spawn(move || reader.read(&mut [0; 8]));
        yield_now();
        drop(writer);
        yield_now();
        other.write_all(b"new").unwrap();
        assert_eq!(reading.join().unwrap().unwrap(), 3);
    });
}

#[test]
fn conversions_put_the_mode_back() {
    let (reader, writer) = pipe().unwrap();
    assert!(SockRef::from(&reader).nonblocking().unwrap());
    let reader = std::io::PipeReader::try_from(reader).unwrap();
    assert!(!SockRef::from(&reader).nonblocking().unwrap());
    let reader = PipeReader::try_from(reader).unwrap();
    // SAFETY: the number was just given up by its owner, and nobody else has it.
    let mut reader = unsafe { PipeReader::from_raw_fd(reader.into_raw_fd()) };
    let fd = OwnedFd::from(writer);
    assert!(!SockRef::from(&fd).nonblocking().unwrap());
    let mut writer = PipeWriter::from(fd);
    let reading = spawn(move || reader.read(&mut [0; 8]));
    yield_now();
    writer.write_all(b"raw").unwrap();
    assert_eq!(reading.join().unwrap().unwrap(), 3);
}

#[test]
fn a_child_process_gets_an_end_as_it_expects_it() {
    let (mut reader, writer) = pipe().unwrap();
    let mut child = Command::new("echo")
        .arg("from the child")
        .stdin(Stdio::null())
        .stdout(writer)
        .spawn()
        .unwrap();
    let text = spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    assert_eq!(text.join().unwrap().unwrap(), "from the child\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn descriptors_and_memory_are_given_back() {
    util::alone("descriptors_and_memory_are_given_back", || {
        util::assert_no_leak(|| {
            let (mut reader, mut writer) = pipe().unwrap();
            let reading = spawn(move || reader.read(&mut [0]));
            yield_now();
            writer.write_all(b"x").unwrap();
            reading.join().unwrap().unwrap();
        });
    });
}
