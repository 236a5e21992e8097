//! Who always has something to do does not keep the others from their turn.
//!
//! Each greedy task goes on until the others are done, for far more rounds than that can take: if they starve, it gives up
//! and the test fails. Nothing here depends on how fast the machine is.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use greenloom::net::{TcpListener, TcpStream};
use greenloom::time::interval;
use greenloom::{sleep, spawn, yield_now};

const TICK: Duration = Duration::from_millis(10);
const TICKS: u32 = 5;

/// More rounds of anything than a test could need: minutes of them.
const ROUNDS: u64 = 1 << 33;

/// Spawns a task that ticks `TICKS` times; the cell says when it is done.
fn ticker() -> Rc<Cell<bool>> {
    let done = Rc::new(Cell::new(false));
    drop(spawn({
        let done = Rc::clone(&done);
        move || {
            for _ in 0..TICKS {
                sleep(TICK);
            }
            done.set(true);
        }
    }));
    done
}

fn until(done: &Cell<bool>, mut round: impl FnMut()) {
    for _ in 0..ROUNDS {
        if done.get() {
            return;
        }
        round();
    }
    panic!("the others never had a turn");
}

fn alone(f: impl FnOnce() + Send + 'static) {
    std::thread::spawn(f).join().unwrap();
}

#[test]
fn a_task_that_only_yields_does_not_keep_timers_from_going_off() {
    alone(|| {
        let done = ticker();
        spawn({
            let done = Rc::clone(&done);
            move || until(&done, yield_now)
        })
        .join()
        .unwrap();
    });
}

#[test]
fn a_task_that_only_yields_does_not_keep_sockets_from_being_read() {
    alone(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let done = Rc::new(Cell::new(false));
        drop(spawn({
            let done = Rc::clone(&done);
            move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut byte = [0];
                for _ in 0..100 {
                    stream.read_exact(&mut byte).unwrap();
                    stream.write_all(&byte).unwrap();
                }
                done.set(true);
            }
        }));
        let client = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            for i in 0..100 {
                stream.write_all(&[i]).unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                assert_eq!(byte, [i]);
            }
        });
        until(&done, yield_now);
        client.join().unwrap();
    });
}

#[test]
fn a_socket_that_is_always_ready_does_not_keep_the_others_waiting() {
    alone(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let done = ticker();
        let flood = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            // Until the reader has gone.
            while stream.write_all(&[0; 64 << 10]).is_ok() {}
        });
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 512];
        until(&done, || {
            stream.read_exact(&mut buffer).unwrap();
        });
        drop(stream);
        flood.join().unwrap();
    });
}

#[test]
fn a_task_that_writes_and_reads_its_own_socket_does_not_keep_the_others_waiting() {
    alone(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        let done = ticker();
        until(&done, || {
            here.write_all(b"x").unwrap();
            there.read_exact(&mut [0]).unwrap();
        });
    });
}

#[test]
fn a_long_queue_of_runnable_tasks_does_not_keep_a_ticker_from_its_time() {
    alone(|| {
        let done = ticker();
        let tasks: Vec<_> = (0..5_000)
            .map(|_| {
                let done = Rc::clone(&done);
                spawn(move || until(&done, yield_now))
            })
            .collect();
        for t in tasks {
            t.join().unwrap();
        }
    });
}

#[test]
fn tasks_that_spawn_their_successors_for_ever_do_not_keep_a_ticker_from_its_time() {
    fn next(done: Rc<Cell<bool>>, left: u64) {
        if !done.get() {
            assert!(left > 0, "the others never had a turn");
            drop(spawn(move || next(done, left - 1)));
        }
    }
    alone(|| {
        let done = ticker();
        next(Rc::clone(&done), ROUNDS);
        assert!(greenloom::hub::run_until_idle(None));
        assert!(done.get());
    });
}

#[test]
fn links_that_make_more_links_do_not_keep_a_ticker_from_its_time() {
    fn again(done: std::sync::Arc<std::sync::atomic::AtomicBool>, left: u64) {
        if !done.load(std::sync::atomic::Ordering::Relaxed) && left > 0 {
            let task = spawn(|| {});
            task.on_done(move |_| again(done, left - 1));
        }
    }
    alone(|| {
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        again(std::sync::Arc::clone(&done), ROUNDS);
        let mut ticks = interval(TICK);
        for _ in 0..TICKS {
            ticks.tick();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(greenloom::hub::run_until_idle(None));
    });
}

#[test]
fn a_remote_hub_that_floods_with_wakes_does_not_keep_a_ticker_from_its_time() {
    alone(|| {
        let done = ticker();
        let parker = spawn({
            let done = Rc::clone(&done);
            move || until(&done, greenloom::task::park)
        });
        let task = parker.task();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flood = std::thread::spawn({
            let stop = std::sync::Arc::clone(&stop);
            move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    task.unpark();
                    // The inbox has no bound: the flood is one that its reader can follow.
                    std::thread::yield_now();
                }
            }
        });
        parker.join().unwrap();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        flood.join().unwrap();
    });
}
