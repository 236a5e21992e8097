//! Standard input and output, in child processes whose ends the tests hold: pipes, a terminal, a file, nothing.
//!
//! ```text
//! parent: waits for "tick" ──► only then writes a line ──► looks at what the child made of it
//! child:  one task waits for input; another one writes "tick", which shows that the first did not stop the thread
//! ```

mod util;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, Output, Stdio};
use std::{env, fs, process, ptr};

use greenloom::io::{stderr, stdin, stdout};
use greenloom::{spawn, yield_now};
use socket2::SockRef;
use util::{child, is_child};

/// In the child: echoes standard input, and ticks while it waits for it.
fn echo_and_tick() {
    let reader = spawn(|| {
        let mut line = String::new();
        while stdin().read_line(&mut line).unwrap() > 0 {
            writeln!(stdout(), "got {}", line.trim_end()).unwrap();
            line.clear();
        }
    });
    yield_now();
    assert!(!reader.is_finished());
    writeln!(stdout(), "tick").unwrap();
    reader.join().unwrap();
    writeln!(stdout(), "end").unwrap();
}

/// Lines of the child that are its own, up to one that is `last`.
fn lines_to(output: &mut impl BufRead, last: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let mut line = String::new();
        assert!(
            output.read_line(&mut line).unwrap() > 0,
            "no {last} after {all:?}"
        );
        let line = line.trim_end();
        // The harness begins a line and does not end it.
        if let Some(line) = ["got ", "tick", "end"]
            .iter()
            .find_map(|begin| line.find(begin).map(|at| &line[at..]))
        {
            all.push(line.to_owned());
            if line == last {
                return all;
            }
        }
    }
}

fn piped(command: &mut Command) -> process::Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn check(output: &Output) {
    assert!(output.status.success(), "{}", util::describe(output));
}

#[test]
fn a_pipe_is_waited_for_and_its_mode_left_alone() {
    const NAME: &str = "a_pipe_is_waited_for_and_its_mode_left_alone";
    if is_child(NAME) {
        return echo_and_tick();
    }
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut child = piped(child(NAME).stdin(reader.try_clone().unwrap()));
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(lines_to(&mut output, "tick"), ["tick"]);
    // The child waits; the open file is the same.
    assert!(!SockRef::from(&reader).nonblocking().unwrap());
    writer.write_all(b"one\ntwo\nthr").unwrap();
    assert_eq!(lines_to(&mut output, "got two"), ["got one", "got two"]);
    writer.write_all(b"ee\n").unwrap();
    drop(writer);
    assert_eq!(lines_to(&mut output, "end"), ["got three", "end"]);
    std::io::copy(&mut output, &mut std::io::sink()).unwrap();
    check(&child.wait_with_output().unwrap());
}

#[test]
fn a_terminal_is_waited_for() {
    const NAME: &str = "a_terminal_is_waited_for";
    if is_child(NAME) {
        assert!(stdin().is_terminal() && !stdout().is_terminal());
        return echo_and_tick();
    }
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: two places for the descriptors; no name, settings or size are asked for or given.
    let made = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    assert_eq!(made, 0);
    // SAFETY: the system has just made them for this call.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let mut terminal = File::from(master);
    let mut child = piped(child(NAME).stdin(slave.try_clone().unwrap()));
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(lines_to(&mut output, "tick"), ["tick"]);
    assert!(!SockRef::from(&slave).nonblocking().unwrap());
    terminal.write_all(b"typed\n").unwrap();
    assert_eq!(lines_to(&mut output, "got typed"), ["got typed"]);
    // Control and D: the end of the input.
    terminal.write_all(b"\x04").unwrap();
    assert_eq!(lines_to(&mut output, "end"), ["end"]);
    std::io::copy(&mut output, &mut std::io::sink()).unwrap();
    check(&child.wait_with_output().unwrap());
}

#[test]
fn a_file_and_nothing_are_read_at_once() {
    const NAME: &str = "a_file_and_nothing_are_read_at_once";
    if is_child(NAME) {
        let all: Vec<_> = stdin().lines().map(Result::unwrap).collect();
        writeln!(stdout(), "got <{}>", all.join("+")).unwrap();
        // The end stays.
        assert_eq!((&stdin()).read(&mut [0; 8]).unwrap(), 0);
        writeln!(stdout(), "end").unwrap();
        return;
    }
    let path = env::temp_dir().join(format!("greenloom-stdin-{}", process::id()));
    fs::write(&path, "a\nb\nc").unwrap();
    let file = File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for (input, lines) in [
        (Stdio::from(file), ["got <a+b+c>", "end"]),
        (Stdio::null(), ["got <>", "end"]),
    ] {
        let output = util::run(child(NAME).stdin(input));
        check(&output);
        assert_eq!(lines_to(&mut &*output.stdout, "end"), lines);
    }
}

#[test]
fn who_waits_for_the_lock_waits_for_the_reader_only() {
    const NAME: &str = "who_waits_for_the_lock_waits_for_the_reader_only";
    if is_child(NAME) {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                spawn(|| {
                    let mut line = String::new();
                    stdin().read_line(&mut line).unwrap();
                    writeln!(stdout(), "got {}", line.trim_end()).unwrap();
                })
            })
            .collect();
        let victim = spawn(|| drop(stdin().lock().fill_buf().map(<[u8]>::len)));
        yield_now();
        // Waits for the lock, and leaves it to the others.
        victim.kill();
        writeln!(stdout(), "tick").unwrap();
        for reader in readers {
            reader.join().unwrap();
        }
        assert!(victim.join().is_err());
        writeln!(stdout(), "end").unwrap();
        return;
    }
    let mut child = piped(child(NAME).stdin(Stdio::piped()));
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(lines_to(&mut output, "tick"), ["tick"]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"1\n2\n3\n").unwrap();
    let lines = lines_to(&mut output, "end");
    assert_eq!(lines, ["got 1", "got 2", "got 3", "end"]);
    std::io::copy(&mut output, &mut std::io::sink()).unwrap();
    check(&child.wait_with_output().unwrap());
}

#[test]
fn output_that_nobody_reads_holds_the_writer_and_nobody_else() {
    const NAME: &str = "output_that_nobody_reads_holds_the_writer_and_nobody_else";
    const LINES: usize = 20_000;
    if is_child(NAME) {
        let writer = spawn(|| {
            let mut out = stdout().lock();
            for i in 0..LINES {
                writeln!(out, "got {i}").unwrap();
                // The task that has the lock can lock again.
                if i % 1000 == 0 {
                    stdout().lock().flush().unwrap();
                }
            }
            out.write_all("x".repeat(100_000).as_bytes()).unwrap();
            writeln!(out, "\nend").unwrap();
        });
        yield_now();
        assert!(!writer.is_finished(), "a pipe takes less");
        writeln!(stderr(), "tick").unwrap();
        writeln!(stderr().lock(), "tock").unwrap();
        return writer.join().unwrap();
    }
    let mut child = piped(&mut child(NAME));
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    assert_eq!(lines_to(&mut errors, "tick"), ["tick"]);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let lines = lines_to(&mut output, "end");
    let expected: Vec<_> = (0..LINES).map(|i| format!("got {i}")).collect();
    assert_eq!(lines[..LINES], expected);
    std::io::copy(&mut output, &mut std::io::sink()).unwrap();
    check(&child.wait_with_output().unwrap());
}

#[test]
fn what_is_left_of_a_line_goes_out_at_the_end() {
    const NAME: &str = "what_is_left_of_a_line_goes_out_at_the_end";
    if is_child(NAME) {
        write!(stdout(), "no end of line").unwrap();
        process::exit(0);
    }
    let output = util::run(&mut child(NAME));
    check(&output);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.ends_with("no end of line"), "{text}");
}
