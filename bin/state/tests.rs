//! The state file: what goes in comes out, whatever else is in it.

use super::*;

/// A folder of its own, gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("downbeat-state-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        Folder(folder)
    }

    fn state(&self) -> State {
        State::new(self.0.clone())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn at(secs: i64) -> EnsembleTime {
    EnsembleTime::from_unix(Span::from_secs(1_700_000_000 + secs))
}

fn card(name: &str, ppm: f64, saved: i64) -> Entry {
    Entry::of_rate("card", name.to_owned(), DeviceRate { ppm, sigma: 0.4 }, at(saved))
}

#[test]
fn what_goes_in_comes_out_by_its_kind_and_name() {
    let folder = Folder::new("in-out");
    // A folder in a folder that is not there yet.
    let state = State::new(folder.0.join("deeper"));
    assert_eq!(state.recall("card", "hw:1,0"), None);
    state.remember(card("hw:1,0", 12.0, 0));
    state.remember(card("hw:2,0", -7.25, 1));
    state.remember(card("hw:1,0", 13.0, 2));
    assert_eq!(state.recall("card", "hw:1,0"), Some(card("hw:1,0", 13.0, 2)));
    assert_eq!(state.recall("card", "hw:2,0"), Some(card("hw:2,0", -7.25, 1)));
    assert_eq!(state.recall("peer", "hw:1,0"), None);
    let files: Vec<_> = std::fs::read_dir(folder.0.join("deeper")).expect("it is there").collect();
    assert_eq!(files.len(), 1, "nothing temporary is left: {files:?}");
}

#[test]
fn another_version_finds_its_entries_again() {
    let folder = Folder::new("versions");
    std::fs::create_dir_all(&folder.0).expect("the temporary folder is writable");
    let theirs = "[[remembered]]\nkind = \"moon\"\nname = \"full\"\nsaved = 5\nphase = [1, 2]\n";
    std::fs::write(folder.0.join(FILE), theirs).expect("the temporary folder is writable");
    folder.state().remember(card("hw:1,0", 1.0, 0));
    let kept = folder.state().recall("moon", "full").expect("it is kept");
    assert_eq!(kept.values["phase"], Value::Array(vec![Value::Integer(1), Value::Integer(2)]));
    assert_eq!(kept.rate(at(0)), None);
}

#[test]
fn the_oldest_make_room() {
    let folder = Folder::new("room");
    let state = folder.state();
    for n in 0..MAX_ENTRIES as i64 + 3 {
        state.remember(card(&format!("card {n}"), 0.0, n));
    }
    assert_eq!(state.entries().len(), MAX_ENTRIES);
    assert!(state.recall("card", "card 2").is_none() && state.recall("card", "card 3").is_some());
}

#[test]
fn a_kind_makes_no_room_for_another() {
    let folder = Folder::new("kinds");
    let state = folder.state();
    state.remember(Entry::of_number("host", "this one".into(), 4_000_000_000, at(0)));
    for n in 0..MAX_ENTRIES as i64 + 3 {
        state.remember(card(&format!("card {n}"), 0.0, n));
        state.remember(Entry { kind: "peer".into(), ..card(&format!("{n:08x}"), 0.0, n) });
    }
    assert_eq!([state.recall_all("card").count(), state.recall_all("peer").count()], [MAX_ENTRIES; 2]);
    let host = state.recall("host", "this one").expect("it is kept");
    assert_eq!(host.number(), Some(4_000_000_000));
    for wrong in [Value::Integer(-1), Value::Integer(1 << 32), Value::String("7".into())] {
        let mut entry = host.clone();
        entry.values.insert("number".into(), wrong);
        assert_eq!(entry.number(), None);
    }
}

#[test]
fn garbage_is_passed_over_and_replaced() {
    let folder = Folder::new("garbage");
    std::fs::create_dir_all(&folder.0).expect("the temporary folder is writable");
    let long = "#".repeat(MAX_BYTES as usize + 1).into_bytes();
    for garbage in [&b"\xff\xfe\0"[..], b"[[remembered", b"remembered = 1", b"[other]\na = 1", b"", &long] {
        std::fs::write(folder.0.join(FILE), garbage).expect("the temporary folder is writable");
        let state = folder.state();
        assert_eq!(state.recall("card", "a"), None);
        state.remember(card("a", 2.0, 0));
        assert_eq!(state.recall("card", "a"), Some(card("a", 2.0, 0)));
    }
}

#[test]
fn a_folder_that_cannot_be_had_is_no_reason_to_fail() {
    let state = State::new("/proc/no/such/folder".into());
    state.remember(card("a", 1.0, 0));
    assert_eq!(state.recall("card", "a"), None);
}

#[test]
fn a_rate_is_worth_less_with_time_and_nothing_if_it_cannot_be() {
    let sigma = |now: i64| card("a", 5.0, 0).rate(at(now)).expect("it is sane").sigma;
    assert!(sigma(10) < sigma(3_600) && sigma(3_600) < sigma(7 * 86_400));
    // The clock was set back by a day: who knows how old it is?
    assert!(sigma(-86_400) > sigma(7 * 86_400));
    assert!((sigma(-1) - sigma(0)).abs() < 1e-9);
    for (ppm, sigma) in [(f64::NAN, 1.0), (5_000.0, 1.0), (1.0, -1.0), (1.0, f64::INFINITY)] {
        let mut entry = card("a", 0.0, 0);
        entry.values.insert("ppm".into(), Value::Float(ppm));
        entry.values.insert("sigma".into(), Value::Float(sigma));
        assert_eq!(entry.rate(at(1)), None, "{ppm} {sigma}");
    }
}

#[test]
fn the_folder_is_the_services_or_the_users() {
    let folder = |set: &[(&str, &str)]| {
        let find = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        default_folder(find).map(|path| path.to_str().expect("it is text").to_owned())
    };
    let all = [("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
    assert_eq!(folder(&all).as_deref(), Some("/var/lib/a"));
    assert_eq!(folder(&all[1..]).as_deref(), Some("/x/downbeat"));
    assert_eq!(folder(&all[2..]).as_deref(), Some("/h/.local/state/downbeat"));
    // XDG: a path that is not absolute is to be ignored.
    assert_eq!(
        folder(&[("XDG_STATE_HOME", "x"), ("HOME", "/h")]).as_deref(),
        Some("/h/.local/state/downbeat")
    );
    assert_eq!(folder(&[]), None);
}

#[test]
fn any_name_is_found_again() {
    for name in ["", "hw:CARD=\"x\",0", "a\nb = 1\n[[remembered]]", "\u{1f508} \u{0} \\", "'''"] {
        let entries = [card(name, -0.125, 0)];
        assert_eq!(parse(&print(&entries)), Ok(entries.to_vec()));
    }
}
