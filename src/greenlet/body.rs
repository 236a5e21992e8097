//! The typed part of a greenlet: its body before it runs, its value after, in one place below the control block.
//!
//! ```text
//! unstarted        running        returned, not fetched
//! | body F  |      | (empty) |    | value Out |           bodies and values over 1 KiB are boxed
//! ```
//!
//! Small bodies of tasks lie in their seed instead (seed.rs), before and after, and do not move when it gets a stack.
//!
//! Everything here is generic over types that the rest of the engine has forgotten; the table in the control block is
//! what remembers them. Inbox numbers tie the types together: an outcome addressed to inbox *i* has *i*'s type, since
//! both ends were made by one typed call.
//!
//! This file may not switch.

use core::alloc::Layout;
use core::any::TypeId;
use core::marker::PhantomData;
use core::panic::Location;
use std::io;

use super::control::{BodyTable, ControlRef, Ending, Payload};
use super::current::Current;
use super::ending;
use super::engine::{self, Birth};
use super::error::SwitchError;
use super::hot::{Hot, hot};
use super::interrupt::KillPayload;
use super::seed::{self, AREA, AREA_ALIGN, SeedRef, Subject};
use super::{report, switching, trace};

/// Larger bodies and values live in a box.
const INLINE_MAX: usize = 1024;
/// Stricter alignments too.
const ALIGN_MAX: usize = 64;

const fn boxed<T>() -> bool {
    size_of::<T>() > INLINE_MAX || align_of::<T>() > ALIGN_MAX
}

const fn layout_of<T>() -> Layout {
    if boxed::<T>() {
        Layout::new::<Box<T>>()
    } else {
        Layout::new::<T>()
    }
}

/// Room for either, with the control block's own word for the inbox type behind it.
const fn layout<F, Out>() -> Layout {
    let (a, b) = (layout_of::<F>(), layout_of::<Out>());
    let size = if a.size() > b.size() {
        a.size()
    } else {
        b.size()
    };
    let align = if a.align() > b.align() {
        a.align()
    } else {
        b.align()
    };
    match Layout::from_size_align(size, align) {
        Ok(l) => l,
        Err(_) => panic!("no such layout"),
    }
}

/// # Safety
/// `at` is free and has room and alignment for `layout_of::<T>()`.
#[inline(always)]
unsafe fn put<T>(at: *mut u8, value: T) {
    // SAFETY: the caller's promise.
    unsafe {
        if boxed::<T>() {
            at.cast::<Box<T>>().write(Box::new(value));
        } else {
            at.cast::<T>().write(value);
        }
    }
}

/// # Safety
/// `put::<T>` filled `at`, and nobody took it since.
#[inline(always)]
unsafe fn take<T>(at: *mut u8) -> T {
    // SAFETY: the caller's promise.
    unsafe {
        if boxed::<T>() {
            *at.cast::<Box<T>>().read()
        } else {
            at.cast::<T>().read()
        }
    }
}

/// The body of a task or generator: takes no first message.
pub(crate) struct Plain<F, Out>(PhantomData<(F, Out)>);

/// The inbox type of what has no inbox.
enum NoInbox {}

/// The body of a greenlet: takes a first message and a `Current`.
struct Switching<F, In, Out>(PhantomData<(F, In, Out)>);

impl<F: FnOnce() -> Out, Out> Plain<F, Out> {
    const fn table(finish: fn(ControlRef)) -> BodyTable {
        BodyTable {
            run: run_plain::<F, Out>,
            drop_body: drop_as::<F>,
            drop_value: drop_as::<Out>,
            value_needs_drop: core::mem::needs_drop::<Out>() || boxed::<Out>(),
            inbox_type: TypeId::of::<NoInbox>,
            finish,
        }
    }
}

/// How a kind of plain greenlet ends; a type, so that its table is a constant.
pub(crate) trait Finish {
    /// Called last on the dying greenlet's stack: see `BodyTable::finish`.
    fn finish(c: ControlRef);
}

struct PlainTable<F, Out, E>(PhantomData<(F, Out, E)>);

impl<F: FnOnce() -> Out, Out, E: Finish> PlainTable<F, Out, E> {
    const TABLE: &'static BodyTable = &Plain::<F, Out>::table(E::finish);
}

impl<F, In, Out> Switching<F, In, Out>
where
    F: FnOnce(&Current<In, Out>, In) -> Out,
{
    const TABLE: &'static BodyTable = &BodyTable {
        run: run_switching::<F, In, Out>,
        drop_body: drop_as::<F>,
        drop_value: drop_as::<Out>,
        value_needs_drop: core::mem::needs_drop::<Out>() || boxed::<Out>(),
        inbox_type: typeid::of::<In>,
        finish: ending::finish,
    };
}

/// An unbound greenlet: its table until it is bound.
const UNBOUND: &BodyTable = &BodyTable {
    run: |_| {},
    drop_body: |_| {},
    drop_value: |_| {},
    value_needs_drop: false,
    inbox_type: TypeId::of::<NoInbox>,
    finish: ending::finish,
};

/// # Safety
/// What lies at `at` is a `T`, as `put` left it.
unsafe fn drop_as<T>(at: *mut u8) {
    // SAFETY: the caller's promise.
    drop(unsafe { take::<T>(at) });
}

/// # Safety
/// What lies in `c`'s body place is an `F`; it is not taken yet.
unsafe fn run_plain<F: FnOnce() -> Out, Out>(c: ControlRef) {
    run(c, || {
        // SAFETY: the caller's promise; the taken body leaves room for an `Out`.
        unsafe {
            let body = take::<F>(c.body.get());
            // What the trace function panics with goes on here.
            trace::woken(c);
            put::<Out>(c.body.get(), body());
        }
    });
}

/// # Safety
/// What lies in `c`'s body place is an `F`; control arrived at `c`'s own inbox, whose type is `In`.
unsafe fn run_switching<F, In, Out>(c: ControlRef)
where
    F: FnOnce(&Current<In, Out>, In) -> Out,
{
    run(c, || {
        let hot = hot();
        let inbox = c.own_inbox.get();
        let current = Current::new(c, inbox);
        // SAFETY: the caller's promise. Taken first, so that a kill that comes with the first message drops it.
        let body = unsafe { take::<F>(c.body.get()) };
        let special = super::control::attention::KIND | super::control::attention::TRACE;
        let first = if c.attention.get() & special != 0 {
            // SAFETY: the inbox has type `In`.
            match unsafe { switching::arrive::<In>(hot, c, inbox) } {
                Ok(first) => first,
                Err(_) => std::panic::resume_unwind(Box::new(KillPayload)),
            }
        } else {
            // SAFETY: an ordinary value of the inbox's type is in flight.
            unsafe { switching::take_message::<In>(hot) }
        };
        let value = body(&current, first);
        // SAFETY: the taken body leaves room for an `Out`.
        unsafe { put::<Out>(c.body.get(), value) };
    });
}

/// Runs `body`, which leaves its value in the body's place, and stores how it ended.
///
/// The value does not come through here: without optimisation each frame on the way would hold copies of it, and a
/// message of a kilobyte would take most of a stack.
#[inline(always)]
fn run(c: ControlRef, body: impl FnOnce()) {
    match engine::caught(body) {
        Ok(()) => c.ending.set(Ending::Returned),
        Err(payload) => record_panic(c, payload),
    }
}

#[cold]
fn record_panic(c: ControlRef, payload: Payload) {
    if payload.is::<KillPayload>() {
        c.ending.set(Ending::Exited);
    } else {
        c.set_payload(payload);
        c.ending.set(Ending::Panicked);
    }
}

/// How a greenlet ended, fetched.
pub(crate) enum Outcome<T> {
    Returned(T),
    Panicked(Payload),
    Exited,
}

/// Moves the outcome out of what is dead, and gives its place back.
///
/// # Safety
/// `T` is the type of what it returns.
#[inline]
pub(crate) unsafe fn fetch<T>(hot: &'static Hot, dead: impl Into<Subject>) -> Outcome<T> {
    let dead = dead.into();
    // SAFETY: the caller's promise.
    let outcome = unsafe { take_outcome::<T>(dead) };
    dead.release(hot);
    outcome
}

/// Moves the outcome out of the seed at `address`, whose thread has ended since; `None` if it did not end before that.
///
/// # Safety
/// `address` came from [`Subject::address`] of the task with this id, whose outcome was neither fetched nor given up,
/// and is fetched by nobody else. Its hub has closed. `T` is the type of what it returns, and may be on this thread.
pub(crate) unsafe fn fetch_left<T>(address: usize, id: u64) -> Option<Outcome<T>> {
    // SAFETY: the caller's promise.
    unsafe { Some(take_outcome::<T>(SeedRef::left(address, id)?.into())) }
}

/// # Safety
/// `T` is the type of what it returns.
#[inline(always)]
unsafe fn take_outcome<T>(dead: Subject) -> Outcome<T> {
    let ending = dead.take_ending();
    if ending == Ending::Returned {
        // SAFETY: `run` put it there; the caller knows the type; `ending` says that it was not taken yet.
        Outcome::Returned(unsafe { take::<T>(dead.body()) })
    } else {
        match dead.take_payload(ending) {
            Some(p) => Outcome::Panicked(p),
            None => Outcome::Exited,
        }
    }
}

/// Drops an outcome that nobody will fetch; reports it if it is a panic. Runs user code; swallows what it panics with.
pub(crate) fn discard(dead: impl Into<Subject>) {
    let dead = dead.into();
    let ending = dead.take_ending();
    match ending {
        Ending::Returned => {
            if let Some(table) = dead.table().filter(|t| t.value_needs_drop) {
                // SAFETY: the table's type, and `ending` says that the value was not taken.
                if let Err(payload) = engine::caught(|| unsafe { (table.drop_value)(dead.body()) })
                {
                    report::unobserved(dead, payload);
                }
            }
        }
        Ending::Panicked => {
            if let Some(payload) = dead.take_payload(ending) {
                report::unobserved(dead, payload);
            }
        }
        Ending::Exited | Ending::None => {}
    }
}

/// Whether dropping what it ended with may run code of others.
#[inline]
pub(crate) fn discard_runs_code(dead: impl Into<Subject>) -> bool {
    let dead = dead.into();
    match dead.ending() {
        Ending::Returned => dead.table().is_some_and(|t| t.value_needs_drop),
        Ending::Panicked => true,
        Ending::Exited | Ending::None => false,
    }
}

/// Drops a body that never ran. A panic in the destructor of a capture is reported, never thrown at who ends it.
pub(crate) fn drop_unstarted(c: ControlRef) {
    if let Some(table) = c.table.get() {
        // SAFETY: the body is in place until it runs, and it never will.
        if let Err(payload) = engine::caught(|| unsafe { (table.drop_body)(c.body.get()) }) {
            report::unobserved(c, payload);
        }
    }
}

/// Whether a task with this body and this value fits into a seed.
pub(crate) const fn fits_seed<F, Out>() -> bool {
    let layout = layout::<F, Out>();
    // What is boxed in a slot is small, and would be boxed in a seed as well.
    !boxed::<F>() && !boxed::<Out>() && layout.size() <= AREA && layout.align() <= AREA_ALIGN
}

/// Makes a task that is queued without a stack: it gets one when its turn comes.
///
/// # Errors
/// No stack could be promised; the body is dropped.
///
/// # Safety
/// [`fits_seed`] says so; what `body` borrows must outlive the greenlet, and `E::finish` must suit `Out`.
#[inline]
pub(crate) unsafe fn sow<F, Out, E>(
    hot: &'static Hot,
    site: &'static Location<'static>,
    body: F,
) -> io::Result<SeedRef>
where
    F: FnOnce() -> Out,
    E: Finish,
{
    let seed = seed::begin(hot, site, PlainTable::<F, Out, E>::TABLE)?;
    // SAFETY: the area of a new seed is free, and has room and alignment (the caller's promise).
    unsafe { put::<F>(seed.area(), body) };
    hot.queue.push(seed);
    Ok(seed)
}

/// Makes a greenlet whose body takes no message; the caller starts it.
///
/// # Errors
/// No stack could be had; the body is dropped.
///
/// # Safety
/// What `body` borrows must outlive the greenlet, and `E::finish` must suit `Out`.
#[inline]
pub(crate) unsafe fn create_plain<F, Out, E>(
    hot: &'static Hot,
    birth: Birth,
    body: F,
) -> io::Result<ControlRef>
where
    F: FnOnce() -> Out,
    E: Finish,
{
    let layout = const { layout::<F, Out>() };
    // SAFETY: the body is put in place below; the caller vouches for its borrows.
    unsafe {
        let c = engine::create(hot, birth, PlainTable::<F, Out, E>::TABLE, layout)?;
        put::<F>(c.body.get(), body);
        Ok(c)
    }
}

/// Makes a greenlet that starts when the first message comes to its inbox, and returns it with the inbox.
///
/// # Errors
/// No stack could be had; the body is dropped.
///
/// # Safety
/// What `body` borrows must outlive the greenlet; the parent inbox set later must be of type `Out`.
pub(super) unsafe fn create_switching<F, In, Out>(
    hot: &'static Hot,
    birth: Birth,
    body: F,
) -> io::Result<ControlRef>
where
    F: FnOnce(&Current<In, Out>, In) -> Out,
{
    let layout = const { layout::<F, Out>() };
    // SAFETY: as in `create_plain`.
    let c = unsafe { engine::create(hot, birth, Switching::<F, In, Out>::TABLE, layout)? };
    // SAFETY: the place was made for it.
    unsafe { put::<F>(c.body.get(), body) };
    let inbox = hot.serial();
    c.set_flag(super::control::flag::COLD);
    c.own_inbox.set(inbox);
    c.waiting.set(inbox);
    Ok(c)
}

/// Makes a greenlet without a body, with room for any body (boxed) and an `Out`.
///
/// # Errors
/// No stack could be had.
pub(super) fn create_unbound<Out>(hot: &'static Hot, birth: Birth) -> io::Result<ControlRef> {
    let layout = const { layout::<Box<()>, Out>() };
    // SAFETY: the table of an unbound greenlet runs nothing, and `waiting` 0 keeps everybody from switching to it.
    let c = unsafe { engine::create(hot, birth, UNBOUND, layout)? };
    c.set_flag(super::control::flag::COLD);
    c.own_inbox.set(hot.serial());
    Ok(c)
}

/// Gives an unbound greenlet its body.
///
/// # Safety
/// `c` is unbound and was made for this `Out`; what `body` borrows must outlive the greenlet.
pub(super) unsafe fn bind<F, In, Out>(c: ControlRef, body: F)
where
    F: FnOnce(&Current<In, Out>, In) -> Out,
{
    // Boxed whatever its size: the place was made before its type was known.
    let body = Box::new(body);
    let body = move |current: &Current<In, Out>, first: In| body(current, first);
    bind_sized(c, body);

    fn bind_sized<F, In, Out>(c: ControlRef, body: F)
    where
        F: FnOnce(&Current<In, Out>, In) -> Out,
    {
        debug_assert_eq!(size_of::<F>(), size_of::<Box<()>>());
        // SAFETY: the closure captures one box, for which `create_unbound` left room.
        unsafe { put::<F>(c.body.get(), body) };
        c.table.set(Some(Switching::<F, In, Out>::TABLE));
    }
    c.clear_flag(super::control::flag::UNBOUND);
    c.waiting.set(c.own_inbox.get());
}

impl<T> SwitchError<T> {
    /// How control came without a value, as an error of the wait.
    pub(super) fn from_arrival(arrival: switching::Arrival) -> Self {
        match arrival {
            switching::Arrival::Exited => SwitchError::Exited,
            switching::Arrival::Deadlock(d) => SwitchError::Deadlock(d),
        }
    }
}
