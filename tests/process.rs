//! Child processes: std's types, cooperative. The children are what every system has: `sh`, `cat`, `sleep`, `true`.

#[path = "util/sharing.rs"]
#[macro_use]
mod sharing;
mod util;

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::io::{ConcurrentUse, TimeoutElapsed};
use greenloom::process::{
    Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio,
};
use greenloom::select::{Select, Waitable, iwait, wait};
use greenloom::signal::SignalKind;
use greenloom::task::{self, JoinError};
use greenloom::{hub, join_all, sleep, spawn, timeout, yield_now};
use util::alone;

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(5);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Lives until it is killed, and longer than any test. It holds nothing open that somebody might read to the end.
fn sleeper() -> Child {
    let mut command = Command::new("sleep");
    command
        .arg("300")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// A child that has said a line when it was ready.
fn ready(script: &str) -> Child {
    let mut child = sh(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Whether it has ended and nobody has waited for it.
fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

/// Until `done`, which some other process brings about.
fn until(done: impl Fn() -> bool) {
    while !done() {
        sleep(Duration::from_millis(1));
    }
}

fn threads() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn what_is_sent_and_shared_is_what_std_lets() {
    assert!(is!(Child: Send) && is!(Child: Sync));
    assert!(is!(Command: Send));
    assert!(is!(ChildStdin: Send) && is!(ChildStdin: Sync));
    assert!(is!(ChildStdout: Send) && is!(ChildStderr: Send));
    assert!(is!(Child: std::fmt::Debug) && is!(Command: std::fmt::Debug));
}

#[test]
fn output_collects_both_streams_and_the_status() {
    let Output {
        status,
        stdout,
        stderr,
    } = sh("echo out; echo err >&2; exit 3").output().unwrap();
    assert_eq!(
        (status.code(), stdout, stderr),
        (Some(3), b"out\n".to_vec(), b"err\n".to_vec())
    );
    assert!(Command::new("true").status().unwrap().success());
    assert!(!Command::new("false").status().unwrap().success());
    // By default nothing is read, so this ends.
    assert_eq!(Command::new("cat").output().unwrap().stdout, b"");
}

#[test]
fn output_leaves_streams_that_were_set_and_does_not_set_those_of_a_later_spawn() {
    let mut command = sh("cat; echo err >&2");
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(b"in").unwrap();
    drop(writer);
    command.stdin(reader).stderr(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b"in"[..], &b""[..])
    );

    let mut quiet = Command::new("true");
    quiet.output().unwrap();
    let mut child = quiet.spawn().unwrap();
    assert!(child.stdout.is_none() && child.stdin.is_none());
    child.wait().unwrap();
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let missing = || Command::new("/no/such/program");
    assert_eq!(missing().spawn().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(missing().output().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(missing().status().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn settings_reach_the_child() {
    let mut command = sh("echo $0-$A-$B; pwd");
    command
        .env_clear()
        .env("A", "1")
        .envs([("B", "2"), ("C", "3")])
        .env_remove("C");
    command.current_dir("/");
    assert_eq!(command.get_program(), "sh");
    assert_eq!(command.get_args().count(), 2);
    assert_eq!(command.get_current_dir(), Some(Path::new("/")));
    assert_eq!(command.output().unwrap().stdout, b"sh-1-2\n/\n");
    let renamed = sh("echo $0").arg0("other").output().unwrap();
    assert_eq!(renamed.stdout, b"other\n");
    // What only std can set.
    let mut command = sh("echo std");
    command.as_std_mut().env("X", "y");
    assert_eq!(command.get_envs().count(), 1);
    assert_eq!(command.output().unwrap().stdout, b"std\n");
    let group = sh("ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat")
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let id = group.id();
    let said = String::from_utf8(group.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(said.trim(), id.to_string());
}

#[test]
fn others_run_while_a_task_waits() {
    let mut child = sleeper();
    let (go, killed) = (Rc::new(Event::new()), Rc::new(Cell::new(false)));
    let (gate, seen) = (Rc::clone(&go), Rc::clone(&killed));
    let id = child.id();
    let waiter = spawn(move || {
        gate.set();
        let status = child.wait().unwrap();
        assert!(seen.get(), "it waited");
        status
    });
    go.wait();
    yield_now();
    killed.set(true);
    Command::new("kill").arg(id.to_string()).status().unwrap();
    assert_eq!(waiter.join().unwrap().signal(), Some(libc::SIGTERM));
    assert!(!exists(id), "reaped");
}

#[test]
fn a_status_is_fetched_once_and_remembered() {
    let mut child = sh("exit 4").spawn().unwrap();
    let id = child.id();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert!(!exists(id));
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert_eq!(child.try_wait().unwrap().and_then(|s| s.code()), Some(4));
    assert_eq!(
        child
            .wait_timeout(Duration::ZERO)
            .unwrap()
            .and_then(|s| s.code()),
        Some(4)
    );
    // Nobody is sent anything any more.
    child.kill().unwrap();
    child.terminate().unwrap();
    assert_eq!(child.id(), id);
}

#[test]
fn try_wait_does_not_wait_and_a_zombie_can_still_be_signalled() {
    let mut child = sleeper();
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().unwrap();
    until(|| is_zombie(child.id()));
    child.kill().unwrap();
    assert_eq!(
        child.try_wait().unwrap().unwrap().signal(),
        Some(libc::SIGKILL)
    );
}

#[test]
fn one_that_ignores_the_request_is_killed_after_a_while() {
    let mut child = ready("trap '' TERM; echo ready; while :; do sleep 300; done");
    child.terminate().unwrap();
    assert_eq!(child.wait_timeout(SOON).unwrap(), None);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn signals_of_any_kind_can_be_sent() {
    let mut child = ready("trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done");
    child.send_signal(SignalKind::USER1).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    let mut other = sleeper();
    let refused = other.send_signal(SignalKind::from_raw(999)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn one_that_closes_its_output_and_lives_is_waited_for() {
    let mut child = sh("exec >&-; exec sleep 300")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "");
    assert_eq!(child.wait_timeout(SOON).unwrap(), None);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn writing_to_one_that_does_not_read_is_an_error() {
    let mut child = sh("exec <&-; exec sleep 300")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // Until its end is closed, the pipe takes some.
    let error = loop {
        match input.write(&[0; 4096]) {
            Ok(_) => yield_now(),
            Err(e) => break e,
        }
    };
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn wait_closes_the_input_first() {
    for timed in [false, true] {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let status = if timed {
            child.wait_timeout(HOUR).unwrap().unwrap()
        } else {
            child.wait().unwrap()
        };
        assert!(status.success());
    }
    // An output too.
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"text").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"text");
}

#[test]
fn much_output_on_both_streams_does_not_stop_either() {
    // Each fills its pipe again and again before it turns to the other.
    let script =
        "for i in 1 2 3 4; do head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; done";
    let output = sh(script).output().unwrap();
    assert_eq!(
        (output.stdout.len(), output.stderr.len()),
        (1_200_000, 1_200_000)
    );
    // And a filter, fed by a task while another reads.
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let feeder = spawn(move || input.write_all(&vec![7; 1_000_000]));
    let mut back = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut back).unwrap();
    feeder.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(back, vec![7; 1_000_000]);
}

#[test]
fn an_end_that_is_given_to_another_child_blocks_there() {
    let mut first = sh("sleep 0.05; echo through")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let second = Command::new("cat")
        .stdin(first.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(second.status.success(), "it was not told to try again");
    assert_eq!(second.stdout, b"through\n");
    first.wait().unwrap();
    // As a descriptor, and as std's type.
    let mut child = sh("echo a; sleep 0.05; echo b")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = OwnedFd::from(child.stdout.take().unwrap());
    let mut text = String::new();
    fs::File::from(out).read_to_string(&mut text).unwrap();
    assert_eq!(text, "a\nb\n");
    child.wait().unwrap();
}

#[test]
fn two_readers_of_one_stream_are_an_error_for_the_second() {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = Rc::new(child.stdout.take().unwrap());
    let first = Rc::clone(&out);
    let first = spawn(move || (&*first).read(&mut [0; 8]));
    yield_now();
    let error = (&*out).read(&mut [0]).unwrap_err();
    assert!(error.get_ref().unwrap().is::<ConcurrentUse>());
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    assert_eq!(first.join().unwrap().unwrap(), 1);
    child.wait().unwrap();
}

#[test]
fn two_hundred_at_once_take_no_thread_each() {
    alone("two_hundred_at_once_take_no_thread_each", || {
        let before = threads();
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                spawn(move || {
                    // Each waits until it is let go.
                    let mut child = sh("read line; exit $line")
                        .stdin(Stdio::piped())
                        .spawn()
                        .unwrap();
                    let mut input = child.stdin.take().unwrap();
                    let waiter = spawn(move || child.wait().unwrap().code());
                    yield_now();
                    (
                        n,
                        input.write_all(format!("{}\n", n % 100).as_bytes()),
                        waiter,
                    )
                })
            })
            .collect();
        let started: Vec<_> = join_all(tasks, None)
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(threads(), before);
        for (n, written, waiter) in started {
            written.unwrap();
            assert_eq!(waiter.join().unwrap(), Some(n % 100));
        }
        assert_eq!(threads(), before);
    });
}

#[test]
fn a_task_that_is_killed_while_it_waits_leaves_the_child() {
    let child = Rc::new(RefCell::new(sleeper()));
    let id = child.borrow().id();
    for timed in [false, true] {
        let same = Rc::clone(&child);
        let waiter = spawn(move || {
            if timed {
                same.borrow_mut().wait_timeout(HOUR).map(Option::unwrap)
            } else {
                same.borrow_mut().wait()
            }
        });
        yield_now();
        waiter.kill();
        assert!(matches!(waiter.join(), Err(JoinError::Killed)));
        assert_eq!(child.borrow_mut().try_wait().unwrap(), None);
    }
    // Killed in the turn in which the child ends: the status is there for the next.
    let same = Rc::clone(&child);
    let waiter = spawn(move || same.borrow_mut().wait());
    yield_now();
    child_kill(id);
    // The hub does not run meanwhile.
    while !is_zombie(id) {
        std::thread::yield_now();
    }
    waiter.kill();
    let joined = waiter.join();
    assert!(
        matches!(joined, Ok(Ok(_)) | Err(JoinError::Killed)),
        "{joined:?}"
    );
    assert_eq!(
        child.borrow_mut().wait().unwrap().signal(),
        Some(libc::SIGKILL)
    );
}

fn child_kill(id: u32) {
    assert!(
        std::process::Command::new("kill")
            .args(["-KILL", &id.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_task_that_is_killed_in_output_leaves_the_child_or_ends_it() {
    for kill_on_drop in [false, true] {
        let (tell, told) = (Rc::new(Cell::new(0)), Rc::new(Event::new()));
        let (number, said) = (Rc::clone(&tell), Rc::clone(&told));
        let before = task::count();
        let reader = spawn(move || {
            let mut command = sh("exec sleep 300");
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            if kill_on_drop {
                command.kill_on_drop();
            }
            let child = command.spawn().unwrap();
            number.set(child.id());
            said.set();
            child.wait_with_output()
        });
        told.wait();
        yield_now();
        reader.kill();
        assert!(matches!(reader.join(), Err(JoinError::Killed)));
        let id = tell.get();
        if kill_on_drop {
            until(|| is_zombie(id) || !exists(id));
            // The next spawn cleans up.
            Command::new("true").status().unwrap();
        } else {
            assert!(exists(id) && !is_zombie(id));
            child_kill(id);
            until(|| is_zombie(id));
        }
        assert_eq!(exists(id), !kill_on_drop);
        until(|| task::count() == before);
    }
}

#[test]
fn a_drop_kills_only_if_it_was_asked_to() {
    let child = sleeper();
    let id = child.id();
    drop(child);
    assert!(exists(id) && !is_zombie(id));
    child_kill(id);

    let child = Command::new("sleep")
        .arg("300")
        .kill_on_drop()
        .spawn()
        .unwrap();
    let id = child.id();
    drop(child);
    until(|| is_zombie(id) || !exists(id));
    Command::new("true").status().unwrap();
    assert!(!exists(id));
    // One that was waited for is left alone, whoever has its number now.
    let mut done = Command::new("true").kill_on_drop().spawn().unwrap();
    done.wait().unwrap();
    drop(done);
}

#[test]
fn an_enclosing_timeout_is_told_and_its_own_is_none() {
    let mut child = sleeper();
    let mut inside = None;
    assert!(timeout(SOON, || inside = Some(child.wait())).is_err());
    let error = inside.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.get_ref().unwrap().is::<TimeoutElapsed>());
    assert_eq!(child.wait_timeout(SOON).unwrap(), None);
    child.kill().unwrap();
    assert!(child.wait_timeout(Duration::MAX).unwrap().is_some());

    let before = task::count();
    let mut slow = Command::new("sleep");
    slow.arg("300").kill_on_drop();
    assert!(timeout(SOON, || slow.output()).is_err());
    // With its errors open and its output at an end.
    let mut half = sh("exec >&-; exec sleep 300");
    half.kill_on_drop();
    assert!(timeout(SOON, || half.output()).is_err());
    until(|| task::count() == before);
}

#[test]
fn selects_take_children_and_leave_those_not_chosen() {
    let mut slow = sleeper();
    let mut quick = sh("exit 5").spawn().unwrap();
    let mut pick = |d: Duration, slow: &mut Child| {
        Select::new()
            .child(slow, |s| s.unwrap().signal())
            .child(&mut quick, |s| s.unwrap().code())
            .after(d, || None)
            .wait()
    };
    assert_eq!(pick(HOUR, &mut slow), Some(5));
    // Ready for ever after.
    assert_eq!(pick(HOUR, &mut slow), Some(5));
    assert_eq!(
        Select::new()
            .child(&mut slow, |_| 1)
            .after(SOON, || 2)
            .wait(),
        2
    );
    assert_eq!(slow.try_wait().unwrap(), None);
    slow.kill().unwrap();
    let by = |s: io::Result<ExitStatus>| s.unwrap().signal();
    assert_eq!(
        Select::new().child(&mut slow, by).wait(),
        Some(libc::SIGKILL)
    );
    let mut many: Vec<_> = (0..5)
        .map(|n| sh(&format!("exit {n}")).spawn().unwrap())
        .collect();
    let mut codes = Vec::new();
    while !many.is_empty() {
        let (i, status) = Select::new()
            .any(many.iter_mut(), |i, s| (i, s.unwrap()))
            .wait();
        codes.push(status.code().unwrap());
        many.remove(i);
    }
    codes.sort_unstable();
    assert_eq!(codes, [0, 1, 2, 3, 4]);
}

#[test]
fn waits_take_children_as_they_end() {
    let mut gates = Vec::new();
    let children: Vec<_> = (0..4)
        .map(|n| {
            let mut child = sh(&format!("read line; exit {n}"))
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            gates.push(child.stdin.take().unwrap());
            child
        })
        .collect();
    let before = task::count();
    assert!(wait(&children, Some(SOON), None).is_empty());
    until(|| task::count() == before);
    let order = [2, 0, 3, 1];
    let mut coming = iwait(children);
    let mut got = Vec::new();
    for n in order {
        gates[n].write_all(b"\n").unwrap();
        got.push(coming.next().unwrap().wait().unwrap().code().unwrap() as usize);
    }
    assert!(coming.next().is_none());
    assert_eq!(got, order);
    // Beside things of other kinds; left early, the rest is let go.
    let (child, event) = (sleeper(), Event::new());
    event.set();
    let items: [&dyn Waitable; 2] = [&child, &event];
    assert_eq!(wait(items, Some(HOUR), Some(1)).len(), 1);
    until(|| task::count() == before);
    child_kill(child.id());
    assert_eq!(wait([&child], Some(HOUR), None).len(), 1);
}

#[test]
fn a_plain_thread_waits_as_std_does_and_children_change_threads() {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Waited for here first, so that both are in this hub's poll.
    assert!(timeout(SOON, || child.stdout.as_mut().map(|out| out.read(&mut [0]))).is_err());
    let early = Select::new()
        .child(&mut child, |_| true)
        .after(SOON, || false)
        .wait();
    assert!(!early);
    let status = std::thread::spawn(move || {
        assert_eq!(
            child.wait_timeout(HOUR).unwrap().and_then(|s| s.code()),
            Some(0)
        );
        let output = sh("echo here").output().unwrap();
        assert_eq!(output.stdout, b"here\n");
        spawn(move || child.wait().unwrap()).join().unwrap()
    })
    .join()
    .unwrap();
    assert!(status.success());
}

#[test]
fn one_that_std_has_started_can_be_taken_over() {
    let child = std::process::Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Child::try_from(child).unwrap();
    child.stdin.take().unwrap().write_all(b"over").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"over");
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    assert!(Child::try_from(gone).is_err());
}

#[test]
fn without_descriptors_a_spawn_fails_and_nothing_is_left() {
    alone(
        "without_descriptors_a_spawn_fails_and_nothing_is_left",
        || {
            // The hub has all of its own by now.
            sh("echo").output().unwrap();
            let before = util::open_fds();
            let mut limit = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: `limit` is there for the calls.
            assert_eq!(
                unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) },
                0
            );
            let all = limit.rlim_cur;
            let mut failures = 0;
            for room in 0..12 {
                limit.rlim_cur = (before + room) as libc::rlim_t;
                // SAFETY: as above.
                assert_eq!(
                    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) },
                    0
                );
                let output = sh("echo").output();
                limit.rlim_cur = all;
                // SAFETY: as above.
                assert_eq!(
                    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) },
                    0
                );
                match output {
                    Ok(output) => assert_eq!(output.stdout, b"\n"),
                    Err(e) => {
                        assert_eq!(e.raw_os_error(), Some(libc::EMFILE), "{e}");
                        failures += 1;
                    }
                }
                assert_eq!(util::open_fds(), before, "with room for {room}");
            }
            assert!((1..12).contains(&failures), "{failures}");
        },
    );
}

#[test]
fn nothing_is_left_of_a_child_that_was_waited_for() {
    alone("nothing_is_left_of_a_child_that_was_waited_for", || {
        util::assert_no_leak(|| {
            sh("echo out; echo err >&2").output().unwrap();
            let mut child = sleeper();
            assert_eq!(child.wait_timeout(Duration::from_millis(1)).unwrap(), None);
            child.kill().unwrap();
            assert_eq!(wait([&child], None, None).len(), 1);
            Select::new().child(&mut child, |s| s.unwrap()).wait();
            drop(
                Command::new("sleep")
                    .arg("300")
                    .kill_on_drop()
                    .spawn()
                    .unwrap(),
            );
        });
        assert!(hub::run_until_idle(Some(HOUR)));
    });
}
