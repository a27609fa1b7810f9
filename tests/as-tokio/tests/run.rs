//! Each program runs and prints what it would with tokio.

use std::process::Command;

fn run(program: &str) -> String {
    let output = Command::new(program).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn echo() {
    assert_eq!(run(env!("CARGO_BIN_EXE_echo")), "served 20\n");
}

#[test]
fn fan_in() {
    assert_eq!(run(env!("CARGO_BIN_EXE_fan_in")), "1000 messages, sum 499500\n");
}

#[test]
fn jobs() {
    // 0 to 49 without 9, 19, …, 49, and the sums up to those.
    let sum: u64 = (0..50).map(|n| if n % 10 == 9 { n * (n + 1) / 2 } else { n }).sum();
    assert_eq!(run(env!("CARGO_BIN_EXE_jobs")), format!("sum {sum}, 1 cancelled, 5 ticks, 3\n"));
}

#[tokio::test]
async fn the_attribute_for_tests() {
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn paused_time() {
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
}
