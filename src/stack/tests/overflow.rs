//! What the fault handler says, and what it leaves to others.

use std::hint::black_box;
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::{mem, ptr, thread};

use super::super::altstack::ensure_alt_stack;
use super::super::{Arena, StackSize, run_on};
use super::{alone, died_of, in_child, open, overflow, part, recurse, shown};

/// An access that has nothing to do with stacks.
fn null_dereference() {
    // SAFETY: there is none: the process is meant to fault here. Not address 0, which debug builds check.
    black_box(unsafe { ptr::with_exposed_provenance::<u8>(black_box(16)).read_volatile() });
}

/// Installs a handler as a program would have before it used this crate.
fn set_handler(handler: usize, flags: libc::c_int) {
    set_handler_of(libc::SIGSEGV, handler, flags);
}

/// The same for any signal.
fn set_handler_of(signal: libc::c_int, handler: usize, flags: libc::c_int) {
    // SAFETY: `sigaction` is plain data; the handlers below have the signature that their flags announce.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(
            libc::sigaction(signal, &raw const action, ptr::null_mut()),
            0
        );
    }
}

extern "C" fn with_info(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel, or a handler in between, passes a valid `siginfo_t`. `_exit` is safe in a handler.
    unsafe {
        let right = signal == libc::SIGSEGV && (*info).si_addr().addr() == 16 && !context.is_null();
        libc::_exit(if right { 42 } else { 1 })
    }
}

extern "C" fn without_info(signal: libc::c_int) {
    // SAFETY: `_exit` is safe in a handler.
    unsafe { libc::_exit(if signal == libc::SIGSEGV { 43 } else { 1 }) }
}

#[test]
fn an_overflow_names_task_size_and_spawn_site() {
    if part().is_some() {
        let mut arena = Arena::new();
        for _ in 0..3 {
            arena.alloc(StackSize::K64).unwrap();
        }
        let slot = arena.alloc(StackSize::K64).unwrap();
        slot.open(NonZeroU64::new(31).unwrap(), Location::caller());
        let name = "x".to_string() + &"påve".repeat(60);
        // SAFETY: the name outlives the process's last use of the slot.
        unsafe { slot.set_name(&name) };
        return overflow(slot);
    }
    let output = in_child(
        "overflow::an_overflow_names_task_size_and_spawn_site",
        "overflow",
    );
    let text = shown(&output);
    assert!(died_of(&output, libc::SIGABRT), "{text}");
    // A long name is cut between characters.
    let line = text
        .lines()
        .find(|line| line.starts_with("greenloom: "))
        .expect(&text);
    assert!(
        line.starts_with("greenloom: stack overflow in task 'xpåvepåve"),
        "{line}"
    );
    assert!(
        line.contains("vep' (id 31): its stack is 64 KiB; spawned at "),
        "{line}"
    );
    assert!(line.contains(&format!("{}:", file!())), "{line}");
    assert!(
        line.ends_with("; a larger one: Builder::stack_size"),
        "{line}"
    );
}

/// The slot is found from the address of the fault by a division within its slab.
#[test]
fn an_overflow_is_named_right_wherever_in_its_slab_the_slot_lies() {
    const NAME: &str = "overflow::an_overflow_is_named_right_wherever_in_its_slab_the_slot_lies";
    /// Slots of the first slab of each class.
    const SLOTS: [u64; 3] = [64, 16, 4];
    if let Some(part) = part() {
        let (size, at) = part.split_once(' ').unwrap();
        let (size, at): (usize, usize) = (size.parse().unwrap(), at.parse().unwrap());
        let mut arena = Arena::new();
        // All have neighbours, in the next slab too: each could be blamed.
        let slots: Vec<_> = (0..SLOTS[size] + 3)
            .map(|_| arena.alloc(StackSize::ALL[size]).unwrap())
            .collect();
        assert_eq!(arena.slabs().len(), 2);
        for (&slot, id) in slots.iter().zip(100..) {
            open(slot, id);
        }
        return overflow(slots[at]);
    }
    for (size, slots) in SLOTS.into_iter().enumerate() {
        for at in [0, slots / 2, slots - 1, slots] {
            let output = in_child(NAME, &format!("{size} {at}"));
            let text = shown(&output);
            assert!(died_of(&output, libc::SIGABRT), "{text}");
            let told = format!("stack overflow in unnamed task (id {}): ", 100 + at);
            assert!(text.contains(&told), "{told}: {text}");
        }
    }
}

#[test]
fn a_big_stack_names_the_greenlet_that_uses_it() {
    if part().is_some() {
        let mut arena = Arena::new();
        let slot = arena.alloc(StackSize::M1).unwrap();
        slot.open_auxiliary(NonZeroU64::new(8).unwrap(), Location::caller());
        // SAFETY: the name is static.
        unsafe { slot.set_name("sorter") };
        return overflow(slot);
    }
    let output = in_child(
        "overflow::a_big_stack_names_the_greenlet_that_uses_it",
        "overflow",
    );
    assert!(
        shown(&output).contains("in task 'sorter' (id 8): its stack is 1024 KiB"),
        "{}",
        shown(&output)
    );
    assert!(died_of(&output, libc::SIGABRT));
}

/// A thread that C code started has no alternate stack of its own.
#[test]
fn an_overflow_on_a_foreign_thread_is_reported() {
    extern "C" fn body(_: *mut libc::c_void) -> *mut libc::c_void {
        let mut arena = Arena::new();
        let slot = arena.alloc(StackSize::K64).unwrap();
        open(slot, 3);
        overflow(slot);
        ptr::null_mut()
    }
    if part().is_some() {
        return join_foreign(body);
    }
    let output = in_child(
        "overflow::an_overflow_on_a_foreign_thread_is_reported",
        "overflow",
    );
    assert!(
        shown(&output).contains("greenloom: stack overflow in unnamed task (id 3)"),
        "{}",
        shown(&output)
    );
    assert!(died_of(&output, libc::SIGABRT));
}

/// Runs `body` on a thread that std knows nothing of.
fn join_foreign(body: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void) {
    // SAFETY: `thread` is written; the attributes are the default ones; the body takes no argument.
    unsafe {
        let mut thread = mem::zeroed();
        assert_eq!(
            libc::pthread_create(&raw mut thread, ptr::null(), body, ptr::null_mut()),
            0
        );
        assert_eq!(libc::pthread_join(thread, ptr::null_mut()), 0);
    }
}

#[test]
fn an_alternate_stack_goes_with_its_thread() {
    extern "C" fn body(_: *mut libc::c_void) -> *mut libc::c_void {
        ensure_alt_stack().unwrap();
        let one = alt_stack();
        assert_ne!(one, 0);
        // A second call finds it.
        ensure_alt_stack().unwrap();
        assert_eq!(alt_stack(), one);
        LAST.store(one, Relaxed);
        ptr::null_mut()
    }
    static LAST: AtomicUsize = AtomicUsize::new(0);
    alone("overflow::an_alternate_stack_goes_with_its_thread", || {
        join_foreign(body);
        let last = LAST.load(Relaxed);
        assert!(
            last != 0 && !super::readable(last),
            "the alternate stack is still mapped"
        );
    });
}

/// Where the alternate stack of this thread is, or 0.
fn alt_stack() -> usize {
    // SAFETY: `stack_t` is plain data and is written.
    unsafe {
        let mut stack: libc::stack_t = mem::zeroed();
        libc::sigaltstack(ptr::null(), &raw mut stack);
        if stack.ss_flags & libc::SS_DISABLE == 0 {
            stack.ss_sp.addr()
        } else {
            0
        }
    }
}

#[test]
fn a_thread_of_std_keeps_its_alternate_stack() {
    thread::spawn(|| {
        let before = alt_stack();
        assert_ne!(before, 0);
        Arena::new().alloc(StackSize::K64).unwrap();
        assert_eq!(alt_stack(), before);
    })
    .join()
    .unwrap();
}

/// Sends this thread a SIGSEGV that claims to be about `address`.
fn forge(address: usize) {
    // SAFETY: `siginfo_t` is plain data; the kernel takes any contents from a process that signals itself. The address
    // follows the three numbers and their padding.
    unsafe {
        let mut info: libc::siginfo_t = mem::zeroed();
        info.si_code = libc::SI_QUEUE;
        (&raw mut info).cast::<usize>().add(2).write(address);
        let (process, thread) = (libc::getpid(), libc::gettid());
        libc::syscall(
            libc::SYS_rt_tgsigqueueinfo,
            process,
            thread,
            libc::SIGSEGV,
            &raw const info,
        );
    }
}

#[test]
#[cfg(not(feature = "sanitizer"))] // whose runtime has a handler of its own
fn other_faults_reach_the_previous_handler() {
    let Some(part) = part() else {
        let child = |part| in_child("overflow::other_faults_reach_the_previous_handler", part);
        let code = |part| child(part).status.code();
        assert_eq!(code("with info"), Some(42));
        assert_eq!(code("without info"), Some(43));
        for part in [
            "default",
            "ignored",
            "std",
            "sent to default",
            "stray pointer",
            "closed slot",
            "forged address",
        ] {
            let output = child(part);
            assert!(
                died_of(&output, libc::SIGSEGV),
                "{part}: {}",
                shown(&output)
            );
            assert!(
                !shown(&output).contains("greenloom:"),
                "{part}: {}",
                shown(&output)
            );
        }
        assert_eq!(code("sent and ignored"), Some(44));
        return;
    };
    match &*part {
        "with info" => set_handler(with_info as *const () as usize, libc::SA_SIGINFO),
        "without info" => set_handler(without_info as *const () as usize, 0),
        "ignored" | "sent and ignored" => set_handler(libc::SIG_IGN, 0),
        "std" => {}
        _ => set_handler(libc::SIG_DFL, 0),
    }
    let mut arena = Arena::new();
    let slots: Vec<_> = (0..4)
        .map(|_| arena.alloc(StackSize::K64).unwrap())
        .collect();
    match &*part {
        "sent to default" | "sent and ignored" => {
            // SAFETY: no memory is involved.
            unsafe { libc::raise(libc::SIGSEGV) };
            // SAFETY: ends the process.
            unsafe { libc::_exit(44) };
        }
        // Code on another stack that writes into a guard has not overflowed that slot.
        "stray pointer" => {
            open(slots[2], 7);
            // SAFETY: there is none: the process is meant to fault here.
            unsafe { ptr::with_exposed_provenance_mut::<u8>(slots[2].limit()).write_volatile(1) };
        }
        // A signal that a process sent carries what the sender put there.
        "forged address" => {
            open(slots[2], 7);
            // SAFETY: the test owns the slot.
            unsafe { run_on(slots[2], || forge(slots[2].limit())) };
        }
        // Nobody lives on the slot: there is nobody to name.
        "closed slot" => overflow(slots[2]),
        _ => null_dereference(),
    }
    unreachable!("the process went on after a fault");
}

#[test]
#[cfg(not(feature = "sanitizer"))] // whose runtime has a handler of its own
fn a_one_shot_handler_stays_one_shot() {
    extern "C" fn returns(_: libc::c_int) {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        if CALLS.fetch_add(1, Relaxed) > 0 {
            // SAFETY: ends the process; safe in a handler.
            unsafe { libc::_exit(1) };
        }
    }
    if part().is_some() {
        set_handler(returns as *const () as usize, libc::SA_RESETHAND);
        Arena::new().alloc(StackSize::K64).unwrap();
        return null_dereference();
    }
    let output = in_child("overflow::a_one_shot_handler_stays_one_shot", "fault");
    assert!(died_of(&output, libc::SIGSEGV), "{}", shown(&output));
}

#[test]
#[cfg(not(feature = "sanitizer"))] // whose runtime has a handler of its own
fn std_still_reports_overflows_of_its_own_threads() {
    extern "C" fn recurses(_: libc::c_int) {
        recurse(0);
    }
    if let Some(part) = part() {
        Arena::new().alloc(StackSize::K64).unwrap();
        if part == "thread" {
            let _ = thread::Builder::new()
                .name("deep".into())
                .spawn(|| recurse(0))
                .unwrap()
                .join();
        } else {
            // Tests have threads of their own. A signal makes the main thread, which waits for this one, recurse.
            set_handler_of(libc::SIGUSR1, recurses as *const () as usize, 0);
            // SAFETY: no memory is involved; the main thread's id is the process's.
            let sent = unsafe {
                libc::syscall(
                    libc::SYS_tgkill,
                    libc::getpid(),
                    libc::getpid(),
                    libc::SIGUSR1,
                )
            };
            assert_eq!(sent, 0);
            loop {
                thread::park();
            }
        }
        return;
    }
    for part in ["thread", "main"] {
        let output = in_child(
            "overflow::std_still_reports_overflows_of_its_own_threads",
            part,
        );
        let text = shown(&output);
        assert!(died_of(&output, libc::SIGABRT), "{text}");
        let name = if part == "thread" { "'deep'" } else { "'main'" };
        assert!(
            text.contains("has overflowed its stack") && text.contains(name),
            "{text}"
        );
        assert!(!text.contains("greenloom:"), "{text}");
    }
}
