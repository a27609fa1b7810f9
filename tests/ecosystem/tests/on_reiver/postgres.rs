//! tokio-postgres by `connect_raw`, against a Postgres of the test's own.

mod server;

use crate::support::{Fallible, on_reiver};
use futures_util::future::try_join_all;
use reiver::net::TcpStream;
use reiver::sync::mpsc;
use reiver::task::JoinHandle;
use reiver::time::{Duration, Instant};
use server::Server;
use std::future::poll_fn;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls};

type Task = JoinHandle<Result<(), Error>>;

/// A session, and the task that drives it.
async fn connect(port: u16) -> Fallible<(Client, Task)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut config = Config::new();
    config.user(server::USER).dbname("postgres");
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    Ok((client, reiver::spawn(connection)))
}

#[test]
fn postgres() {
    let server = match Server::start() {
        Ok(server) => server,
        Err(why) => return println!("skipped: {why}"),
    };
    let port = server.port;
    on_reiver(|| queries(port));
    on_reiver(|| one_sleeps_while_others_ask(port));
    on_reiver(|| three_queries_take_the_time_of_one(port));
    on_reiver(|| notifications(port));
    on_reiver(|| errors_and_cancellation(port));
}

async fn queries(port: u16) -> Fallible {
    let (client, connection) = connect(port).await?;
    let row = client.query_one("SELECT 1 + 1, 'two'", &[]).await?;
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (2, "two"));

    client.batch_execute("CREATE TEMP TABLE squares (n INT PRIMARY KEY, square BIGINT)").await?;
    let insert = client.prepare("INSERT INTO squares VALUES ($1, $2)").await?;
    // All are on their way before the first has its answer.
    let inserts = (0..500_i32).map(|n| {
        let (client, insert) = (&client, &insert);
        async move { client.execute(insert, &[&n, &(i64::from(n) * i64::from(n))]).await }
    });
    assert_eq!(try_join_all(inserts).await?, vec![1; 500]);
    let sum = client.query_one("SELECT sum(square)::BIGINT FROM squares", &[]).await?;
    assert_eq!(sum.get::<_, i64>(0), (0..500).map(|n| n * n).sum::<i64>());
    // More than one read of the socket.
    let rows = client.query("SELECT n, repeat('x', 1000) FROM squares ORDER BY n", &[]).await?;
    for (n, row) in rows.iter().enumerate() {
        assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1).len()), (n as i32, 1000));
    }
    assert_eq!(rows.len(), 500);
    drop((client, insert));
    Ok(connection.await??)
}

async fn one_sleeps_while_others_ask(port: u16) -> Fallible {
    let start = Instant::now();
    let (sleeper, sleeping) = connect(port).await?;
    let (client, connection) = connect(port).await?;
    let sleep = reiver::spawn(async move { sleeper.query_one("SELECT pg_sleep(1)", &[]).await });
    for n in 0..50_i32 {
        assert_eq!(client.query_one("SELECT $1::INT", &[&n]).await?.get::<_, i32>(0), n);
    }
    assert!(!sleep.is_finished(), "50 questions took {:?}", start.elapsed());
    sleep.await??;
    assert!(start.elapsed() >= Duration::from_secs(1));
    drop(client);
    sleeping.await??;
    Ok(connection.await??)
}

/// asyncio's tutorial with `asyncpg`: three users are fetched at once, each by a query that takes its time. (Its
/// shape without a server is `examples/asyncio/database.rs`.)
async fn three_queries_take_the_time_of_one(port: u16) -> Fallible {
    let fetch = |user: i32| async move {
        let (client, connection) = connect(port).await?;
        let query = "SELECT 'user ' || $1::INT, pg_sleep(2)::TEXT";
        let row = client.query_one(query, &[&user]).await?;
        let name: String = row.get(0);
        drop(client);
        connection.await??;
        Fallible::Ok(name)
    };
    let start = Instant::now();
    let names = reiver::task::try_gather((1..=3).map(fetch)).await?;
    let taken = start.elapsed();
    assert_eq!(names, ["user 1", "user 2", "user 3"]);
    // One after the other they take 6 s at least.
    assert!(taken >= Duration::from_secs(2) && taken < Duration::from_secs(6), "{taken:?}");
    Ok(())
}

async fn notifications(port: u16) -> Fallible {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut config = Config::new();
    config.user(server::USER).dbname("postgres");
    let (listener, mut connection) = config.connect_raw(stream, NoTls).await?;
    let (heard, mut hear) = mpsc::unbounded_channel();
    let listening = reiver::spawn(async move {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(note) = message? {
                let _ = heard.send(note.payload().to_owned());
            }
        }
        Ok::<_, Error>(())
    });
    listener.batch_execute("LISTEN news").await?;
    let (client, connection) = connect(port).await?;
    for n in 0..10 {
        client.execute("SELECT pg_notify('news', $1)", &[&n.to_string()]).await?;
        assert_eq!(hear.recv().await.unwrap(), n.to_string());
    }
    drop((listener, client));
    listening.await??;
    Ok(connection.await??)
}

async fn errors_and_cancellation(port: u16) -> Fallible {
    let (client, connection) = connect(port).await?;
    let error = client.query("SELEKT 1", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::SYNTAX_ERROR));

    let token = client.cancel_token();
    let asking = async {
        let error = client.query("SELECT pg_sleep(60)", &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
        Fallible::Ok(())
    };
    let cancelling = async {
        // Until the server knows of the query: a cancellation before it would be lost.
        let (other, connection) = connect(port).await?;
        let busy = "SELECT count(*) FROM pg_stat_activity
                    WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'";
        while other.query_one(busy, &[]).await?.get::<_, i64>(0) == 0 {}
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        token.cancel_query_raw(stream, NoTls).await?;
        drop(other);
        Ok(connection.await??)
    };
    reiver::try_join!(asking, cancelling)?;

    // A connection that is dropped is an error of who asks, and no hang.
    connection.abort();
    assert!(connection.await.unwrap_err().is_cancelled());
    assert!(client.query("SELECT 1", &[]).await.unwrap_err().is_closed());
    Ok(())
}
