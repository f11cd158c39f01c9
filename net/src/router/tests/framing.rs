//! Through the splitter: R11 and the cases F as far as they concern more than it alone.

use super::*;

#[test]
fn r11_a_registration_that_comes_byte_by_byte() {
    for framing in [Framing::Length, Framing::Slip] {
        let mut lab = Lab::new();
        let client = lab.connect_as(framing, [10, 0, 0, 1]);
        let mut bytes = Vec::new();
        framing.frame_into(&register("alice", "pw", "g", "gpw"), &mut bytes);
        for byte in &bytes[..bytes.len() - 1] {
            lab.send(client, &[*byte]);
            lab.nothing_came(&[client]);
        }
        lab.send(client, &bytes[bytes.len() - 1..]);
        assert_eq!(lab.heard(client), [registered("alice", 7), user_list(&["alice"])]);
    }
}

#[test]
fn f01_f02_impossible_lengths_close() {
    for bytes in [&[0, 0, 0, 0][..], &[0xff, 0xff, 0xff, 0xff], &[0x7f, 0xff, 0xff, 0xff], &[0, 0x10, 0, 1]] {
        let mut lab = Lab::new();
        let [alice, bob] = ["alice", "bob"].map(|name| lab.join(name));
        lab.hush();
        lab.send(bob, bytes);
        assert!(!lab.is_open(bob));
        lab.pass(Span::from_secs(1));
        assert_eq!(lab.heard(alice), [user_list(&["alice"])]);
    }
}

#[test]
fn f03_f04_slip_as_others_write_it() {
    let packet = message("/foo", &[Arg::Blob(&[0xc0, 0xdb, 0xc0, 0xdc])]);
    let escaped = {
        let mut framed = Vec::new();
        Framing::Slip.frame_into(&packet, &mut framed);
        framed[1..framed.len() - 1].to_vec()
    };
    let end = vec![0xc0];
    let rows: [(&str, Vec<Vec<u8>>, usize); 5] = [
        ("one END", vec![escaped.clone(), end.clone(), escaped.clone(), end.clone()], 2),
        (
            "two",
            vec![end.clone(), escaped.clone(), end.clone(), end.clone(), escaped.clone(), end.clone()],
            2,
        ),
        ("many", vec![vec![0xc0; 9], escaped.clone(), vec![0xc0; 9], escaped.clone(), vec![0xc0; 9]], 2),
        ("bad escape", vec![vec![0xdb, 0x41], escaped.clone(), end.clone(), escaped.clone(), end.clone()], 1),
        ("in pieces", escaped.iter().map(|byte| vec![*byte]).chain([end.clone()]).collect(), 1),
    ];
    for (case, pieces, count) in rows {
        let mut lab = Lab::new();
        let [alice, bob] = [("alice", Framing::Slip), ("bob", Framing::Length)].map(|(name, framing)| {
            let client = lab.connect_as(framing, [10, 0, 0, 1]);
            lab.say(client, &register(name, "pw", "g", "gpw"));
            client
        });
        lab.hush();
        pieces.iter().for_each(|piece| lab.send(alice, piece));
        assert_eq!(lab.heard(bob), vec![packet.clone(); count], "{case}");
        lab.say(bob, &packet);
        assert_eq!(lab.heard(alice), vec![packet.clone()], "{case}");
    }
}

/// F05, on whichever port: each is answered as it speaks (the lab sees to that).
#[test]
fn f05_each_speaks_as_it_likes() {
    let mut lab = Lab::new();
    let clients = [Framing::Length, Framing::Slip, Framing::Length, Framing::Slip].map(|framing| {
        let client = lab.connect_as(framing, [10, 0, 0, 1]);
        lab.say(client, &register(&format!("user{}", client.0), "pw", "g", "gpw"));
        client
    });
    lab.pass(Span::from_secs(1));
    lab.hush();
    let packet = bundle(u64::MAX, &[message("/foo", &[Arg::Time(0xc0db)])]);
    lab.say(clients[1], &packet);
    for client in [clients[0], clients[2], clients[3]] {
        assert_eq!(lab.heard(client), std::slice::from_ref(&packet));
    }
}

#[test]
fn f08_five_hundred_clients() {
    let mut lab = Lab::new();
    let clients: Vec<Client> = (0..500)
        .map(|n| {
            let client = lab.connect();
            lab.say(client, &register(&format!("u{n}"), "pw", &format!("g{}", n % 5), "gpw"));
            client
        })
        .collect();
    lab.pass(Span::from_secs(1));
    lab.hush();
    for sender in [0, 123, 499] {
        let packet = message("/foo", &[Arg::Int(sender)]);
        lab.say(clients[sender as usize], &packet);
        for (n, client) in clients.iter().enumerate() {
            let expected = n as i32 % 5 == sender % 5 && n as i32 != sender;
            assert_eq!(lab.heard(*client).len(), usize::from(expected));
        }
    }
}
