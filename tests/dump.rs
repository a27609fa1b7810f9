//! What a listing says of tasks: what they wait for, who spawned them, what they have used.

use reiver::io::AsyncReadExt;
use reiver::net::{TcpListener, TcpStream};
use reiver::runtime::{Builder, Runtime, TaskInfo, WaitKind};
use reiver::sync::{
    Barrier, CancellationToken, CapacityLimiter, Condition, Event, Mutex, Notify, OnceCell, Queue,
    RwLock, Semaphore, broadcast, mpsc, oneshot, watch,
};
use reiver::task::{self, Id, JoinSet, Phase};
use reiver::time::{sleep, timeout};
use std::collections::BTreeMap;
use std::future::Future;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// Far above what a slow machine takes.
const SOON: Duration = Duration::from_secs(20);
const AGES: Duration = Duration::from_secs(3600);

fn runtime(records: bool) -> Runtime {
    Builder::new_multi_thread().worker_threads(2).task_records(records).build().unwrap()
}

/// Spawns a task with a name.
fn named<F>(runtime: &Runtime, name: &str, future: F) -> Id
where
    F: Future<Output = ()> + Send + 'static,
{
    let builder = task::Builder::new().name(name);
    builder.spawn_on(future, runtime.handle()).unwrap().id()
}

/// The `count` live tasks by name, as soon as `done` finds them as they should be.
#[track_caller]
fn dump(
    runtime: &Runtime,
    count: usize,
    done: impl Fn(&TaskInfo) -> bool,
) -> BTreeMap<String, TaskInfo> {
    let start = Instant::now();
    loop {
        let tasks = runtime.handle().dump();
        if tasks.len() == count && tasks.iter().all(&done) {
            let named = |task: TaskInfo| (task.name().unwrap_or_default().to_owned(), task);
            return tasks.into_iter().map(named).collect();
        }
        let all: Vec<_> = tasks.iter().map(|task| (done(task), task.to_string())).collect();
        assert!(start.elapsed() < SOON, "{count} are expected: {all:#?}");
        std::thread::yield_now();
    }
}

fn is_waiting(task: &TaskInfo) -> bool {
    task.phase() == Phase::Waiting
}

/// Spawns a task for each kind of wait. Gives what each waits for; and what keeps them waiting.
fn one_of_each(runtime: &Runtime) -> (Vec<(&'static str, WaitKind)>, Box<dyn Send>) {
    let mut all = Vec::new();
    macro_rules! waits {
        ($kind:ident, $name:expr, $future:expr) => {
            let future = $future;
            named(runtime, $name, async move { _ = future.await });
            all.push(($name, WaitKind::$kind));
        };
    }
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let job = runtime.spawn_blocking(move || _ = ended.recv());
    waits!(Blocking, "job", job);
    waits!(Unknown, "pending", std::future::pending::<()>());
    waits!(Timer, "sleep", sleep(AGES));
    let (sender, receiver) = mpsc::channel::<u8>(1);
    sender.try_send(0).unwrap();
    waits!(Send, "send", async move { sender.send(1).await });
    let (other, mut values) = mpsc::unbounded_channel::<u8>();
    waits!(Receive, "recv", async move { values.recv().await });
    let (once, value) = oneshot::channel::<u8>();
    waits!(Receive, "oneshot", value);
    let (mut unheard, deaf) = oneshot::channel::<u8>();
    waits!(Closed, "closed", async move { unheard.closed().await });
    let (watched, mut watching) = watch::channel(0);
    waits!(Receive, "watch", async move { watching.changed().await });
    let (radio, mut listener) = broadcast::channel::<u8>(1);
    waits!(Receive, "broadcast", async move { listener.recv().await });
    let queue = Arc::new(Queue::<u8>::new(1));
    waits!(Receive, "queue", {
        let queue = queue.clone();
        async move { queue.get().await }
    });
    let mutex = Arc::new(Mutex::new(()).named(&"accounts"));
    let guard = mutex.clone().try_lock_owned().unwrap();
    waits!(Mutex, "mutex", {
        let mutex = mutex.clone();
        async move { drop(mutex.lock().await) }
    });
    waits!(Mutex, "mutex again", async move { drop(mutex.lock().await) });
    let rwlock = Arc::new(RwLock::new(()));
    let read = rwlock.clone().try_read_owned().unwrap();
    waits!(RwLock, "rwlock", async move { drop(rwlock.write().await) });
    let permits = Arc::new(Semaphore::new(0));
    waits!(Semaphore, "semaphore", permits.clone().acquire_owned());
    let limiter = Arc::new(CapacityLimiter::new(0));
    waits!(Limiter, "limiter", {
        let l = limiter.clone();
        async move { drop(l.acquire().await) }
    });
    let notify = Arc::new(Notify::new());
    waits!(Notify, "notify", notify.clone().notified_owned());
    let event = Arc::new(Event::new());
    waits!(Event, "event", {
        let event = event.clone();
        async move { event.wait().await }
    });
    let condition = (Condition::new(), Mutex::new(()));
    waits!(Condition, "condition", async move {
        drop(condition.0.wait(condition.1.lock().await).await)
    });
    let barrier = Barrier::new(2);
    waits!(Barrier, "barrier", async move { barrier.wait().await });
    let cell = Arc::new(OnceCell::<()>::new());
    let slow = |cell: Arc<OnceCell<()>>| async move {
        cell.get_or_init(std::future::pending).await;
    };
    let mut first = Box::pin(slow(cell.clone()));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    waits!(Once, "cell", slow(cell));
    let token = CancellationToken::new();
    waits!(Cancellation, "token", {
        let token = token.clone();
        async move { token.cancelled().await }
    });
    waits!(
        Join,
        "join",
        task::Builder::new()
            .name("child")
            .spawn_on(std::future::pending::<()>(), runtime.handle())
            .unwrap()
    );
    all.push(("child", WaitKind::Unknown));
    waits!(Tasks, "set", async {
        let mut set = JoinSet::new();
        set.spawn(std::future::pending::<()>());
        set.join_next().await
    });
    all.push(("", WaitKind::Unknown));
    let kept = (end, receiver, other, once, watched, radio, queue, guard, read);
    (all, Box::new((kept, deaf, permits, limiter, notify, event, first, token)))
}

#[test]
fn every_task_says_what_kind_of_thing_it_waits_for() {
    for records in [false, true] {
        let runtime = runtime(records);
        let (expected, _kept) = one_of_each(&runtime);
        let expected: BTreeMap<_, _> = expected.into_iter().collect();
        let tasks = dump(&runtime, expected.len(), |task| {
            let wanted = match expected[task.name().unwrap_or_default()] {
                // A handle of a job looks like any other: the number of the job tells.
                WaitKind::Blocking if !records => WaitKind::Join,
                kind => kind,
            };
            task.waiting().is_some_and(|waiting| waiting.kind() == wanted)
        });
        for task in tasks.values() {
            let waiting = task.waiting().unwrap();
            let text = task.to_string();
            assert_eq!(waiting.has_timer(), waiting.kind() == WaitKind::Timer, "{text}");
            assert!(
                text.contains(&format!("task {}", task.id())) && text.contains(file!()),
                "{text}"
            );
            assert_eq!(task.polls().is_some(), records, "{text}");
            assert_eq!(task.in_phase().is_some(), records, "{text}");
            let is_known = waiting.address().is_some() || waiting.task().is_some();
            let is_nothing = matches!(waiting.kind(), WaitKind::Unknown | WaitKind::Timer);
            assert_eq!(is_known, records && !is_nothing, "{text}");
            assert_eq!(waiting.timer().is_some(), records && waiting.kind() == WaitKind::Timer);
        }
        if records {
            let address = |name| tasks[name].waiting().unwrap().address();
            assert_eq!(address("mutex"), address("mutex again"));
            assert_ne!(address("mutex"), address("semaphore"));
            let mutex = tasks["mutex"].waiting().unwrap();
            assert_eq!(
                (mutex.name(), tasks["rwlock"].waiting().unwrap().name()),
                (Some("accounts"), None)
            );
            assert!(mutex.to_string().starts_with("a mutex \"accounts\" 0x"), "{mutex}");
            assert_eq!(tasks["join"].waiting().unwrap().task(), Some(tasks["child"].id()));
            let job = runtime.handle().blocking_jobs()[0].task().id();
            assert_eq!(tasks["job"].waiting().unwrap().task(), Some(job));
        }
    }
}

#[test]
fn a_socket_is_named_by_its_descriptor_and_beside_it_the_timer() {
    let runtime = runtime(true);
    let (tell, told) = std::sync::mpsc::channel();
    named(&runtime, "reader", async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        tell.send(stream.as_raw_fd()).unwrap();
        let read = timeout(AGES, stream.read_u8()).await;
        drop((read, other));
    });
    let descriptor = told.recv_timeout(SOON).unwrap();
    let tasks = dump(&runtime, 1, |task| {
        task.waiting().is_some_and(|waiting| waiting.descriptor() == Some(descriptor))
    });
    let waiting = tasks["reader"].waiting().unwrap();
    assert_eq!((waiting.kind(), waiting.has_timer()), (WaitKind::Read, true));
    assert!(waiting.timer().unwrap() > AGES / 2);
    assert!(waiting.to_string().starts_with(&format!("input, fd {descriptor} or a timer in ")));
}

#[test]
fn polls_and_their_time_are_counted_and_parents_known() {
    let runtime = runtime(true);
    let (tell, told) = std::sync::mpsc::channel();
    let busy = Duration::from_millis(20);
    let mother = named(&runtime, "mother", async move {
        for _ in 0..9 {
            task::yield_now().await;
        }
        let start = Instant::now();
        while start.elapsed() < busy {}
        let child = task::Builder::new().name("child").spawn(std::future::pending::<()>()).unwrap();
        tell.send(()).unwrap();
        drop(child.await);
    });
    told.recv_timeout(SOON).unwrap();
    let tasks = dump(&runtime, 2, is_waiting);
    let (child, found) = (&tasks["child"], &tasks["mother"]);
    assert_eq!((found.id(), found.parent(), child.parent()), (mother, None, Some(mother)));
    assert_eq!((found.polls(), child.polls()), (Some(10), Some(1)));
    assert!(found.busy().unwrap() >= busy && child.busy().unwrap() < found.busy().unwrap());
    assert!(found.since_wake().unwrap() >= found.in_phase().unwrap());
}

/// The time of a poll that goes on is in the listing, before it ends.
#[test]
fn a_task_that_runs_has_been_busy_since_it_began() {
    let runtime = runtime(true);
    let (end, ended) = std::sync::mpsc::channel::<()>();
    named(&runtime, "blocker", async move { _ = ended.recv() });
    let long = Duration::from_millis(50);
    let tasks =
        dump(&runtime, 1, |task| task.phase() == Phase::Running && task.busy().unwrap() >= long);
    assert!(tasks["blocker"].in_phase().unwrap() >= long && tasks["blocker"].waiting().is_none());
    drop(end);
}
