//! `thread`: std's shape over tasks; std's own tests of threads, as this crate's code.
#![forbid(unsafe_code)]

mod util;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use greenloom::sync::mpsc;
use greenloom::task::{self, JoinError};
use greenloom::thread::{self, Builder, JoinHandle, ScopedJoinHandle, Thread, ThreadId};
use util::Drops;

/// One program for both: only the `use` line differs.
macro_rules! std_program {
    ($name:ident, $root:ident) => {
        #[test]
        fn $name() {
            use $root::sync::{Arc, Mutex, mpsc};
            use $root::thread;
            use $root::time::Duration;

            // Spawned with and without a name, joined, told apart.
            let named = thread::Builder::new()
                .name("ada".to_owned())
                .stack_size(100_000)
                .spawn(|| thread::current().name().map(str::to_owned))
                .unwrap();
            assert_eq!(named.thread().name(), Some("ada"));
            assert_eq!(named.join().unwrap().as_deref(), Some("ada"));
            let unnamed = thread::spawn(|| thread::current().name().is_none());
            assert!(unnamed.thread().name().is_none());
            assert!(unnamed.join().unwrap());
            let ids = [1, 2].map(|_| thread::spawn(|| thread::current().id()).join().unwrap());
            assert_ne!(ids[0], ids[1]);
            assert_ne!(ids[0], thread::current().id());
            assert_eq!(thread::current().id(), thread::current().id());

            // A panic is the result of the join, payload and all.
            let text = thread::spawn(|| std::panic::resume_unwind(Box::new("text")));
            assert_eq!(
                *text.join().unwrap_err().downcast::<&str>().unwrap(),
                "text"
            );
            let number = thread::spawn(|| std::panic::resume_unwind(Box::new(7_u8)));
            let number: thread::Result<()> = number.join();
            assert_eq!(*number.unwrap_err().downcast::<u8>().unwrap(), 7);

            // The token: before, during, several as one; and times.
            thread::current().unpark();
            thread::current().unpark();
            thread::park();
            let me = thread::current();
            let other = thread::spawn(move || me.unpark());
            thread::park();
            other.join().unwrap();
            thread::park_timeout(Duration::from_millis(1));
            thread::current().unpark();
            thread::park_timeout(Duration::from_secs(3600));

            // Messages from ten, each behind the one before it.
            let (sender, receiver) = mpsc::channel();
            let handles: Vec<thread::JoinHandle<()>> = (0..10)
                .map(|n| {
                    let sender = sender.clone();
                    thread::spawn(move || sender.send(n).unwrap())
                })
                .collect();
            drop(sender);
            for handle in handles {
                handle.join().unwrap();
            }
            let mut got: Vec<i32> = receiver.iter().collect();
            got.sort_unstable();
            assert_eq!(got, (0..10).collect::<Vec<_>>());

            // A scope: borrows, spawns from within, results that are joined or not.
            let total = Mutex::new(0);
            let (one, two) = (1, 2);
            let sum = thread::scope(|s| {
                let first = s.spawn(|| {
                    s.spawn(|| *total.lock().unwrap() += two);
                    *total.lock().unwrap() += one;
                    one
                });
                let second: thread::ScopedJoinHandle<'_, i32> = thread::Builder::new()
                    .name("second".to_owned())
                    .spawn_scoped(s, || two)
                    .unwrap();
                assert_eq!(second.thread().name(), Some("second"));
                first.join().unwrap() + second.join().unwrap()
            });
            assert_eq!((sum, total.into_inner().unwrap()), (3, 3));

            // A flag, and one that waits until it is finished.
            let flag = Arc::new(Mutex::new(()));
            let guard = flag.lock().unwrap();
            let waiting = {
                let flag = Arc::clone(&flag);
                thread::spawn(move || drop(flag.lock().unwrap()))
            };
            assert!(!waiting.is_finished());
            drop(guard);
            while !waiting.is_finished() {
                thread::yield_now();
            }
            waiting.join().unwrap();

            thread::sleep(Duration::from_millis(1));
            assert!(!thread::panicking());
            assert!(thread::available_parallelism().unwrap().get() >= 1);
        }
    };
}
std_program!(a_std_program_with_std, std);
std_program!(a_std_program_with_ours, greenloom);

mod locals {
    use super::*;
    use greenloom::thread_local;

    thread_local! {
        static COUNT: Cell<u32> = const { Cell::new(1) };
        static LOG: RefCell<Vec<u32>> = RefCell::new(Vec::new());
    }

    #[test]
    fn each_task_has_its_own() {
        COUNT.set(5);
        let other = thread::spawn(|| {
            LOG.with_borrow_mut(|log| log.push(COUNT.get()));
            COUNT.with(|count| count.set(9));
            LOG.take()
        });
        assert_eq!(other.join().unwrap(), [1]);
        assert_eq!(COUNT.replace(6), 5);
        assert_eq!(COUNT.take(), 6);
        assert!(LOG.with_borrow(Vec::is_empty));
        assert!(COUNT.try_with(Cell::get).is_ok());
    }

    #[test]
    fn a_destructor_sees_that_its_own_key_is_gone() {
        struct Last(Rc<Cell<bool>>);
        impl Drop for Last {
            fn drop(&mut self) {
                let gone: Result<(), thread::AccessError> = LAST.try_with(|_| ());
                self.0.set(gone.is_err());
            }
        }
        thread_local!(static LAST: RefCell<Option<Last>> = const { RefCell::new(None) });
        let seen = Rc::new(Cell::new(false));
        let inner = Rc::clone(&seen);
        thread::spawn(move || LAST.with_borrow_mut(|last| *last = Some(Last(inner))))
            .join()
            .unwrap();
        assert!(seen.get());
    }
}

#[test]
fn what_is_send_and_what_is_sync() {
    fn shared<T: Send + Sync>() {}
    shared::<JoinHandle<u8>>();
    shared::<Thread>();
    shared::<ThreadId>();
    shared::<Builder>();
    fn payload<T: Any + Send>() {}
    payload::<JoinError>();
}

#[test]
fn what_is_spawned_need_not_be_send() {
    let shared = Rc::new(Cell::new(1));
    let inner = Rc::clone(&shared);
    let task: JoinHandle<Rc<Cell<i32>>> = thread::spawn(move || {
        inner.set(2);
        inner
    });
    assert!(Rc::ptr_eq(&task.join().unwrap(), &shared));
    assert_eq!(shared.get(), 2);
}

#[test]
fn a_task_runs_when_the_caller_gives_way() {
    let ran = Rc::new(Cell::new(false));
    let inner = Rc::clone(&ran);
    let task = thread::spawn(move || inner.set(true));
    assert!(!ran.get() && !task.is_finished());
    thread::yield_now();
    assert!(ran.get() && task.is_finished());
    task.join().unwrap();
}

#[test]
fn stack_sizes_round_up_and_end() {
    for asked in [0, 1, 65_536, 65_537, 1 << 20] {
        let task = Builder::new().stack_size(asked).spawn(|| 1).unwrap();
        assert_eq!(task.join().unwrap(), 1);
    }
    let drops = Drops::new();
    let guard = drops.guard();
    let error = Builder::new()
        .stack_size((1 << 20) + 1)
        .spawn(move || drop(guard))
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(drops.alive(), 0);
}

#[test]
fn a_rounded_stack_is_as_deep_as_was_asked_for() {
    #[inline(never)]
    fn deep(left: usize) -> usize {
        let page = std::hint::black_box([1_u8; 4096]);
        if left == 0 {
            return usize::from(page[0]);
        }
        deep(left - 1) + usize::from(page[left % 4096])
    }
    let task = Builder::new().stack_size(500_000).spawn(|| deep(100));
    assert_eq!(task.unwrap().join().unwrap(), 101);
}

#[test]
fn killed_is_an_error_that_says_so() {
    let killed = |payload: Box<dyn Any + Send>| {
        matches!(payload.downcast_ref::<JoinError>(), Some(JoinError::Killed))
    };
    // Before it began, and while it waits.
    let drops = Drops::new();
    let guard = drops.guard();
    let unstarted = thread::spawn(move || drop(guard));
    unstarted.kill();
    assert!(killed(unstarted.join().unwrap_err()));
    assert_eq!(drops.alive(), 0);
    let parked = thread::spawn(thread::park);
    thread::yield_now();
    parked.kill();
    parked.kill();
    assert!(killed(parked.join().unwrap_err()));
    // A kill that comes too late changes nothing.
    let done = thread::spawn(|| 3);
    thread::yield_now();
    done.kill();
    assert_eq!(done.join().unwrap(), 3);
}

#[test]
fn a_join_with_a_time_hands_the_handle_back() {
    let parked = thread::spawn(|| {
        thread::park();
        7
    });
    let parked = parked.join_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(!parked.is_finished());
    parked.thread().unpark();
    let joined = parked.join_timeout(Duration::from_secs(3600)).unwrap();
    assert_eq!(joined.unwrap(), 7);
}

#[test]
fn handles_convert_both_ways() {
    let plain: task::JoinHandle<u8> = thread::spawn(|| 1).into();
    let threaded = JoinHandle::from(plain);
    assert_eq!(threaded.thread().id(), threaded.thread().clone().id());
    assert_eq!(threaded.join().unwrap(), 1);
}

#[test]
fn names_ids_and_the_list_of_the_living() {
    let parked: Vec<_> = ["a", "b"]
        .map(|name| {
            Builder::new()
                .name(name.into())
                .daemon()
                .spawn(thread::park)
        })
        .into_iter()
        .map(Result::unwrap)
        .collect();
    thread::yield_now();
    let infos = task::list();
    let names: HashSet<_> = infos.iter().filter_map(|i| i.name.as_deref()).collect();
    assert_eq!(names, HashSet::from(["a", "b"]));
    assert!(infos.iter().all(|i| i.daemon));
    assert_eq!((task::count(), infos.len()), (2, 2));
    let ids: HashSet<_> = infos.iter().map(|i| i.id).collect();
    assert!(parked.iter().all(|p| ids.contains(&p.thread().id())));
    assert_eq!(thread::current_id(), thread::current().id());
    for task in parked {
        task.thread().unpark();
        task.join().unwrap();
    }
    assert_eq!(task::count(), 0);
}

#[test]
fn debug_tells_name_and_state() {
    let task = Builder::new().name("grace".into()).spawn(|| ()).unwrap();
    let text = format!("{task:?}");
    assert!(text.contains("grace") && text.contains("finished: false"));
    assert!(format!("{:?}", task.thread()).contains("grace"));
    assert!(!format!("{:?}", Builder::new()).is_empty());
    task.join().unwrap();
    thread::scope(|s| {
        let task = s.spawn(|| ());
        assert!(format!("{s:?} {task:?}").contains("Scope"));
    });
}

/// The cycle of tokens that std tests between two threads.
#[test]
fn unpark_by_another_thread_ends_a_park() {
    for _ in 0..10 {
        let waiter = thread::current();
        let other = std::thread::spawn(move || waiter.unpark());
        thread::park();
        other.join().unwrap();
    }
    // And the other way round: a plain thread parks by its own hub, which it gets here.
    let (sender, receiver) = std::sync::mpsc::channel();
    let parked = std::thread::spawn(move || {
        sender.send(thread::current()).unwrap();
        thread::park();
    });
    receiver.recv().unwrap().unpark();
    parked.join().unwrap();
}

#[test]
fn a_token_is_no_wake_of_another_wait() {
    let (sender, receiver) = mpsc::channel::<u8>();
    let task = thread::spawn(move || {
        let got = receiver.recv().unwrap();
        // Its token was left during that wait.
        thread::park();
        got
    });
    thread::yield_now();
    task.thread().unpark();
    thread::yield_now();
    assert!(!task.is_finished());
    sender.send(4).unwrap();
    assert_eq!(task.join().unwrap(), 4);
}

#[test]
fn a_task_spawns_a_task_and_outlives_it_or_not() {
    fn generation(n: u32, done: mpsc::Sender<u32>) {
        if n == 0 {
            done.send(0).unwrap();
        } else {
            thread::spawn(move || generation(n - 1, done));
        }
    }
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || generation(16, sender));
    assert_eq!(receiver.recv(), Ok(0));
}

#[test]
fn a_scope_drops_a_result_that_nobody_joins_before_it_ends() {
    let drops = Drops::new();
    thread::scope(|s| {
        s.spawn(|| drops.local_guard());
        let kept = s.spawn(|| drops.local_guard());
        while !kept.is_finished() {
            thread::yield_now();
        }
        drop(kept);
    });
    assert_eq!(drops.alive(), 0);
}

#[test]
fn a_scope_reports_a_panic_that_nobody_joined() {
    let scoped = || {
        thread::scope(|s| {
            s.spawn(|| resume_unwind(Box::new("lost")));
        })
    };
    let payload = catch_unwind(AssertUnwindSafe(scoped)).unwrap_err();
    assert!(payload.downcast_ref::<&str>().unwrap().contains("panicked"));
    // One that is joined is not the scope's any more.
    let joined = thread::scope(|s| {
        let task: ScopedJoinHandle<'_, ()> = s.spawn(|| resume_unwind(Box::new(1_u8)));
        task.join()
    });
    assert!(joined.unwrap_err().is::<u8>());
}

#[test]
fn a_scoped_task_is_killed_and_unparked_by_its_handle() {
    thread::scope(|s| {
        let killed = s.spawn(thread::park);
        let woken = s.spawn(thread::park);
        thread::yield_now();
        killed.kill();
        woken.thread().unpark();
        let payload = killed.join().unwrap_err();
        assert!(matches!(payload.downcast_ref(), Some(JoinError::Killed)));
        woken.join().unwrap();
    });
}

#[test]
fn panicking_is_the_tasks_own() {
    struct Waits(Rc<Cell<Option<bool>>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            thread::yield_now();
            self.0.set(Some(thread::panicking()));
        }
    }
    let own = Rc::new(Cell::new(None));
    let waits = Waits(Rc::clone(&own));
    let failing = thread::spawn(move || {
        let _waits = waits;
        resume_unwind(Box::new(()))
    });
    let calm = thread::spawn(|| (thread::panicking(), std::thread::panicking()));
    assert_eq!(calm.join().unwrap(), (false, true));
    assert!(failing.join().is_err());
    assert_eq!(own.get(), Some(true));
    assert!(!thread::panicking());
}
