//! The channels and locks between tasks, threads and the pool.

use crate::support::{Tally, rounds};
use reiver::sync::mpsc;
use reiver::task::{spawn_blocking, yield_now};

#[test]
fn messages_from_everywhere() {
    rounds(|rng| {
        let runtime = rng.workers();
        let tally = Tally::default();
        let (send, mut receive) = mpsc::channel(1 + rng.below(8));
        let (senders, messages) = (1 + rng.below(6), 1 + rng.below(100) as u64);
        let received = runtime.block_on(async {
            for n in 0..senders {
                let (send, tally) = (send.clone(), tally.clone());
                let mut rng = rng.fork();
                if n % 3 == 0 {
                    spawn_blocking(move || {
                        for message in 1..=messages {
                            let _ = send.blocking_send((message, tally.one()));
                        }
                    });
                } else {
                    reiver::spawn(async move {
                        for message in 1..=messages {
                            let _ = send.send((message, tally.one())).await;
                            if rng.one_in(8) {
                                yield_now().await;
                            }
                        }
                    });
                }
            }
            drop(send);
            // Every so often the receiver leaves early, with messages on their way.
            let enough = if rng.one_in(4) { messages } else { u64::MAX };
            let (mut count, mut sum) = (0, 0);
            while count < enough {
                let Some((message, _)) = receive.recv().await else { break };
                (count, sum) = (count + 1, sum + message);
            }
            (count == enough, sum)
        });
        if !received.0 {
            assert_eq!(received.1, senders as u64 * messages * (messages + 1) / 2);
        }
        drop((receive, runtime));
        tally.assert_none();
    });
}
