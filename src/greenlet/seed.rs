//! Seeds: tasks that need no stack yet, or no longer.
//!
//! A task that never ran is a body and a place in the run queue; one that has ended is a value. Neither needs a stack, nor
//! the page of memory that each stack takes. So a small task begins and ends as a seed of two cache lines. When its turn
//! comes it gets a control block in a slot, the one freed last; when it ends it gives that back. A batch of short tasks
//! runs on the same few stacks, which stay in the cache, however many there are.
//!
//! ```text
//! spawn          turn comes                     end                     fetched
//! seed ────────► seed ──control──► slot ──────► seed ─────────────────► (free)
//! | body |       | body, then value |           | value |
//! ```
//!
//! | state     | in the run queue                  | `control` | the area holds      | slot       |
//! | --------- | --------------------------------- | --------- | ------------------- | ---------- |
//! | Free      | no                                | none      | nothing             | none       |
//! | Unstarted | yes                               | none      | the body            | promised   |
//! | Started   | as its control block (see below)  | some      | body, nothing, value | taken      |
//! | Finished  | no                                | none      | what `ending` says  | given back |
//! | Left      | no                                | none      | what `ending` says  | given back |
//!
//! Every other combination is forbidden. The stack of an unstarted one is promised by the arena ([`begin`] fails
//! otherwise), so that it is there when it is needed. Somebody may ask more of an unstarted task than a seed can do (a
//! link, an `unpark`): then it gets its control block early ([`Subject::control`]), Runnable, and queued by the entry
//! that the seed has already. Who comes to that entry takes the control block instead (invariant 3: one entry, one
//! state).
//!
//! What else is asked of it meanwhile is kept here: who joins (`joiner`), whether anybody will (`handle`), a kill
//! (`killed`), and after the end the name that the task gave itself, which a report of it wants (`name`). The body is in
//! the area from the first to the last, so that nothing moves when a stack comes or goes; the control block's `body`
//! points into the seed, and leads back to it.
//!
//! Seeds are never unmapped while their thread lives, and valid whatever a stale handle finds there, as control blocks are
//! (control.rs). Other threads read state and id, inside the hub's gate.
//!
//! When the thread ends, what is not Free stays where it is. An outcome that nobody has asked for by then is Left to its
//! handle, wherever that is: the hub has closed and read its last message, so nothing of the old thread looks there any
//! more, except on behalf of a handle whose holder waits for just that. The handle, which is one, takes it out.
//!
//! This file does not switch and runs no code of others.

use core::cell::{Cell, UnsafeCell};
use core::mem::{MaybeUninit, offset_of};
use core::num::NonZeroU64;
use core::panic::Location;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, Ordering};
use std::io;
use std::sync::Arc;

use slab::Slab;

use super::control::{BodyTable, ControlRef, Ending, IdCell, Payload, State, attention, flag};
use super::engine::{self, Birth};
use super::hot::{Hot, hot};
use crate::stack::StackSize;

/// How often a handle looks whether an ending thread has left an outcome: from `close` to `leave` are a few messages.
const PATIENCE: u32 = 1 << 12;

/// Room for a body, then its value or the payload of its panic.
pub(super) const AREA: usize = 80;
/// The area's alignment.
pub(super) const AREA_ALIGN: usize = 16;

/// Every seed's stack is of this class.
const SIZE: StackSize = StackSize::K64;

/// See the table at the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Stage {
    Free = 0,
    Unstarted,
    Started,
    Finished,
    Left,
}

#[repr(C, align(16))]
struct Area(UnsafeCell<MaybeUninit<[u8; AREA]>>);

/// See the file's head.
#[repr(C, align(64))]
pub(crate) struct Seed {
    /// A `Stage`.
    stage: AtomicU8,
    ending: Cell<Ending>,
    /// What is known of its handle, for the layer above.
    handle: Cell<u8>,
    killed: Cell<bool>,
    /// Of a Finished one: 1 more than the place in `Seeds::names` of the name that its task had; 0 if it had none.
    name: Cell<u32>,
    id: IdCell,
    control: Cell<Option<ControlRef>>,
    table: Cell<Option<&'static BodyTable>>,
    site: Cell<Option<&'static Location<'static>>>,
    /// Who joins it, for the layer above.
    joiner: Cell<*const ()>,
    area: Area,
}

const _: () = assert!(size_of::<Seed>() == 128 || usize::BITS != 64);
const _: () = assert!(size_of::<Payload>() <= AREA && align_of::<Payload>() <= AREA_ALIGN);
const _: () = assert!(align_of::<Area>() == AREA_ALIGN && AREA_ALIGN <= align_of::<Seed>());

impl Seed {
    const fn new() -> Self {
        Self {
            stage: AtomicU8::new(Stage::Free as u8),
            ending: Cell::new(Ending::None),
            handle: Cell::new(0),
            killed: Cell::new(false),
            name: Cell::new(0),
            id: IdCell::new(0),
            control: Cell::new(None),
            table: Cell::new(None),
            site: Cell::new(None),
            joiner: Cell::new(ptr::null()),
            area: Area(UnsafeCell::new(MaybeUninit::uninit())),
        }
    }

    #[inline(always)]
    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Free,
            1 => Stage::Unstarted,
            2 => Stage::Started,
            3 => Stage::Finished,
            _ => Stage::Left,
        }
    }

    #[inline(always)]
    fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }
}

/// A seed of this thread. Copy, one word, `!Send`; may be stale (see the file's head).
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct SeedRef(&'static Seed);

impl SeedRef {
    /// The area, as a pointer that may also be written through, and that leads back to the seed.
    #[inline(always)]
    pub(super) fn area(self) -> *mut u8 {
        ptr::from_ref(self.0)
            .cast_mut()
            .cast::<u8>()
            .wrapping_add(offset_of!(Seed, area))
    }

    /// The seed from which the running or dead `c` has grown.
    ///
    /// # Panics
    /// If it has not.
    #[inline]
    fn of(c: ControlRef) -> Self {
        assert!(c.has(flag::SEEDED), "a greenlet without a seed");
        let at = c.body.get().wrapping_sub(offset_of!(Seed, area));
        // SAFETY: the flag says that `body` came from `area` of a seed, which is mapped while the thread lives.
        Self(unsafe { &*at.cast::<Seed>() })
    }

    /// The seed at `address`, of a thread that has ended since, if its task had ended before and left its outcome there.
    ///
    /// If that thread is ending just now, gives it a moment.
    ///
    /// # Safety
    /// As for `body::fetch_left`.
    pub(super) unsafe fn left(address: usize, id: u64) -> Option<Self> {
        if address & SEED == 0 {
            return None;
        }
        let at = ptr::with_exposed_provenance::<Seed>(address & !SEED);
        // SAFETY: the outcome was not fetched, so the seed is not Free and stayed mapped (`drop` of `Seeds`). Nothing but
        // the two atomics is looked at before it is Left (Release, Acquire), and nobody else's after that (the file's head).
        let seed = Self(unsafe { &*at });
        for _ in 0..PATIENCE {
            if seed.0.id.get() != id {
                return None;
            }
            match seed.0.stage() {
                Stage::Left => return Some(seed),
                Stage::Finished => std::thread::yield_now(),
                Stage::Free | Stage::Unstarted | Stage::Started => return None,
            }
        }
        None
    }

    /// Its task's id.
    #[inline]
    pub(crate) fn id(self) -> u64 {
        self.0.id.get()
    }

    /// Where it was spawned.
    pub(crate) fn site(self) -> Option<&'static Location<'static>> {
        self.0.site.get()
    }

    /// What it runs and what becomes of it.
    #[inline]
    pub(super) fn table(self) -> Option<&'static BodyTable> {
        self.0.table.get()
    }

    /// Whether its end was asked for.
    #[inline]
    pub(super) fn is_killed(self) -> bool {
        self.0.killed.get()
    }

    /// The control block, if it has one at the moment.
    #[inline]
    pub(crate) fn grown(self) -> Option<ControlRef> {
        self.0.control.get()
    }

    /// It has a control block now.
    #[inline]
    pub(super) fn grow(self, c: ControlRef) {
        self.0.control.set(Some(c));
        self.0.set_stage(Stage::Started);
    }

    /// Whether it waits for its stack.
    #[inline]
    pub(crate) fn is_unstarted(self) -> bool {
        self.0.stage() == Stage::Unstarted
    }

    /// Asks for its end before it has begun. False if that was asked before.
    pub(crate) fn kill(self) -> bool {
        !self.0.killed.replace(true)
    }

    /// Keeps the name that its task gave itself, for the report of its outcome. A task that had its name from the start
    /// was no seed.
    #[cold]
    fn keep_name(self, hot: &'static Hot, name: Arc<str>) {
        let place = hot.with_seeds(|s| s.names.insert(name));
        // Without a place to note it would be lost, which only the report would miss.
        self.0.name.set(u32::try_from(place + 1).unwrap_or(0));
    }

    #[cold]
    fn forget_name(self, hot: &'static Hot) {
        let place = self.0.name.replace(0) as usize - 1;
        hot.with_seeds(|s| drop(s.names.try_remove(place)));
    }

    /// The name of its task, if it has one: who has begun may have named itself.
    fn name(self) -> Option<Arc<str>> {
        if let Some(c) = self.grown() {
            return c.name();
        }
        let place = self.0.name.get().checked_sub(1)?;
        hot().with_seeds(|s| s.names.get(place as usize).cloned())
    }

    /// Takes the payload of its panic. The ending says that it is there, and was just taken.
    fn take_payload(self) -> Payload {
        // SAFETY: `harvest` put it there together with the ending `Panicked`, which is taken once.
        unsafe { self.area().cast::<Payload>().read() }
    }

    /// Gives it back. Its outcome was fetched or dropped.
    #[inline]
    fn release(self, hot: &'static Hot) {
        debug_assert!(matches!(self.0.stage(), Stage::Finished | Stage::Left));
        self.0.set_stage(Stage::Free);
        self.0.id.set(0);
        // If nobody took it, because that would have done nothing.
        self.0.ending.set(Ending::None);
        if self.0.name.get() != 0 {
            self.forget_name(hot);
        }
        hot.with_seeds(|s| s.free(self));
    }
}

/// A new seed, whose area is to be filled in next, and which is then to be queued.
///
/// # Errors
/// No stack could be promised, or no memory for the seed be had.
#[inline]
pub(super) fn begin(
    hot: &'static Hot,
    site: &'static Location<'static>,
    table: &'static BodyTable,
) -> io::Result<SeedRef> {
    hot.with_arena(|a| a.promise(SIZE))?;
    let seed = match hot.with_seeds(Seeds::alloc) {
        Ok(seed) => seed,
        Err(e) => {
            hot.with_arena(|a| a.forget_promises(SIZE, 1));
            return Err(e);
        }
    };
    let live = hot.live.get() + 1;
    hot.live.set(live);
    hot.queue.reserve(live + 1);
    // What `release` and `harvest` leave; and who joined has taken its address back.
    debug_assert!(
        seed.0.ending.get() == Ending::None
            && seed.0.control.get().is_none()
            && seed.0.joiner.get().is_null()
    );
    seed.0.handle.set(0);
    seed.0.killed.set(false);
    seed.0.table.set(Some(table));
    seed.0.site.set(Some(site));
    seed.0.id.set(hot.unique_id().get());
    seed.0.set_stage(Stage::Unstarted);
    Ok(seed)
}

/// Who is behind an entry of the run queue. A seed gets its stack now, if it has none yet.
#[inline(always)]
pub(crate) fn embodied(hot: &'static Hot, entry: Subject) -> ControlRef {
    match entry {
        Subject::Control(c) => c,
        Subject::Seed(seed) => sprout(hot, seed),
    }
}

#[inline(never)]
fn sprout(hot: &'static Hot, seed: SeedRef) -> ControlRef {
    match seed.grown() {
        Some(c) => c,
        None => start(hot, seed),
    }
}

/// Gives an unstarted seed the stack it was promised. It is Runnable, by the entry that it has in the run queue.
#[inline]
fn start(hot: &'static Hot, seed: SeedRef) -> ControlRef {
    let (Some(id), Some(site), Some(table)) =
        (NonZeroU64::new(seed.id()), seed.site(), seed.table())
    else {
        unreachable!("an unstarted seed without an id")
    };
    let birth = Birth {
        size: SIZE,
        site,
        flags: flag::TASK | flag::SEEDED,
    };
    let slot = hot.with_arena(|a| a.alloc_promised(birth.size));
    // SAFETY: as in `create`; the stack begins below the control block. The body is in the seed (`body::sow`).
    let c = unsafe {
        let c = engine::settle_in(hot, slot, id, birth, table);
        engine::lay_stack(c, slot, c.address());
        c
    };
    if seed.is_killed() {
        c.attend(attention::KILL);
    }
    c.state.set(State::Runnable);
    c.body.set(seed.area());
    seed.grow(c);
    c
}

/// The dead `c`, which has grown from a seed, leaves its outcome there and gives its stack back.
///
/// Called by the last that runs on that stack, as `engine::release` is for who ends detached.
#[inline]
pub(crate) fn harvest(hot: &'static Hot, c: ControlRef) -> SeedRef {
    let seed = SeedRef::of(c);
    let mut ending = c.ending.replace(Ending::None);
    if ending == Ending::Panicked {
        ending = match c.take_payload() {
            Some(payload) => {
                // SAFETY: a body that panicked was taken out of the area, which has room and alignment for this.
                unsafe { seed.area().cast::<Payload>().write(payload) };
                Ending::Panicked
            }
            None => Ending::Exited,
        };
    }
    if c.has(flag::COLD)
        && let Some(name) = c.name()
    {
        seed.keep_name(hot, name);
    }
    seed.0.ending.set(ending);
    seed.0.control.set(None);
    seed.0.set_stage(Stage::Finished);
    engine::release_slot(hot, c, Some(c.slot_of(SIZE)));
    seed
}

/// In a forked child: the parent's seeds are forgotten, with the stacks they were promised. Nothing is theirs any more, so
/// that no handle fetches an outcome which the parent has too.
pub(crate) fn abandon(hot: &'static Hot) {
    let mut unstarted = 0;
    hot.with_seeds(|s| {
        s.for_each(|seed| {
            unstarted += u32::from(seed.is_unstarted());
            seed.0.set_stage(Stage::Free);
        });
        s.leak();
    });
    hot.with_arena(|a| a.forget_promises(SIZE, unstarted as usize));
    hot.live.set(hot.live.get() - unstarted);
}

// ---------------------------------------------------------------------------------------------------------------------
// Either

/// A task as its handle names it.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    /// By its control block: what never was a seed.
    Control(ControlRef),
    /// By its seed, whether it has a control block or not.
    Seed(SeedRef),
}

impl From<ControlRef> for Subject {
    #[inline(always)]
    fn from(c: ControlRef) -> Self {
        Self::Control(c)
    }
}

impl From<SeedRef> for Subject {
    #[inline(always)]
    fn from(s: SeedRef) -> Self {
        Self::Seed(s)
    }
}

impl Subject {
    /// As a number, for messages that travel through other threads.
    #[inline]
    pub(crate) fn address(self) -> usize {
        Entry::from(self).0.as_ptr().expose_provenance()
    }

    /// What `address` named.
    ///
    /// # Safety
    /// It came from [`address`](Self::address), and the memory is still mapped: this is the same thread (invariant 1),
    /// and it lives; or the caller is inside its hub's gate, and only asks whether it is [`alive`](Self::alive).
    #[inline]
    pub(crate) unsafe fn from_address(address: usize) -> Self {
        // SAFETY: the caller's promise; an address is not 0.
        unsafe {
            Entry(NonNull::new_unchecked(ptr::with_exposed_provenance_mut(
                address,
            )))
        }
        .subject()
    }

    /// Its id; 0 if nobody is there any more.
    #[inline]
    pub(crate) fn id(self) -> u64 {
        match self {
            Self::Control(c) => c.id.get(),
            Self::Seed(s) => s.0.id.get(),
        }
    }

    /// Its name, if it has one.
    pub(crate) fn name(self) -> Option<Arc<str>> {
        match self {
            Self::Control(c) => c.name(),
            Self::Seed(s) => s.name(),
        }
    }

    /// Where it was spawned.
    pub(crate) fn site(self) -> Option<&'static Location<'static>> {
        match self {
            Self::Control(c) => c.site(),
            Self::Seed(s) => s.site(),
        }
    }

    /// The id while alive, else 0. May be called by another thread inside the hub's gate.
    #[inline]
    pub(crate) fn alive(self) -> u64 {
        match self {
            Self::Control(c) => c.alive(),
            Self::Seed(s) => match s.0.stage() {
                Stage::Free | Stage::Finished | Stage::Left => 0,
                Stage::Unstarted | Stage::Started => s.0.id.get(),
            },
        }
    }

    /// Whether it has ended, and its outcome was not fetched.
    #[inline]
    pub(crate) fn is_dead(self) -> bool {
        match self {
            Self::Control(c) => c.state.get() == State::Dead,
            Self::Seed(s) => s.0.stage() >= Stage::Finished,
        }
    }

    /// Its control block, made if it has none yet; `None` if it has none any more.
    #[inline]
    pub(crate) fn control(self, hot: &'static Hot) -> Option<ControlRef> {
        match self {
            Self::Control(c) => Some(c),
            Self::Seed(s) if s.is_unstarted() => Some(start(hot, s)),
            Self::Seed(s) => s.grown(),
        }
    }

    /// Its control block, if it has one at the moment.
    #[inline]
    pub(crate) fn grown(self) -> Option<ControlRef> {
        match self {
            Self::Control(c) => Some(c),
            Self::Seed(s) => s.grown(),
        }
    }

    /// What is known of its handle.
    #[inline]
    pub(crate) fn handle(&self) -> &Cell<u8> {
        match self {
            Self::Control(c) => &c.upper.handle,
            Self::Seed(s) => &s.0.handle,
        }
    }

    /// Who joins it.
    #[inline]
    pub(crate) fn joiner(&self) -> &Cell<*const ()> {
        match self {
            Self::Control(c) => &c.upper.joiner,
            Self::Seed(s) => &s.0.joiner,
        }
    }

    /// How it ended.
    #[inline]
    pub(crate) fn ending(self) -> Ending {
        match self {
            Self::Control(c) => c.ending.get(),
            Self::Seed(s) => s.0.ending.get(),
        }
    }

    /// How it ended; what it ended with is the caller's from here on.
    #[inline(always)]
    pub(super) fn take_ending(self) -> Ending {
        match self {
            Self::Control(c) => c.ending.replace(Ending::None),
            Self::Seed(s) => s.0.ending.replace(Ending::None),
        }
    }

    /// Takes the payload of its panic, if it ended with one that is still there.
    pub(crate) fn take_panic(self) -> Option<Payload> {
        if self.ending() != Ending::Panicked {
            return None;
        }
        let ending = self.take_ending();
        self.take_payload(ending)
    }

    /// The payload that goes with the ending that was just taken, if one does.
    #[cold]
    pub(super) fn take_payload(self, taken: Ending) -> Option<Payload> {
        if taken != Ending::Panicked {
            return None;
        }
        match self {
            Self::Control(c) => c.take_payload(),
            Self::Seed(s) => Some(s.take_payload()),
        }
    }

    #[inline]
    pub(super) fn table(self) -> Option<&'static BodyTable> {
        match self {
            Self::Control(c) => c.table.get(),
            Self::Seed(s) => s.table(),
        }
    }

    /// Where body and value lie.
    #[inline]
    pub(super) fn body(self) -> *mut u8 {
        match self {
            Self::Control(c) => c.body.get(),
            Self::Seed(s) => s.area(),
        }
    }

    /// Gives its memory back. Its outcome was fetched or dropped.
    #[inline]
    pub(crate) fn release(self, hot: &'static Hot) {
        match self {
            Self::Control(c) => engine::release(hot, c),
            Self::Seed(s) => s.release(hot),
        }
    }
}

/// A [`Subject`] in one word: both lie at multiples of 64, and the lowest bit tells a seed.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Entry(NonNull<u8>);

const SEED: usize = 1;

impl From<ControlRef> for Entry {
    #[inline(always)]
    fn from(c: ControlRef) -> Self {
        // SAFETY: a control block is referred to, hence not at 0.
        Self(unsafe { NonNull::new_unchecked(c.as_ptr().cast_mut().cast()) })
    }
}

impl From<SeedRef> for Entry {
    #[inline(always)]
    fn from(s: SeedRef) -> Self {
        Self(NonNull::from(s.0).cast().map_addr(|a| a | SEED))
    }
}

impl From<Subject> for Entry {
    #[inline(always)]
    fn from(s: Subject) -> Self {
        match s {
            Subject::Control(c) => c.into(),
            Subject::Seed(s) => s.into(),
        }
    }
}

impl Entry {
    #[inline(always)]
    pub(super) fn subject(self) -> Subject {
        let at = self.0.as_ptr();
        // SAFETY: made from a reference of the kind that the bit tells; neither is unmapped while an entry is used (the
        // file's heads, here and in control.rs).
        unsafe {
            if at.addr() & SEED == 0 {
                Subject::Control(ControlRef::from_address(at.expose_provenance()))
            } else {
                Subject::Seed(SeedRef(&*at.map_addr(|a| a & !SEED).cast::<Seed>()))
            }
        }
    }

    /// Where it lies, to bring it near.
    #[inline(always)]
    pub(super) fn line(self) -> *const i8 {
        self.0.as_ptr().cast_const().cast()
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Their memory

/// Seeds allocated at a time: the first, and the most.
const CHUNK: (usize, usize) = (128, 4096);

/// The seeds of one thread. Records that were never used are not touched; freed ones are used again, the latest first.
pub(crate) struct Seeds {
    /// From `Box::into_raw`.
    chunks: Vec<*mut [Seed]>,
    /// How many of the last chunk's have been used.
    used: usize,
    /// With room for all.
    free: Vec<SeedRef>,
    /// Of those that are Finished: few have one.
    names: Slab<Arc<str>>,
}

impl Seeds {
    pub(super) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            used: 0,
            free: Vec::new(),
            names: Slab::new(),
        }
    }

    #[inline]
    fn alloc(&mut self) -> io::Result<SeedRef> {
        match self.free.pop() {
            Some(seed) => Ok(seed),
            None => self.next(),
        }
    }

    /// The next one that was never used.
    fn next(&mut self) -> io::Result<SeedRef> {
        if self.used == self.chunks.last().map_or(0, |c| c.len()) {
            self.add_chunk()?;
        }
        let Some(chunk) = self.chunks.last() else {
            unreachable!("a chunk was added")
        };
        // SAFETY: the field `chunks` owns the allocation until `drop`, at the thread's end; `used` is below its length.
        let seed = unsafe { &*chunk.cast::<Seed>().add(self.used) };
        self.used += 1;
        Ok(SeedRef(seed))
    }

    #[cold]
    fn add_chunk(&mut self) -> io::Result<()> {
        let n = self
            .chunks
            .last()
            .map_or(CHUNK.0, |c| (c.len() * 2).min(CHUNK.1));
        let all = n + self.chunks.iter().map(|c| c.len()).sum::<usize>();
        let mut chunk = Vec::new();
        let room = chunk
            .try_reserve_exact(n)
            .and_then(|()| self.chunks.try_reserve(1))
            .and_then(|()| self.free.try_reserve(all - self.free.len()));
        room.map_err(|_| io::ErrorKind::OutOfMemory)?;
        chunk.extend((0..n).map(|_| Seed::new()));
        self.chunks.push(Box::into_raw(chunk.into_boxed_slice()));
        self.used = 0;
        Ok(())
    }

    #[inline]
    fn free(&mut self, seed: SeedRef) {
        debug_assert!(self.free.len() < self.free.capacity());
        self.free.push(seed);
    }

    /// Calls `f` with every seed that is somebody's. `f` may not run user code.
    pub(crate) fn for_each(&self, mut f: impl FnMut(SeedRef)) {
        for chunk in &self.chunks {
            for i in 0..chunk.len() {
                // SAFETY: as in `next`; records that were not used yet are valid too, and Free.
                let seed = SeedRef(unsafe { &*chunk.cast::<Seed>().add(i) });
                if seed.0.stage() != Stage::Free {
                    f(seed);
                }
            }
        }
    }

    /// The hub has closed and read its last message: outcomes belong to their handles from here on.
    pub(crate) fn leave(&self) {
        self.for_each(|seed| {
            if seed.0.stage() == Stage::Finished {
                seed.0.set_stage(Stage::Left);
            }
        });
    }

    /// Forgets all of them, without freeing any.
    fn leak(&mut self) {
        core::mem::forget(core::mem::replace(self, Self::new()));
    }
}

impl Drop for Seeds {
    /// The thread has ended: what is nobody's is freed. The rest stays, as the stacks of live greenlets do (invariant 9).
    fn drop(&mut self) {
        for chunk in self.chunks.drain(..) {
            // SAFETY: as in `next`.
            let seeds = unsafe { &*chunk };
            if seeds.iter().all(|s| s.stage() == Stage::Free) {
                // SAFETY: from `Box::into_raw`, taken off the list just now; Free seeds are named by nothing that will
                // be looked at (`Phase::Ended` refuses handles).
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}
