//! Every live task, so that shutdown can end those that nobody wakes, and people can list them.
//!
//! One intrusive list per *home*: that of the worker that spawned, so that insertion and removal
//! are nearly always by one thread and its cache line stays with it. (tokio hashes ids over shared
//! shards and counts in two machine-wide words: three contended writes a task.) A lock of one
//! read-modify-write guards each list; nothing of a user's runs under it.
//!
//! Closing a list and inserting into it are under the same lock: a task is either refused, or listed
//! and found by the closer. Checked by the model `registry_vs_shutdown`.

use super::cell::Header;
use super::state::{State, Wake};
use super::{AbortHandle, Id, Runnable, TaskInfo};
use crate::primitive::{SpinLock, unique_block};
use crate::util::list::List;
use crate::util::pad::Pad;
use std::ptr::NonNull;

/// Ids are taken from the process-wide counter in blocks: one shared write in 256 spawns.
const ID_BLOCK: u64 = 256;

/// The live tasks of one runtime.
#[derive(Debug)]
pub struct Registry {
    homes: Box<[Pad<SpinLock<Home>>]>,
}

#[derive(Debug)]
struct Home {
    tasks: List<Header>,
    len: usize,
    /// All tasks ever listed here.
    spawned: u64,
    next_id: u64,
    ids_end: u64,
    closed: bool,
}

/// The runtime is shutting down: nothing is listed any more.
#[derive(Debug)]
pub struct Closed;

impl Registry {
    /// A registry with `homes` lists.
    pub fn new(homes: usize) -> Self {
        let home = || {
            Pad(SpinLock::new(Home {
                tasks: List::new(),
                len: 0,
                spawned: 0,
                next_id: 0,
                ids_end: 0,
                closed: false,
            }))
        };
        Self { homes: (0..homes).map(|_| home()).collect() }
    }

    /// Gives a new task its id and lists it.
    ///
    /// # Errors
    ///
    /// [`Closed`]: it got an id but is not listed.
    ///
    /// # Safety
    ///
    /// The task is new: nobody else has seen it. Once listed, [`remove`](Self::remove) is called
    /// before its cell is freed.
    pub(super) unsafe fn insert(&self, home: u16, mut task: NonNull<Header>) -> Result<(), Closed> {
        let mut list = self.homes[usize::from(home)].lock();
        // SAFETY: the caller's: the task is still ours alone.
        unsafe { task.as_mut().id = list.next_id() };
        if list.closed {
            return Err(Closed);
        }
        // SAFETY: list rule 1: the caller's. Rule 2: under the lock. Rule 3: the task is new.
        unsafe { list.tasks.push_back(task) };
        list.len += 1;
        list.spawned += 1;
        Ok(())
    }

    /// Takes a task that is ending off its list; one that was refused is on none.
    ///
    /// # Safety
    ///
    /// `task` came to `insert` here, and this is the only removal.
    pub unsafe fn remove(&self, task: &Header) {
        let home = task.state.home();
        if home == State::UNLISTED {
            return;
        }
        let mut list = self.homes[usize::from(home)].lock();
        // SAFETY: list rules 2 and 3: under the lock, and the caller says that it is listed here.
        unsafe { list.tasks.remove(NonNull::from(task)) };
        list.len -= 1;
    }

    /// Refuses all further tasks.
    pub fn close(&self) {
        for home in &self.homes {
            home.lock().closed = true;
        }
    }

    /// Asks all listed tasks to end. `submit` gets those that now have to be scheduled; it is called
    /// with no lock held.
    pub fn abort_all(&self, mut submit: impl FnMut(Runnable)) {
        for home in &self.homes {
            let mut runnables = Vec::new();
            let list = home.lock();
            let mut at = list.tasks.front();
            while let Some(task) = at {
                // SAFETY: listed, so alive (list rule 1), and the lock is held (rule 2). `Submit`
                // makes the `Runnable` ours.
                unsafe {
                    if task.as_ref().state.abort() == Wake::Submit {
                        runnables.push(Runnable::from_raw(task));
                    }
                    at = list.tasks.after(task);
                }
            }
            drop(list);
            runnables.into_iter().for_each(&mut submit);
        }
    }

    /// Whether no task is listed. Final once closed.
    pub fn is_empty(&self) -> bool {
        self.homes.iter().all(|home| home.lock().len == 0)
    }

    /// How many tasks live.
    pub fn len(&self) -> usize {
        self.homes.iter().map(|home| home.lock().len).sum()
    }

    /// How many tasks were ever spawned.
    pub fn spawned(&self) -> u64 {
        self.homes.iter().map(|home| home.lock().spawned).sum()
    }

    /// Describes every live task. Each list is copied under its lock; tasks may come and go meanwhile.
    pub fn dump(&self) -> Vec<TaskInfo> {
        let mut tasks: Vec<AbortHandle> = Vec::new();
        for home in &self.homes {
            let mut list = home.lock();
            while tasks.capacity() - tasks.len() < list.len {
                // No memory is asked for under the lock, which spins.
                let room = 2 * list.len;
                drop(list);
                tasks.reserve(room);
                list = home.lock();
            }
            let mut at = list.tasks.front();
            while let Some(task) = at {
                // SAFETY: as in `abort_all`.
                unsafe {
                    tasks.push(AbortHandle::of(task));
                    at = list.tasks.after(task);
                }
            }
        }
        tasks.into_iter().filter(|task| !task.is_finished()).map(TaskInfo::new).collect()
    }
}

impl Home {
    fn next_id(&mut self) -> Id {
        if self.next_id == self.ids_end {
            self.next_id = unique_block(ID_BLOCK);
            self.ids_end = self.next_id + ID_BLOCK;
        }
        self.next_id += 1;
        Id::new(self.next_id - 1)
    }
}
