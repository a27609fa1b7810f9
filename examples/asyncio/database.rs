//! Concurrent queries through a pool of connections.
//!
//! **The database is a stand-in**: a file with a line for each row, which a query reads whole, and 50 ms of
//! pretended network. SQLite itself would take longer to compile than reiver; what the example shows is the
//! pool, the files and the queries at once, not SQL. (With a Postgres: `postgres.rs` in
//! `tests/ecosystem`.)
//!
//! ```python
//! async with aiosqlite.connect("shop.db") as db:
//!     users, orders = await asyncio.gather(
//!         db.execute_fetchall("SELECT * FROM users"), ...)
//! ```

// ci:

use reiver::fs::{self, OpenOptions};
use reiver::io::{self, AsyncBufReadExt, AsyncWriteExt, BufReader};
use reiver::sync::{Mutex, Semaphore};
use reiver::task::gather;
use reiver::time::{Duration, Instant, sleep};
use std::path::PathBuf;
use std::sync::Arc;

/// What a query takes besides the reading.
const NETWORK: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq)]
struct User {
    id: u32,
    name: String,
    age: u32,
}

impl User {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let id = fields.next()?.parse().ok()?;
        let name = fields.next()?.into();
        Some(Self { id, name, age: fields.next()?.parse().ok()? })
    }
}

/// A table, with as many queries at a time as there are connections, and one writer.
struct Table {
    path: PathBuf,
    connections: Semaphore,
    writer: Mutex<()>,
}

impl Table {
    async fn create(path: PathBuf, connections: usize) -> io::Result<Arc<Self>> {
        fs::write(&path, "").await?;
        let connections = Semaphore::new(connections);
        Ok(Arc::new(Self { path, connections, writer: Mutex::new(()) }))
    }

    async fn insert(&self, user: &User) -> io::Result<()> {
        let _connection = self.connections.acquire().await.map_err(io::Error::other)?;
        let _turn = self.writer.lock().await;
        let mut file = OpenOptions::new().append(true).open(&self.path).await?;
        file.write_all(format!("{}\t{}\t{}\n", user.id, user.name, user.age).as_bytes()).await?;
        file.sync_data().await
    }

    async fn select(&self, matches: impl Fn(&User) -> bool) -> io::Result<Vec<User>> {
        let _connection = self.connections.acquire().await.map_err(io::Error::other)?;
        sleep(NETWORK).await;
        let mut lines = BufReader::new(fs::File::open(&self.path).await?).lines();
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().await? {
            let user = User::parse(&line).ok_or(io::ErrorKind::InvalidData)?;
            if matches(&user) {
                found.push(user);
            }
        }
        Ok(found)
    }
}

#[reiver::main]
async fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("reiver-example-{}.table", std::process::id()));
    let table = Table::create(path.clone(), 5).await?;

    let users: Vec<User> =
        (1..=100).map(|id| User { id, name: format!("user{id}"), age: 18 + id % 50 }).collect();
    let inserts = users.clone().into_iter().map(|user| {
        let table = table.clone();
        async move { table.insert(&user).await }
    });
    for inserted in gather(inserts).await {
        inserted?;
    }
    println!("inserted {} users", users.len());

    let begin = Instant::now();
    let queries = (1..=20u32).map(|id| {
        let table = table.clone();
        async move { table.select(move |user| user.id == id).await }
    });
    for (found, wanted) in gather(queries).await.into_iter().zip(&users) {
        assert_eq!(found?, std::slice::from_ref(wanted));
    }
    let all = begin.elapsed();
    println!("20 queries over 5 connections: {all:.1?} instead of 1.0s");
    // Four rounds of fifty milliseconds.
    assert!(all >= 4 * NETWORK);
    assert!(all < 20 * NETWORK, "the queries waited for each other");

    let (young, old) = reiver::join!(table.select(|u| u.age < 30), table.select(|u| u.age >= 60));
    let (young, old) = (young?.len(), old?.len());
    println!("{young} users are younger than 30, {old} are 60 or older");
    let count = |matches: fn(&User) -> bool| users.iter().filter(|user| matches(user)).count();
    assert_eq!((young, old), (count(|u| u.age < 30), count(|u| u.age >= 60)));
    fs::remove_file(path).await
}
