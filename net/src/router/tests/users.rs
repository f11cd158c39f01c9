//! Who is told who is there: cases U01 to U05, and how seldom.

use super::*;

#[test]
fn u01_u02_u05_the_list_comes_once_and_in_the_order_of_the_first_login() {
    let mut lab = Lab::new();
    let bob = lab.connect();
    lab.say(bob, &register("bob", "pw", "g", "gpw"));
    assert_eq!(lab.heard(bob), [registered("bob", 7), b"/oscrouter/userlist\0,s\0\0bob\0".to_vec()]);
    let alice = lab.connect();
    lab.say(alice, &register("alice", "pw", "g", "gpw"));
    assert_eq!(lab.heard(alice), [registered("alice", 7), user_list(&["bob", "alice"])]);
    assert_eq!(lab.heard(bob), [user_list(&["bob", "alice"])]);
    lab.pass(Span::from_secs(5));
    lab.nothing_came(&[alice, bob]);
}

#[test]
fn u03_whoever_leaves_is_no_longer_listed() {
    let mut lab = Lab::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| lab.join(name));
    lab.pass(Span::from_secs(1));
    lab.pass(Span::from_secs(1));
    lab.hush();
    lab.leave(bob);
    assert_eq!(lab.heard(alice), [user_list(&["alice", "carol"])]);
    assert_eq!(lab.heard(carol), [user_list(&["alice", "carol"])]);
    // In again, at the end.
    lab.join("bob");
    lab.pass(Span::from_secs(1));
    assert_eq!(lab.heard(alice), [user_list(&["alice", "carol", "bob"])]);
}

#[test]
fn u04_a_second_login_changes_nothing() {
    let mut lab = Lab::new();
    let [alice, bob] = ["alice", "bob"].map(|name| lab.join(name));
    lab.pass(Span::from_secs(1));
    lab.hush();
    let second = lab.connect();
    lab.say(second, &register("alice", "pw", "g", "gpw"));
    assert_eq!(lab.heard(second), [registered("alice", 7), user_list(&["alice", "bob"])]);
    lab.leave(second);
    lab.pass(Span::from_secs(1));
    lab.nothing_came(&[alice, bob]);
    lab.leave(alice);
    assert_eq!(lab.heard(bob), [user_list(&["bob"])]);
}

#[test]
fn many_changes_are_told_in_one() {
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    lab.join("bob");
    assert_eq!(lab.heard(alice), [user_list(&["alice", "bob"])], "the first at once");
    for name in ["carol", "dave", "eve"] {
        lab.join(name);
    }
    lab.nothing_came(&[alice]);
    // The pause was counted when three were there.
    let due = lab.router.deadline().expect("something is to be told");
    assert_eq!(due - lab.now, Span::from_millis(20) + Span::from_micros(3 * 400));
    lab.pass(due - lab.now - Span::from_ticks(1));
    lab.nothing_came(&[alice]);
    lab.pass(Span::from_ticks(1));
    assert_eq!(lab.heard(alice), [user_list(&["alice", "bob", "carol", "dave", "eve"])]);
    lab.pass(Span::from_secs(1));
    lab.nothing_came(&[alice]);
}

#[test]
fn a_storm_of_five_hundred_is_told_a_few_times() {
    let mut lab = Lab::with(RouterConfig { users: 500, ..RouterConfig::default() });
    let mut clients = Vec::new();
    for n in 0..500 {
        clients.push(lab.join(&format!("user{n}")));
        lab.pass(Span::from_millis(1));
    }
    lab.pass(Span::from_secs(1));
    let names: Vec<String> = (0..500).map(|n| format!("user{n}")).collect();
    let everybody = user_list(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let counts: Vec<usize> = clients
        .iter()
        .map(|client| {
            let heard = lab.heard(*client);
            assert_eq!(heard.last().unwrap_or(&everybody), &everybody);
            heard.len()
        })
        .collect();
    assert!(counts[0] < 12, "{} lists in half a second", counts[0]);
    // Half of them go.
    for client in clients.drain(..250) {
        lab.leave(client);
    }
    lab.hush();
    lab.pass(Span::from_secs(1));
    assert!(clients.iter().all(|client| lab.heard(*client).len() == 1));
}

#[test]
fn whoever_comes_while_a_change_waits_knows_already() {
    let mut lab = Lab::new();
    let [_, _, carol] = ["alice", "bob", "carol"].map(|name| lab.join(name));
    lab.hush();
    lab.pass(Span::from_secs(1));
    // She was told of herself when she was let in.
    lab.nothing_came(&[carol]);
}
