//! Passwords: when they are hashed and checked, and what that costs others.

use super::*;
use crate::router::account::MOMENT;

#[test]
fn a_real_hash_knows_its_password_and_no_other() {
    let digest = |password: &[u8]| Secret::new(Key::new(&[1; 16]).unwrap()).group_digest(b"g", password);
    let HashResult::Hashed(hash) = HashJob::hash(1, digest(b"right"), [3; 16]).run(&mut HashRoom::default())
    else {
        panic!("it is made")
    };
    let verify = |password| HashJob::verify(2, digest(password), hash.clone()).run(&mut HashRoom::default());
    assert!(matches!(verify(b"right"), HashResult::Verified(true)));
    assert!(matches!(verify(b"wrong"), HashResult::Verified(false)));
    let HashResult::Hashed(other) = HashJob::hash(1, digest(b"right"), [4; 16]).run(&mut HashRoom::default())
    else {
        panic!("it is made")
    };
    assert_ne!(hash.hash, other.hash, "another salt, another hash");
    assert_eq!(
        format!("{hash:?} {:?}", HashJob::hash(5, digest(b"x"), [0; 16])),
        "PasswordHash(..) HashJob(5)"
    );
}

#[test]
fn from_register_to_register_as_in_life() {
    let mut lab = Lab::new();
    lab.hashing = Hashing::Real;
    let alice = lab.join("alice");
    assert_eq!(lab.router.tally().hashed, 2, "the group's and hers");
    lab.pass(MOMENT);
    let again = lab.join("alice");
    assert_eq!(lab.router.tally().hashed, 4);
    let other = lab.connect();
    lab.say(other, &register("alice", "pW", "g", "gpw"));
    assert!(!lab.is_open(other));
    assert_eq!(lab.router.tally().hashed, 5, "the group's password was right a moment ago");
    assert!(lab.is_open(alice) && lab.is_open(again));
}

#[test]
fn a_flood_of_guesses_does_not_keep_a_new_group_from_its_hash() {
    let mut lab = Lab::new();
    lab.join("alice");
    lab.hash_all(Hashing::Quick);
    lab.pass(MOMENT);
    for n in 0..50 {
        let client = lab.connect_as(Framing::Length, [10, 9, 0, n]);
        lab.say(client, &register("alice", "pw", "g", &format!("guess {n}")));
    }
    let founder = lab.connect();
    lab.say(founder, &register("zoe", "pw", "new", "npw"));
    let before = lab.router.tally().hashed;
    // Two checks are under way; from then on every second job is a hash.
    for _ in 0..6 {
        let job = lab.jobs.pop_front().expect("something waits");
        let (ticket, result) = (job.ticket(), quick(&job));
        lab.router.hashed(ticket, result, lab.now);
        lab.pump();
    }
    assert_eq!(lab.router.tally().hashed, before + 6);
    let late = lab.connect();
    lab.say(late, &register("eve", "pw", "new", "wrong"));
    assert!(lab.is_open(late), "there is a hash to be asked, and it takes its time");
}

#[test]
fn the_first_is_let_in_before_the_hash_and_others_by_it_after() {
    let mut lab = Lab::new();
    lab.join("alice");
    lab.join("bob");
    lab.join("alice");
    assert_eq!(lab.jobs.len(), 1, "one hash at a time");
    lab.hash_all(Hashing::Quick);
    assert_eq!((lab.jobs.len(), lab.router.tally().hashed), (0, 3), "the group's, and two users'");
    let late = MOMENT - Span::from_ticks(1);
    lab.pass(late);
    lab.join("alice");
    assert_eq!(lab.router.tally().hashed, 3, "that was right a moment ago");
    lab.pass(Span::from_ticks(1));
    let client = lab.connect();
    lab.say(client, &register("alice", "pw", "g", "gpw"));
    lab.nothing_came(&[client]);
    lab.hash_all(Hashing::Quick);
    assert_eq!(lab.heard(client)[0], registered("alice", 7));
    assert_eq!(lab.router.tally().hashed, 5);
}

#[test]
fn whoever_left_is_not_hashed() {
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    lab.leave(alice);
    for _ in 0..100 {
        let bob = lab.connect();
        lab.say(bob, &register("bob", "pw", "h", "gpw"));
        lab.leave(bob);
    }
    lab.hash_all(Hashing::Quick);
    assert_eq!(lab.router.tally().hashed, 1, "what was under way");
    assert_eq!(lab.groups(), []);
}

#[test]
fn those_who_say_the_same_wait_for_one_answer() {
    let mut lab = Lab::new();
    lab.join("alice");
    lab.hash_all(Hashing::Quick);
    lab.pass(MOMENT);
    let before = lab.router.tally().hashed;
    let many: Vec<Client> = (0..100).map(|_| lab.connect()).collect();
    for (n, client) in many.iter().enumerate() {
        lab.say(*client, &register(&format!("u{n}"), "pw", "g", if n % 10 == 9 { "wrong" } else { "gpw" }));
    }
    lab.leave(many[0]);
    assert_eq!(lab.jobs.len(), 2);
    while let Some(job) = lab.jobs.pop_front() {
        let ticket = job.ticket();
        lab.router.hashed(ticket, quick(&job), lab.now);
    }
    assert_eq!(lab.router.tally().hashed - before, 2, "one for each password");
    lab.pump();
    assert_eq!(many.iter().filter(|client| lab.is_open(**client)).count(), 89);
    assert_eq!(lab.groups(), [("g".into(), 90, 90)]);
}

#[test]
fn a_flood_of_wrong_passwords_delays_others_by_one_check() {
    let mut lab = Lab::new();
    lab.join("alice");
    lab.hash_all(Hashing::Quick);
    lab.pass(MOMENT);
    let flood: Vec<Client> = (0..400).map(|_| lab.connect_as(Framing::Length, [10, 0, 0, 66])).collect();
    for (n, client) in flood.iter().enumerate() {
        lab.say(*client, &register("x", "pw", "g", &format!("guess {n}")));
    }
    // Two are under way, and of one computer so many may wait.
    assert_eq!(lab.refused(Refusal::Busy), 400 - 2 - 256);
    let bob = lab.connect_as(Framing::Length, [10, 0, 0, 2]);
    lab.say(bob, &register("bob", "pw", "g", "gpw"));
    let mut checks = 0;
    while lab.told(bob).is_empty() {
        let job = lab.jobs.pop_front().expect("bob's is to be checked");
        lab.router.hashed(job.ticket(), quick(&job), lab.now);
        lab.pump();
        checks += 1;
    }
    assert!(checks <= 4, "two under way, one of the flood's, his: {checks}");
    assert!(lab.is_open(bob));
}

#[test]
fn a_few_hosts_with_a_flood_each_do_not_keep_others_out() {
    let mut lab = Lab::new();
    lab.join("alice");
    lab.hash_all(Hashing::Quick);
    lab.pass(MOMENT);
    // Two are under way, and the places of all others are taken.
    let flood: Vec<Client> = (0..1_026)
        .map(|n: u32| {
            let client = lab.connect_as(Framing::Length, [10, 6, 6, (n % 5) as u8]);
            lab.say(client, &register_asking("x", "pw", "g", &format!("guess {n}")));
            client
        })
        .collect();
    assert_eq!(lab.refused(Refusal::Busy), 0);
    let bob = lab.connect_as(Framing::Length, [10, 0, 0, 2]);
    lab.say(bob, &register("bob", "pw", "g", "gpw"));
    assert!(lab.is_open(bob));
    let gone: Vec<Client> = flood.iter().filter(|client| !lab.is_open(**client)).copied().collect();
    assert_eq!((gone.len(), lab.refused(Refusal::Busy)), (1, 1));
    assert!(gone[0].0 > flood[1_019].0, "one of the newest");
    assert_eq!(lab.told(gone[0]), ["/oscrouter/error too many are registering just now: try again"]);
    // The flood itself gets no more places.
    let more = lab.connect_as(Framing::Length, [10, 6, 6, 1]);
    lab.say(more, &register("x", "pw", "g", "another guess"));
    assert!(!lab.is_open(more));
    let mut checks = 0;
    while lab.told(bob).is_empty() {
        let job = lab.jobs.pop_front().expect("bob's is to be checked");
        lab.router.hashed(job.ticket(), quick(&job), lab.now);
        lab.pump();
        checks += 1;
    }
    assert!(checks <= 8, "two under way, one of each host of the flood, his: {checks}");
}

#[test]
fn without_memory_whoever_waits_is_told_and_a_hash_is_made_later() {
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    let fail_all = |lab: &mut Lab| {
        while let Some(job) = lab.jobs.pop_front() {
            lab.router.hashed(job.ticket(), HashResult::Failed, lab.now);
            lab.pump();
        }
    };
    fail_all(&mut lab);
    // Her password is known without a hash, and no other is right.
    lab.join("alice");
    let eve = lab.connect();
    lab.say(eve, &register("alice", "wrong", "g", "gpw"));
    assert!(!lab.is_open(eve) && lab.jobs.is_empty());
    lab.pass(Span::from_secs(10));
    lab.hash_all(Hashing::Quick);
    assert_eq!(lab.router.tally().hashed, 4, "two failed, and were made now");
    lab.pass(MOMENT);
    let bob = lab.connect();
    lab.say(bob, &register_asking("bob", "pw", "g", "gpw"));
    lab.hush();
    fail_all(&mut lab);
    assert_eq!(
        lab.told(bob),
        ["/oscrouter/error the router has no memory to check passwords just now: try again"]
    );
    assert!(!lab.is_open(bob) && lab.is_open(alice));
    assert_eq!(lab.refused(Refusal::Unhashed), 1);
    lab.pass(Span::from_secs(20));
    assert!(lab.jobs.is_empty(), "a check is not tried again");
    let bob = lab.connect();
    lab.say(bob, &register("bob", "pw", "g", "gpw"));
    lab.hash_all(Hashing::Quick);
    assert_eq!(lab.heard(bob)[0], registered("bob", 7));
}

/// A lab where the password of alice's group has to be checked.
fn lab_with_a_hash(config: RouterConfig) -> (Lab, Client) {
    let mut lab = Lab::with(config);
    let alice = lab.join("alice");
    lab.hash_all(Hashing::Quick);
    lab.pass(MOMENT);
    lab.hush();
    (lab, alice)
}

#[test]
fn what_is_sent_while_a_password_is_checked_waits_and_is_not_lost() {
    for (packets, bytes) in [(3, 0), (65, 0), (5, 4_096), (10_000, 100), (20, 60_000)] {
        let (mut lab, alice) = lab_with_a_hash(RouterConfig::default());
        let bob = lab.connect();
        let packet = |n: i32| message("/a", &[Arg::Int(n), Arg::Blob(&vec![1; bytes])]);
        let mut all = vec![register("bob", "pw", "g", "gpw")];
        all.extend((0..packets).map(packet));
        lab.say_all(bob, &all);
        assert!(lab.is_open(bob) && lab.streams[bob.0].paused);
        // More comes from the client, and stays with it.
        let before = lab.streams[bob.0].unread.len();
        lab.say(bob, &packet(packets));
        assert!(lab.streams[bob.0].unread.len() > before + bytes);
        lab.nothing_came(&[alice]);
        lab.hash_all(Hashing::Quick);
        let heard = lab.heard(alice);
        let heard: Vec<_> = heard.iter().filter(|heard| heard.starts_with(b"/a\0\0")).collect();
        assert_eq!(heard.len() as i32, packets + 1, "{packets} of {bytes}");
        assert!(heard.iter().zip(0..).all(|(heard, n)| **heard == packet(n)), "in order");
        assert!(!lab.streams[bob.0].paused && lab.is_open(bob));
        assert_eq!(lab.refused(Refusal::Held), 0);
    }
}

#[test]
fn whoever_is_paused_again_is_not_resumed_between() {
    let (mut lab, alice) = lab_with_a_hash(RouterConfig::default());
    let carol = lab.connect();
    lab.say(carol, &register("carol", "pw", "h", "hpw"));
    lab.hash_all(Hashing::Quick);
    lab.pass(MOMENT);
    lab.hush();
    let bob = lab.connect();
    let [first, second] = ["/first", "/second"].map(|address| message(address, &[]));
    let registers = |group, password| register("bob", "pw", group, password);
    lab.say_all(bob, &[registers("g", "gpw"), first.clone(), registers("h", "hpw"), second.clone()]);
    let job = lab.jobs.pop_front().expect("the first group's password is to be checked");
    lab.router.hashed(job.ticket(), quick(&job), lab.now);
    lab.pump();
    assert!(lab.heard(alice).contains(&first));
    assert!(lab.streams[bob.0].paused, "the other group's is to be checked now");
    lab.hash_all(Hashing::Quick);
    assert!(!lab.streams[bob.0].paused && lab.is_open(bob));
    assert!(lab.heard(carol).contains(&second));
    // One that is refused stays closed, and what it said is nobody's.
    let eve = lab.connect();
    lab.say_all(eve, &[register("eve", "pw", "g", "guess"), first.clone()]);
    lab.hash_all(Hashing::Quick);
    assert!(!lab.is_open(eve) && !lab.heard(alice).contains(&first));
}

#[test]
fn while_it_is_not_read_nobody_is_silent() {
    let idle = Some(Span::from_secs(5));
    let (mut lab, _) = lab_with_a_hash(RouterConfig { idle, ..RouterConfig::default() });
    // She has gone for it, and her group with her.
    let alice = lab.join("alice");
    lab.hash_all(Hashing::Quick);
    for _ in 0..15 {
        lab.pass(Span::from_secs(4));
        lab.say(alice, &message("/oscrouter/ping", &[]));
    }
    let bob = lab.connect();
    lab.say(bob, &register("bob", "pw", "g", "gpw"));
    lab.pass(Span::from_secs(20));
    lab.hash_all(Hashing::Quick);
    lab.pass(Span::from_secs(5) - Span::from_ticks(1));
    assert!(lab.is_open(bob));
    lab.pass(Span::from_ticks(1));
    assert!(!lab.is_open(bob));
}

#[test]
fn a_transport_that_reads_on_costs_bounded_memory() {
    let (mut lab, _) = lab_with_a_hash(RouterConfig::default());
    let bob = lab.connect();
    lab.say(bob, &register("bob", "pw", "g", "gpw"));
    let packet = message("/a", &[Arg::Blob(&[1; 1_000])]);
    let conn = lab.streams[bob.0].conn;
    (0..120).for_each(|_| lab.router.handle(conn, lab.now, &packet));
    assert_eq!(lab.refused(Refusal::Held), 0);
    (0..20).for_each(|_| lab.router.handle(conn, lab.now, &packet));
    lab.pump();
    assert!(!lab.is_open(bob));
    assert_eq!(lab.refused(Refusal::Held), 1);
}

#[test]
fn who_leaves_while_a_password_is_checked_leaves_nothing() {
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    lab.hash_all(Hashing::Quick);
    lab.pass(MOMENT);
    let bob = lab.connect();
    lab.say(bob, &register("bob", "pw", "g", "gpw"));
    lab.leave(bob);
    lab.leave(alice);
    lab.hash_all(Hashing::Quick);
    assert_eq!((lab.groups(), lab.router.connections(), lab.router.users()), (vec![], 0, 0));
    // What nobody waits for any more is not checked, but for what is under way.
    let mut lab = Lab::new();
    lab.join("alice");
    lab.hash_all(Hashing::Quick);
    lab.pass(MOMENT);
    let before = lab.router.tally().hashed;
    for n in 0..10 {
        let eve = lab.connect();
        lab.say(eve, &register("eve", "pw", "g", &format!("guess {n}")));
        lab.leave(eve);
    }
    lab.hash_all(Hashing::Quick);
    assert_eq!(lab.router.tally().hashed - before, 2);
    // Meanwhile the group has gone: a wrong password founds it anew.
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    lab.hash_all(Hashing::Quick);
    lab.pass(MOMENT);
    let bob = lab.connect();
    lab.say(bob, &register("bob", "pw", "g", "another"));
    lab.leave(alice);
    lab.hash_all(Hashing::Quick);
    assert_eq!(lab.heard(bob)[0], registered("bob", 7));
}

#[test]
fn five_hundred_who_join_one_group_cost_hardly_a_hash() {
    let mut lab = Lab::new();
    lab.join("alice");
    lab.hash_all(Hashing::Quick);
    lab.pass(MOMENT);
    let clients: Vec<Client> = (0..500).map(|_| lab.connect()).collect();
    for (n, client) in clients.iter().enumerate() {
        lab.say(*client, &register(&format!("user{n}"), "pw", "g", "gpw"));
        if n == 20 {
            lab.hash_all(Hashing::Quick);
        }
    }
    assert!(clients.iter().all(|client| lab.heard(*client).len() >= 2), "all are in, by one check");
    assert_eq!(lab.router.users(), 501);
}
