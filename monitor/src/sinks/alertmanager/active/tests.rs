//! What is sent when: times in seconds after the beginning of each test.

use super::*;

const HOLD: Duration = Duration::from_mins(15);
const RESEND: Duration = Duration::from_mins(1);

/// So many seconds after the beginning of the test.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn named(name: &str) -> Pairs {
    [("alertname".to_owned(), name.to_owned())].into()
}

fn empty() -> Active {
    Active::new(HOLD, RESEND, Vec::new(), at(0))
}

/// What is due, as (name, start, end) in seconds after the beginning.
fn due(active: &mut Active, now: i64) -> Vec<(String, i64, i64)> {
    let seconds = |time: Timestamp| time.as_second() - at(0).as_second();
    let posts = active.due(at(now)).into_iter();
    posts
        .map(|post| {
            (
                post.labels["alertname"].clone(),
                seconds(post.starts_at),
                seconds(post.ends_at),
            )
        })
        .collect()
}

fn one(start: i64, end: i64) -> Vec<(String, i64, i64)> {
    vec![("a".to_owned(), start, end)]
}

#[test]
fn a_read_is_sent_at_once_then_each_interval_then_as_ended_then_forgotten() {
    let mut active = empty();
    active.seen(named("a"), Pairs::new(), at(0), at(0));
    for (now, posts) in [
        (0, one(0, 900)),
        (1, vec![]),
        (59, vec![]),
        (60, one(0, 900)),
        (899, one(0, 900)),
        // Ended, still told for fifteen minutes.
        (959, one(0, 900)),
        (1018, vec![]),
        (1019, one(0, 900)),
        (1799, one(0, 900)),
        (1800, vec![]),
        (4000, vec![]),
    ] {
        assert_eq!(due(&mut active, now), posts, "at {now}");
    }
    assert_eq!(active.entries(), []);
}

#[test]
fn a_repeat_prolongs_and_a_late_one_begins_anew() {
    let mut active = empty();
    for (read, judged, posts, count) in [
        (0, 0, one(0, 900), 1),
        (500, 500, one(0, 1400), 1),
        // Judged out of order: the beginning moves back.
        (-20, 600, one(-20, 1500), 1),
        // Parked for longer than it would last: it lasts from its judgement on.
        (700, 5000, one(700, 5900), 1),
        (9000, 9000, one(9000, 9900), 1),
    ] {
        active.seen(named("a"), Pairs::new(), at(read), at(judged));
        assert_eq!(due(&mut active, judged), posts, "read {read}, judged {judged}");
        assert_eq!(active.count(at(judged)), count);
    }
    assert_eq!(active.count(at(9901)), 0);
}

#[test]
fn a_state_lasts_until_its_end_is_told() {
    let mut active = empty();
    active.state(named("a"), Pairs::new(), true, at(0));
    assert_eq!(due(&mut active, 0), one(0, 240));
    assert_eq!(due(&mut active, 3600), one(0, 3840));
    active.state(named("a"), Pairs::new(), false, at(3610));
    assert_eq!(due(&mut active, 3610), one(0, 3610));
    // The end of what never began is nothing to tell.
    active.state(named("b"), Pairs::new(), false, at(3610));
    assert_eq!(due(&mut active, 3611), []);
}

#[test]
fn a_clock_that_was_set_back_delays_nothing() {
    let mut active = empty();
    active.seen(named("a"), Pairs::new(), at(5000), at(5000));
    assert_eq!(due(&mut active, 5000).len(), 1);
    assert_eq!(due(&mut active, 100).len(), 1);
}

#[test]
fn a_restart_sends_everything_again_and_doubts_states() {
    let mut before = empty();
    before.seen(named("a"), Pairs::new(), at(0), at(0));
    before.state(named("b"), Pairs::new(), true, at(0));
    before.due(at(0));
    let text = serde_json::to_string(&before.entries()).unwrap();
    let kept = serde_json::from_str(&text).unwrap();
    let mut after = Active::new(HOLD, RESEND, kept, at(30));
    assert_eq!(
        due(&mut after, 30),
        [("a".to_owned(), 0, 900), ("b".to_owned(), 0, 270)]
    );
}

#[test]
fn the_oldest_makes_room() {
    let mut active = empty();
    for number in 0..CAPACITY {
        let time = at(i64::try_from(number).unwrap());
        assert_eq!(
            active.seen(named(&number.to_string()), Pairs::new(), time, at(0)),
            0
        );
    }
    assert_eq!(active.seen(named("5"), Pairs::new(), at(0), at(0)), 0);
    assert_eq!(active.seen(named("new"), Pairs::new(), at(0), at(0)), 1);
    assert_eq!(active.began(&named("0"), at(0)), None);
    assert_eq!(active.count(at(0)), CAPACITY);
}
